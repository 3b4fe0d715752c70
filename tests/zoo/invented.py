"""Networks that no textbook scheme was made for: written by hand, each for one thing that its weights do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["INVENTED", "Invented"]

EXAMPLES, FEATURES, CLASSES, WIDTH = 32, 16, 10, 32


class Experts(nn.Module):
    """A mixture of experts in one array, and the two that a router likes best."""

    def __init__(self, experts=4):
        super().__init__()
        self.stem, self.router, self.head = (
            nn.Linear(FEATURES, WIDTH),
            nn.Linear(WIDTH, experts),
            nn.Linear(WIDTH, CLASSES),
        )
        self.up = nn.Parameter(0.02 * torch.randn(experts, WIDTH, 64))
        self.down = nn.Parameter(0.02 * torch.randn(experts, 64, WIDTH))

    def forward(self, x):
        x = self.stem(x)
        shares, chosen = self.router(x).topk(2, -1)
        gates = torch.zeros(len(x), 4).scatter(1, chosen, shares.softmax(-1))
        outputs = torch.einsum("beh,ehd->bed", F.relu(torch.einsum("bd,edh->beh", x, self.up)), self.down)
        return self.head(x + (gates[..., None] * outputs).sum(1))


class Hypernetwork(nn.Module):
    """Weights of one layer made from the input."""

    def __init__(self):
        super().__init__()
        self.code, self.weights, self.bias = nn.Linear(8, 16), nn.Linear(16, 256), nn.Linear(16, 16)
        self.stem, self.head = nn.Linear(FEATURES, 16), nn.Linear(16, CLASSES)

    def forward(self, x):
        code = torch.tanh(self.code(x[:, :8]))
        matrix = self.weights(code).view(-1, 16, 16)
        hidden = torch.bmm(matrix, F.relu(self.stem(x))[:, :, None])[:, :, 0]
        return self.head(torch.relu(hidden + self.bias(code)))


class SharedDepth(nn.Module):
    """One layer, twelve times over; with ``skip`` each adds to a stream."""

    def __init__(self, activation=torch.relu, *, skip=False):
        super().__init__()
        self.activation, self.skip = activation, skip
        self.stem, self.up, self.down = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for _ in range(12):
            made = self.activation(self.up(x))
            x = x + self.down(made) if self.skip else self.activation(self.down(made))
        return self.head(x)


class Perceiver(nn.Module):
    """Learned latents that ask, and an input that answers."""

    def __init__(self):
        super().__init__()
        self.latents, self.project = nn.Parameter(0.02 * torch.randn(4, WIDTH)), nn.Linear(8, WIDTH)
        self.q, self.kv, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down, self.head = nn.Linear(WIDTH, 64), nn.Linear(64, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        latents = self.latents.expand(len(x), -1, -1)
        k, v = self.kv(self.project(x)).chunk(2, -1)
        latents = latents + self.out((self.q(latents) @ k.transpose(1, 2) / math.sqrt(WIDTH)).softmax(-1) @ v)
        return self.head((latents + self.down(F.gelu(self.up(latents)))).mean(1))


class Scan(nn.Module):
    """A gated linear recurrence in plain operations, as state-space models run it."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(8, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.packed, self.step, self.out = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.decay = nn.Parameter(-torch.rand(WIDTH))

    def forward(self, x):
        x = self.stem(x)
        signal, gate = self.packed(x).chunk(2, -1)
        step, state, states = F.softplus(self.step(x)), torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            state = torch.exp(self.decay * step[:, t]) * state + step[:, t] * signal[:, t]
            states.append(state)
        return self.head((x + self.out(torch.stack(states, 1) * F.silu(gate)))[:, -1])


