"""Weights that no optimizer moves: not registered, not held by it, frozen, or at a rate of zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import digits, features, misclassified, prices, tones

FAMILY = "wiring"


@sick(
    "unregistered-parameters",
    family=FAMILY,
    cause="the convolutions stand in a plain list: they take part, but are no parameters of the model",
    place=("conv1d",),
    link="https://github.com/pytorch/pytorch/issues/1053",
)
def convolutions_in_a_list(seed: int, cured: bool) -> Case:
    class TextCNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Conv1d(1, 10, k, stride=4) for k in (5, 9, 17)]
            self.conv1d = nn.ModuleList(layers) if cured else layers
            self.fc = nn.Linear(30, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.cat([F.relu(c(x)).amax(-1) for c in self.conv1d], 1))

    x, y = tones(seed)
    return Case(TextCNN(), x, y, F.cross_entropy, adam(5e-3), steps=80)


@sick(
    "unregistered-parameters",
    family=FAMILY,
    cause="one adapter a task in a plain dictionary: the shared trunk trains, the adapters never do",
    place=("adapters",),
    link="https://github.com/asyml/texar-pytorch/issues/72",
)
def adapters_in_a_dictionary(seed: int, cured: bool) -> Case:
    class MultiTask(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Linear(8, 6)
            adapters = {t: nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 1)) for t in ("rent", "sale")}
            self.adapters = nn.ModuleDict(adapters) if cured else adapters

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = self.trunk(x)
            return {task: self.adapters[task](h) for task in ("rent", "sale")}

    def loss(output: dict[str, Tensor], y: Tensor) -> Tensor:
        return F.mse_loss(output["rent"], y) + F.mse_loss(output["sale"], y.roll(1) * 0 + y**2 - 1)

    x, y = prices(seed)
    return Case(MultiTask(), x, y, loss, adam(5e-3), steps=150)


@sick(
    "optimizer-lacks-parameters",
    family=FAMILY,
    cause="the optimizer gets the parameters of the encoder only, so the decoder stays as it was drawn",
    place=("decoder",),
    link="https://github.com/zdebruine/MMVAE/issues/39",
)
def optimizer_of_the_encoder_only(seed: int, cured: bool) -> Case:
    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 6))
            self.decoder = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 64))

        def forward(self, x: Tensor) -> Tensor:
            return self.decoder(self.encoder(x))

    def optimizer(model: Autoencoder) -> torch.optim.Optimizer:
        return torch.optim.Adam((model if cured else model.encoder).parameters(), lr=5e-3)

    x = digits(seed)[0].flatten(1)
    return Case(Autoencoder(), x, x, F.mse_loss, optimizer, steps=150)


@sick(
    "optimizer-lacks-parameters",
    family=FAMILY,
    cause="the parameter groups are collected in a loop that overwrites its list, so the last layers are left out",
    place=("crf", "fc"),
    link="https://github.com/zjunlp/HVPNeT/issues/5",
)
def groups_without_the_last_layers(seed: int, cured: bool) -> Case:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = nn.Sequential(nn.Linear(16, 12), nn.GELU())
            self.fc, self.crf = nn.Linear(12, 12), nn.Linear(12, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.crf(torch.relu(self.fc(self.bert(x))))

    def optimizer(model: Tagger) -> torch.optim.Optimizer:
        groups = [{"params": list(model.bert.parameters()), "lr": 5e-3}]
        late = {"params": [*model.fc.parameters(), *model.crf.parameters()], "lr": 1e-2, "weight_decay": 1e-2}
        if cured:
            groups.append(late)
        return torch.optim.AdamW(groups)

    x, y = features(seed)
    return Case(Tagger(), x, y, nn.CrossEntropyLoss(), optimizer, steps=120)


@sick(
    "optimizer-stale",
    family=FAMILY,
    cause="the optimizer was made before the pruned layers were replaced, and holds tensors that the model no "
    "longer has",
    place=("1", "3"),
    link="https://github.com/microsoft/nni/issues/4521",
)
def optimizer_made_before_pruning(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    early = torch.optim.Adam(net.parameters(), lr=5e-3)
    net[1], net[3] = nn.Linear(64, 24), nn.Linear(24, 10)
    x, y = digits(seed)
    late = lambda model: torch.optim.Adam(model.parameters(), lr=5e-3) if cured else early  # noqa: E731
    return Case(net, x, y, F.cross_entropy, late, misclassified, steps=100)


@sick(
    "rate-zero",
    family=FAMILY,
    cause="a linear warm-up starts at rate zero and is advanced once an epoch, so no weight moves",
    link="https://github.com/huggingface/transformers/issues/34754",
)
def warm_up_that_stays_at_zero(seed: int, cured: bool) -> Case:
    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        made = torch.optim.AdamW(model.parameters(), lr=5e-3)
        torch.optim.lr_scheduler.LambdaLR(made, lambda step: 1.0 if cured else min(step / 100, 1.0))
        return made

    x, y = features(seed)
    net = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 4))
    return Case(net, x, y, F.cross_entropy, optimizer, misclassified, steps=80)


@sick(
    "nothing-trainable",
    family=FAMILY,
    cause="the loop that freezes the backbone runs after the new head was attached and freezes it as well",
    link="https://github.com/Georgefwt/AquaLoRA/issues/4",
)
def head_frozen_with_the_backbone(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Linear(16, 64), nn.ReLU())
    net.add_module("head", nn.Linear(64, 4))
    for parameter in (net[0] if cured else net).parameters():
        parameter.requires_grad = False
    x, y = features(seed)
    return Case(net, x, y, F.cross_entropy, adam(1e-2), misclassified, steps=100)
