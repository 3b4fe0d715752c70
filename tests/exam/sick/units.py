"""Units that are dead, saturated or copies of each other, and activations that do not belong where they are."""

from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sgd, sick
from exam.problems import digits, features, misclassified, prices, ratio_of_variance, series, tones

FAMILY = "units"


@sick(
    "dead-units",
    family=FAMILY,
    cause="biases drawn far below zero: the ReLU in front of the interaction is zero for every example",
    place=("bottom",),
    link="https://github.com/facebookresearch/dlrm/pull/358",
)
def negative_biases_before_relu(seed: int, cured: bool) -> Case:
    class Recommender(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bottom = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU())
            self.top = nn.Sequential(nn.Linear(12 + 66, 24), nn.ReLU(), nn.Linear(24, 1))
            for i in (0, 2):
                nn.init.zeros_(self.bottom[i].bias)
                if not cured:
                    nn.init.uniform_(self.bottom[i].bias, -7.0, -4.0)

        def forward(self, dense: Tensor) -> Tensor:
            z = self.bottom(dense)
            pairs = torch.einsum("bi,bj->bij", z, z)
            i, j = torch.tril_indices(12, 12, offset=-1)
            return self.top(torch.cat([z, pairs[:, i, j]], 1))

    x, y = prices(seed)
    return Case(Recommender(), x, y, F.mse_loss, adam(3e-3), ratio_of_variance, steps=120)


@sick(
    "saturated-units",
    family=FAMILY,
    cause="standard normal weights under tanh: the sums have the spread of the square root of the width and "
    "saturate it",
    place=("fc1", "fc2", "fc3", "fc4", "fc5", "fc6"),
    link="https://proceedings.mlr.press/v9/glorot10a.html",
)
def saturated_hyperbolic_tangents(seed: int, cured: bool) -> Case:
    net = nn.Sequential()
    for i in range(1, 7):
        layer = nn.Linear(64, 64)
        nn.init.xavier_normal_(layer.weight) if cured else nn.init.normal_(layer.weight)
        net.add_module(f"fc{i}", layer)
        net.add_module(f"act{i}", nn.Tanh())
    net.add_module("out", nn.Linear(64, 10))
    x, y = digits(seed)
    fresh, number = digits(seed + 1)
    evaluate = lambda model, *_: misclassified(model(2 * fresh.flatten(1) - 0.6), number)  # noqa: E731
    return Case(net, 2 * x.flatten(1) - 0.6, y, F.cross_entropy, sgd(0.1), evaluate=evaluate, steps=60)


@sick(
    "hidden-softmax",
    family=FAMILY,
    cause="softmax is the activation of the hidden layers, so that all their units together sum to one",
    place=("1", "3"),
    link="https://github.com/chris-nemeth/sgmcmc-review-paper/issues/2",
)
def softmax_between_layers(seed: int, cured: bool) -> Case:
    act = (lambda: nn.ReLU()) if cured else (lambda: nn.Softmax(dim=-1))
    net = nn.Sequential(nn.Linear(64, 50), act(), nn.Linear(50, 50), act(), nn.Linear(50, 10))
    x, y = digits(seed)
    return Case(net, x.flatten(1), y, F.cross_entropy, adam(2e-3), misclassified, steps=100)


@sick(
    "hidden-softmax",
    family=FAMILY,
    cause="the masks of a separation network go through a softmax over 64 channels, which leaves each with 1/64",
    place=("mask",),
    link="https://github.com/funcwj/conv-tasnet/issues/2",
)
def softmax_over_feature_masks(seed: int, cured: bool) -> Case:
    class Separator(nn.Module):
        def __init__(self, n: int = 64) -> None:
            super().__init__()
            self.encoder = nn.Conv1d(1, n, 8, stride=4)
            self.mask = nn.Conv1d(n, n, 3, padding=1)
            self.decoder = nn.ConvTranspose1d(n, 1, 8, stride=4)

        def forward(self, wave: Tensor) -> Tensor:
            w = F.relu(self.encoder(wave))
            m = self.mask(w)
            m = torch.sigmoid(m) if cured else torch.softmax(m, 1)
            return self.decoder(w * m)

    noisy, _ = tones(seed)
    clean = F.avg_pool1d(noisy, 5, stride=1, padding=2)
    return Case(Separator(), noisy, clean, F.l1_loss, adam(2e-3), steps=25)


@sick(
    "dead-units",
    family=FAMILY,
    cause="a ReLU before the gate's softmax on a table of zeros: its slope there is zero, so the table never moves",
    place=("domain", "gate"),
    link="https://github.com/mrchor/HiNet/issues/1",
)
def relu_on_a_table_of_zeros(seed: int, cured: bool) -> Case:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.domain = nn.Embedding(3, 8)
            nn.init.zeros_(self.domain.weight)
            self.gate = nn.Linear(8, 4, bias=False)
            self.experts = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)) for _ in range(4))

        def forward(self, x: Tensor, domain: Tensor) -> Tensor:
            g = self.gate(self.domain(domain))
            g = torch.softmax(g if cured else F.relu(g), 1)
            return (g.unsqueeze(1) * torch.stack([e(x) for e in self.experts], -1)).sum(-1)

    x, y = prices(seed, n=384)
    domain = torch.arange(len(x)) % 3
    y = y * torch.tensor([1.0, -1.0, 0.2])[domain][:, None]
    return Case(Experts(), (x, domain), y, F.mse_loss, adam(5e-3), ratio_of_variance, steps=120)