class ElmanByHand(nn.Module):
    """A recurrent layer as a loop."""

    def __init__(self):
        super().__init__()
        self.input, self.state, self.head = nn.Linear(8, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        state = torch.zeros(len(x), WIDTH)
        for t in range(x.shape[1]):
            state = torch.tanh(self.input(x[:, t]) + self.state(state))
        return self.head(state)


class LSTMByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.input, self.state = nn.Linear(8, 4 * WIDTH), nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        state = cell = torch.zeros(len(x), WIDTH)
        for t in range(x.shape[1]):
            i, f, g, o = (self.input(x[:, t]) + self.state(state)).chunk(4, -1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(cell)
        return self.head(state)


class Equilibrium(nn.Module):
    """A fixed point found without gradients, and one step from it with them."""

    def __init__(self):
        super().__init__()
        self.input, self.state, self.head = (
            nn.Linear(FEATURES, WIDTH),
            nn.Linear(WIDTH, WIDTH),
            nn.Linear(WIDTH, CLASSES),
        )

    def forward(self, x):
        x, state = self.input(x), torch.zeros(len(x), WIDTH)
        with torch.no_grad():
            for _ in range(10):
                state = torch.tanh(self.state(state) + x)
        return self.head(torch.tanh(self.state(state.detach()) + x))


class Flow(nn.Module):
    """Affine couplings; the logits are the first outputs."""

    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleList(
            [nn.Sequential(nn.Linear(8, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 16)) for _ in range(4)]
        )

    def forward(self, x):
        one, other = x.chunk(2, -1)
        for net in self.nets:
            scale, shift = net(one).chunk(2, -1)
            one, other = other * torch.tanh(scale).exp() + shift, one
        return torch.cat([one, other], -1)


class Splines(nn.Module):
    """Learned functions on every edge (KAN): a base layer and radial functions side by side."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.base, self.shapes = nn.Linear(inputs, outputs), nn.Parameter(0.1 * torch.randn(inputs, outputs, 8))
        self.register_buffer("centres", torch.linspace(-2, 2, 8))

    def forward(self, x):
        basis = torch.exp(-4 * (x[..., None] - self.centres) ** 2)
        return self.base(F.silu(x)) + torch.einsum("big,iog->bo", basis, self.shapes)


class Standardised(nn.Conv2d):
    """A convolution whose weights are standardised before use."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5) / math.sqrt(weight[0].numel())
        return F.conv2d(x, weight, self.bias, padding=1)


class Waves(nn.Module):
    """SIREN: sines of thirty times a layer's output."""

    def __init__(self, factor=30.0):
        super().__init__()
        self.factor = factor
        self.layers = nn.ModuleList([nn.Linear(2 if i == 0 else WIDTH, WIDTH) for i in range(5)])
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        for layer in self.layers:
            x = torch.sin(self.factor * layer(x))
        return self.head(x)


class Modulated(nn.Module):
    """FiLM: scale and shift of every layer from a condition."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(8, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(4)])
        self.conditions = nn.ModuleList([nn.Linear(8, 2 * WIDTH) for _ in range(4)])

    def forward(self, x):
        signal, condition = self.stem(x[:, :8]), x[:, 8:]
        for layer, conditioned in zip(self.layers, self.conditions, strict=True):
            scale, shift = conditioned(condition).chunk(2, -1)
            signal = signal + F.relu(layer(signal) * (1 + scale) + shift)
        return self.head(signal)


class Messages(nn.Module):
    """A graph network: nodes are examples, edges a constant list."""

    def __init__(self, depth=4):
        super().__init__()
        self.stem, self.head = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.sent = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(depth)])
        self.kept = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(depth)])
        edges = torch.randint(0, EXAMPLES, (2, 4 * EXAMPLES), generator=torch.Generator().manual_seed(0))
        self.register_buffer("edges", edges)

    def forward(self, x):
        x = self.stem(x)
        sources, targets = self.edges
        for sent, kept in zip(self.sent, self.kept, strict=True):
            x = F.relu(kept(x) + torch.zeros_like(x).index_add_(0, targets, sent(x)[sources]))
        return self.head(x)


class Spectrum(nn.Module):
    """Fourier layers with complex weights beside pointwise ones."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv1d(1, 16, 1), nn.Linear(16, CLASSES)
        self.modes = nn.ParameterList([nn.Parameter(torch.randn(16, 16, 4, dtype=torch.cfloat) / 16) for _ in range(3)])
        self.local = nn.ModuleList([nn.Conv1d(16, 16, 1) for _ in range(3)])

    def forward(self, x):
        x = self.stem(x[:, None])
        for modes, local in zip(self.modes, self.local, strict=True):
            spectrum = torch.fft.rfft(x)
            kept = torch.zeros_like(spectrum)
            kept[..., :4] = torch.einsum("bix,iox->box", spectrum[..., :4], modes)
            x = F.gelu(torch.fft.irfft(kept, n=x.shape[-1]) + local(x))
        return self.head(x.mean(-1))


class StochasticDepth(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.blocks = nn.ModuleList(
            [nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)) for _ in range(8)]
        )

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x) * (torch.rand(len(x), 1) < 0.5).float() / 0.5 if self.training else x + block(x)
        return self.head(x)


