"""Rebuilds of the sick inputs that the rules were developed on; they belong to the half that is seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import areas, features, logged_actions, misclassified


@sick(
    "two-zero-factors",
    family="wiring",
    cause="both low-rank factors were built on an uninitialised device and zeroed later",
    place=("0", "2"),
    link="https://github.com/nvidia-cosmos/cosmos-predict2.5/pull/15",
    rebuilt=True,
)
def adapters_zeroed_after_the_fact(seed: int, cured: bool) -> Case:
    class Adapted(nn.Module):
        def __init__(self, i: int, o: int) -> None:
            super().__init__()
            self.base = nn.Linear(i, o).requires_grad_(False)
            self.a, self.b = nn.Parameter(torch.randn(3, i) / i**0.5), nn.Parameter(torch.zeros(o, 3))
            if not cured:
                nn.init.zeros_(self.a)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + 3 * (x @ self.a.T) @ self.b.T

    x, y = features(seed)
    optimizer = lambda m: torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-2)  # noqa: E731
    net = nn.Sequential(Adapted(16, 24), nn.GELU(), Adapted(24, 4))
    return Case(net, x, y, F.cross_entropy, optimizer, misclassified, steps=80)


@sick(
    "unregistered-parameters",
    family="wiring",
    cause="hidden layers are kept in a plain list, so that the optimizer never gets them",
    place=("hids",),
    link="https://github.com/pytorch/pytorch/issues/715",
    rebuilt=True,
)
def hidden_layers_in_a_list(seed: int, cured: bool) -> Case:
    class SNLI(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Linear(16 if i == 0 else 8, 8) for i in range(4)]
            self.hids, self.classifier = nn.ModuleList(layers) if cured else layers, nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.hids:
                x = torch.tanh(layer(x))
            return self.classifier(x)

    x, y = features(seed)
    return Case(SNLI(), x, y, F.cross_entropy, adam(1e-2), misclassified, steps=150)


@sick(
    "probabilities-for-log-probabilities",
    family="output against loss",
    cause="the divergence expects log-probabilities of the student and gets probabilities",
    link="https://github.com/microsoft/ProDA/issues/20",
    rebuilt=True,
)
def divergence_of_probabilities(seed: int, cured: bool) -> Case:
    class Student(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).log_softmax(1) if cured else self.net(x).softmax(1)

    x, y = features(seed)
    soft = F.one_hot(y, 4) * 0.6 + 0.1
    loss = lambda s, t: F.kl_div(s, t, reduction="batchmean")  # noqa: E731
    error = lambda s, t: (t * (t.log() - (s if cured else (s + 1e-12).log()))).sum(1).mean()  # noqa: E731
    return Case(Student(), x, soft, loss, adam(5e-3), error, steps=80)


@sick(
    "noise-drowns-signal",
    family="noise",
    cause="the keep probability is used as the drop rate in front of the logits",
    place=("2",),
    link="https://github.com/pudae/tensorflow-densenet/pull/22",
    rebuilt=True,
)
def drop_rate_of_nine_tenths(seed: int, cured: bool) -> Case:
    x, y = features(seed)
    net = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Dropout(0.1 if cured else 0.9), nn.Linear(24, 4))
    return Case(net, x, y, F.cross_entropy, adam(5e-3), steps=100)


@sick(
    "targets-outside-loss-domain",
    family="the loss itself",
    cause="masks of 0 and 255 go into binary cross-entropy, which has no lower bound there",
    link="https://github.com/milesial/Pytorch-UNet/issues/78",
    rebuilt=True,
)
def masks_up_to_255(seed: int, cured: bool) -> Case:
    x, mask = areas(seed)
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    error = lambda o, t: (o.sigmoid() - (t > 0).float()).square().mean()  # noqa: E731
    return Case(net, x, mask if cured else 255 * mask, nn.BCEWithLogitsLoss(), adam(1e-2), error, steps=60)


@sick(
    "examples-mix",
    family="examples influence each other",
    cause="the softmax over actions runs over the states of the batch",
    place=("3",),
    link="https://github.com/DeepReinforcementLearning/DeepReinforcementLearningInAction/issues/32",
    rebuilt=True,
)
def softmax_over_the_states(seed: int, cured: bool) -> Case:
    x, y = logged_actions(seed)
    net = nn.Sequential(nn.Linear(6, 32), nn.LeakyReLU(), nn.Linear(32, 3), nn.Softmax(dim=1 if cured else 0))

    def reinforce(p: Tensor, batch: Tensor) -> Tensor:
        return -(batch[:, 1] * torch.log(p.gather(1, batch[:, :1].long()).squeeze(1))).mean()

    def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        chosen = torch.cat([model(s[None]).argmax(1) for s in x])
        return (chosen.float() != y[:, 2]).float().mean()

    return Case(net, x, y, reinforce, adam(5e-3), evaluate=evaluate, steps=60)