@sick(
    "symmetric-units",
    family="symmetry",
    cause="every weight starts at the same constant, so all units of a layer compute the same and stay equal",
    place=("hidden", "more"),
    link="https://github.com/wagonhelm/NaNmnist/issues/2",
)
def one_constant_for_all_weights(seed: int, cured: bool) -> Case:
    class Multilayer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.more, self.out = nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)
            if not cured:
                self.apply(self.fill)

        @staticmethod
        def fill(module: nn.Module) -> None:
            if isinstance(module, nn.Linear):
                nn.init.constant_(module.weight, 0.05)
                nn.init.zeros_(module.bias)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.tanh(self.more(torch.tanh(self.hidden(x.flatten(1))))))

    x, y = digits(seed)
    return Case(Multilayer(), x, y, F.cross_entropy, adam(2e-3), misclassified, steps=100)


@sick(
    "symmetric-units",
    family="symmetry",
    cause="a layer was widened by copying its units and halving what they feed, without noise: the copies stay copies",
    place=("wide", "after"),
    link="https://github.com/soumith/net2net.torch/issues/3",
)
def widened_without_noise(seed: int, cured: bool) -> Case:
    narrow, out = nn.Linear(8, 2), nn.Linear(2, 1)
    wide, after = nn.Linear(8, 48), nn.Linear(48, 1)
    with torch.no_grad():
        source = torch.arange(48) % 2
        wide.weight.copy_(narrow.weight[source])
        wide.bias.copy_(narrow.bias[source])
        after.weight.copy_(out.weight[:, source] / 24)
        after.bias.copy_(out.bias)
        if cured:
            wide.weight.add_(0.5 * torch.randn_like(wide.weight))
            after.weight.add_(0.03 * torch.randn_like(after.weight))
    net = nn.Sequential(OrderedDict(wide=wide, act=nn.Tanh(), after=after))
    x, y = prices(seed)
    return Case(net, x, y, nn.MSELoss(), adam(1e-2), ratio_of_variance, steps=80)


@sick(
    "symmetric-units",
    family="symmetry",
    cause="the experts of a mixture are copies of one expert under an even gate, so that they all get the same "
    "gradient",
    place=("experts",),
    link="https://arxiv.org/abs/1701.06538",
)
def experts_that_are_copies(seed: int, cured: bool) -> Case:
    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first = nn.Sequential(nn.Linear(8, 1), nn.Tanh(), nn.Linear(1, 1))
            more = [nn.Sequential(nn.Linear(8, 1), nn.Tanh(), nn.Linear(1, 1)) for _ in range(5)]
            self.experts = nn.ModuleList([first, *(more if cured else [deepcopy(first) for _ in range(5)])])
            self.gate = nn.Linear(8, 6)
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)

        def forward(self, x: Tensor) -> Tensor:
            weight = self.gate(x).softmax(-1)
            return sum(weight[:, i : i + 1] * expert(x) for i, expert in enumerate(self.experts))

    x, y = prices(seed)
    return Case(Mixture(), x, y, F.mse_loss, adam(1e-2), ratio_of_variance, steps=120)


@sick(
    "non-finite",
    family="numerics",
    cause="the predicted log variance of unscaled values is exponentiated, and the exponential overflows",
    place=("logvar",),
    link="https://github.com/pankajmishra000/VT-ADL/issues/10",
)
def exponential_of_a_large_log_variance(seed: int, cured: bool) -> Case:
    class Density(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.GRU(1, 16, batch_first=True)
            self.mean, self.logvar = nn.Linear(16, 1), nn.Linear(16, 1)
            if not cured:
                nn.init.constant_(self.logvar.bias, -120.0)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.trunk(x)[0][:, -1]
            return self.mean(h), self.logvar(h)

    def nll(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        mean, logvar = output
        return 0.5 * (logvar + (y - mean) ** 2 * torch.exp(-logvar)).mean()

    x, y = series(seed)
    return Case(Density(), x, y, nll, adam(3e-3), lambda o, t: ratio_of_variance(o[0], t), steps=100)


@sick(
    "wrong-backward",
    family="numerics",
    cause="an activation of one's own returns 1 + tanh² for its derivative, where 1 - tanh² is right",
    place=("act",),
    link="https://github.com/gy910210/neural-network-from-scratch/issues/2",
)
def tangent_with_a_wrong_derivative(seed: int, cured: bool) -> Case:
    class MyTanh(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):  # type: ignore[no-untyped-def]
            out = torch.tanh(z)
            ctx.save_for_backward(out)
            return out

        @staticmethod
        def backward(ctx, grad):  # type: ignore[no-untyped-def]
            (out,) = ctx.saved_tensors
            return grad * (1 - out**2 if cured else 1 + out**2)

    class Activation(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return MyTanh.apply(z)

    def layer(i: int, o: int) -> nn.Linear:
        linear = nn.Linear(i, o)
        nn.init.normal_(linear.weight, std=2.0 / i**0.5)
        return linear

    net = nn.Sequential(
        OrderedDict(a=layer(16, 48), act=Activation(), b=layer(48, 48), act2=Activation(), out=nn.Linear(48, 4))
    )
    x, y = features(seed)
    return Case(net, x, y, F.cross_entropy, sgd(0.5), steps=100)