class Flowing(nn.Module):
    """An ordinary differential equation in twenty Euler steps."""

    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for _ in range(20):
            x = x + self.b(torch.tanh(self.a(x))) / 20
        return self.head(x)


class Pairs(nn.Module):
    """A factorisation machine: a linear part and all products of two features."""

    def __init__(self):
        super().__init__()
        self.linear, self.factors = nn.Linear(FEATURES, CLASSES), nn.Parameter(0.1 * torch.randn(FEATURES, CLASSES, 4))

    def forward(self, x):
        whole = torch.einsum("bi,ick->bck", x, self.factors) ** 2
        return self.linear(x) + 0.5 * (whole - torch.einsum("bi,ick->bck", x**2, self.factors**2)).sum(-1)


class Gated(nn.Module):
    """Gated linear units, one after another."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(FEATURES if i == 0 else WIDTH, 2 * WIDTH) for i in range(8)])
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        for layer in self.layers:
            x = F.glu(layer(x), -1)
        return self.head(x)


class Fused(nn.Module):
    """A table, tokens and an image into one classifier."""

    def __init__(self):
        super().__init__()
        self.image, self.words, self.table = nn.Conv2d(3, 8, 3), nn.Embedding(50, 16), nn.Linear(5, 16)
        self.join, self.head = nn.Linear(40, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, image, words, table):
        parts = [F.relu(self.image(image)).mean((2, 3)), self.words(words).mean(1), F.relu(self.table(table))]
        return self.head(F.relu(self.join(torch.cat(parts, -1))))


@dataclass(frozen=True)
class Invented:
    """A network with the shapes of its inputs.

    Args:
        name: of the case.
        build: makes it.
        shapes: of the inputs, without the batch; whole numbers where ``tokens`` says so.
        at_chance: whether its outputs are logits of a last layer, whose loss starts at chance.
    """

    name: str
    build: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...] = ((FEATURES,),)
    at_chance: bool = True

    def __str__(self) -> str:
        return self.name

    def inputs(self) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(1)
        made = [torch.randn(EXAMPLES, *shape, generator=generator) for shape in self.shapes]
        if self.name == "fused":
            made[1] = torch.randint(0, 50, (EXAMPLES, 5), generator=generator)
        return tuple(made)


def standardised() -> nn.Module:
    layers = [m for i in range(6) for m in (Standardised(3 if i == 0 else 16, 16, 3), nn.ReLU())]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES))


def bounded() -> nn.Module:
    spectral = nn.utils.parametrizations.spectral_norm
    layers = [m for i in range(6) for m in (spectral(nn.Linear(FEATURES if i == 0 else WIDTH, WIDTH)), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))


SEQUENCE = ((6, 8),)

INVENTED = (
    Invented("experts", Experts),
    Invented("hypernetwork", Hypernetwork),
    Invented("shared depth", SharedDepth),
    Invented("shared depth, sigmoid", lambda: SharedDepth(torch.sigmoid)),
    Invented("shared stream", lambda: SharedDepth(skip=True)),
    Invented("perceiver", Perceiver, SEQUENCE),
    Invented("scan", Scan, SEQUENCE),
    Invented("elman by hand", ElmanByHand, SEQUENCE),
    Invented("lstm by hand", LSTMByHand, SEQUENCE),
    Invented("equilibrium", Equilibrium),
    Invented("flow", Flow, at_chance=False),
    Invented(
        "splines", lambda: nn.Sequential(Splines(FEATURES, WIDTH), Splines(WIDTH, WIDTH), Splines(WIDTH, CLASSES))
    ),
    Invented("standardised", standardised, ((3, 8, 8),)),
    Invented("spectral norm", bounded),
    Invented("waves", Waves, ((2,),)),
    Invented("modulated", Modulated),
    Invented("messages", Messages),
    Invented("spectrum", Spectrum),
    Invented("stochastic depth", StochasticDepth),
    Invented("differential equation", Flowing),
    Invented("pairs", Pairs),
    Invented("gated", Gated),
    Invented("fused", Fused, ((3, 8, 8), (5,), (5,))),
)
