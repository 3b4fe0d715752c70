"""The table of docs/keras.md: ten networks built in Keras and in PyTorch, with equal weights, checked and planned.

KERAS_BACKEND=tensorflow python benchmarks/keras/twins.py            # prints the table
KERAS_BACKEND=tensorflow python benchmarks/keras/twins.py lstm       # some rows

Weights go from PyTorch to Keras by their order and the one layout that both backends share; levels and gradients are
compared weight by weight, and so are predicted levels. A ratio of 1.00 is what two exact computations would give.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
from keras import layers, ops
from torch import nn

import gainstage as gs
from gainstage.backends.keras.models.layout import native
from gainstage.backends.keras.models.names import named_parameters
from gainstage.backends.torch.measuring.weights import incoming_weights
from gainstage.planning import plan
from gainstage.records import Diagnosis, Severity

CLASSES = 10
Pair = tuple[Any, nn.Module, np.ndarray]


def white(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def flat(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(*parts)


def perceptron(activation: str, depth: int) -> Pair:
    acts = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}
    own = [m for _ in range(depth) for m in (layers.Dense(64), layers.Activation(activation))]
    twin = [m for i in range(depth) for m in (nn.Linear(32 if i == 0 else 64, 64), acts[activation]())]
    model = keras.Sequential([keras.Input((32,)), *own, layers.Dense(CLASSES)])
    return model, flat(*twin, nn.Linear(64, CLASSES)), white(64, 32)


def convolutional() -> Pair:
    own = [layers.Conv2D(16, 3, padding="same"), layers.ReLU(), layers.MaxPooling2D(2), layers.Conv2D(32, 3),
           layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(CLASSES)]  # fmt: skip
    twin = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), Pooled(),
            nn.Linear(32, CLASSES)]  # fmt: skip
    return keras.Sequential([keras.Input((16, 16, 3)), *own]), flat(*twin), white(32, 16, 16, 3)


class Pooled(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def batch_normalised() -> Pair:
    own, twin = [], []
    for i in range(3):
        own += [layers.Conv2D(16, 3, use_bias=False), layers.BatchNormalization(epsilon=1e-5), layers.ReLU()]
        twin += [nn.Conv2d(3 if i == 0 else 16, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    own += [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES)]
    model = keras.Sequential([keras.Input((16, 16, 3)), *own])
    return model, flat(*twin, Pooled(), nn.Linear(16, CLASSES)), white(32, 16, 16, 3)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(32, 64), nn.Linear(64, CLASSES)
        self.blocks = nn.ModuleList([flat(nn.LayerNorm(64), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
                                     for _ in range(4)])  # fmt: skip

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def residual() -> Pair:
    inputs = keras.Input((32,))
    x = layers.Dense(64)(inputs)
    for _ in range(4):
        norm = layers.LayerNormalization(epsilon=1e-5)(x)
        x = x + layers.Dense(64)(layers.Activation("relu")(layers.Dense(64)(norm)))
    return keras.Model(inputs, layers.Dense(CLASSES)(x)), Residual(), white(64, 32)


class Attending(nn.Module):
    """A pre-norm transformer block over single projections, as Keras keeps them."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.first = nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.second, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 64), nn.Linear(64, width)
        self.head, self.heads = nn.Linear(width, CLASSES), heads

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x):
        seen = self.first(x)
        parts = [self.split(layer(seen)) for layer in (self.query, self.key, self.value)]
        mixed = nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        x = x + self.out(mixed)
        x = x + self.down(nn.functional.gelu(self.up(self.second(x))))
        return self.head(x.mean(1))


def transformer() -> Pair:
    inputs = keras.Input((8, 32))
    seen = layers.LayerNormalization(epsilon=1e-5)(inputs)
    x = inputs + layers.MultiHeadAttention(4, 8)(seen, seen)
    seen = layers.LayerNormalization(epsilon=1e-5)(x)
    x = x + layers.Dense(32)(layers.Dense(64, activation=ops_gelu)(seen))
    return keras.Model(inputs, layers.Dense(CLASSES)(ops.mean(x, axis=1))), Attending(), white(32, 8, 32)


def ops_gelu(x):
    return ops.gelu(x, approximate=False)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(16, 32, batch_first=True), nn.Linear(32, CLASSES)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


def lstm() -> Pair:
    inputs = keras.Input((6, 16))
    states = layers.LSTM(32, return_sequences=True)(inputs)  # as PyTorch's, of which the last one is taken
    return keras.Model(inputs, layers.Dense(CLASSES)(states[:, -1])), Recurrent(), white(32, 6, 16)


def depthwise() -> Pair:
    own = [layers.Conv2D(16, 1), layers.DepthwiseConv2D(3), layers.ReLU(), layers.Conv2D(32, 1), layers.ReLU(),
           layers.GlobalAveragePooling2D(), layers.Dense(CLASSES)]  # fmt: skip
    twin = [nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 3, groups=16), nn.ReLU(), nn.Conv2d(16, 32, 1), nn.ReLU(), Pooled(),
            nn.Linear(32, CLASSES)]  # fmt: skip
    return keras.Sequential([keras.Input((12, 12, 3)), *own]), flat(*twin), white(32, 12, 12, 3)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.hidden, self.head = nn.Embedding(50, 16), nn.Linear(16, 32), nn.Linear(32, CLASSES)

    def forward(self, tokens):
        return self.head(torch.tanh(self.hidden(self.table(tokens).mean(1))))


def embedding() -> Pair:
    own = [layers.Embedding(50, 16), layers.GlobalAveragePooling1D(), layers.Dense(32, "tanh"), layers.Dense(CLASSES)]
    tokens = np.random.default_rng(0).integers(0, 50, (64, 12))
    return keras.Sequential([keras.Input((12,), dtype="int32"), *own]), Words(), tokens


NETWORKS: dict[str, tuple[str, Callable[[], Pair]]] = {
    "perceptron": ("perceptron, 3 relu layers", lambda: perceptron("relu", 3)),
    "sigmoid": ("perceptron, 12 sigmoid layers", lambda: perceptron("sigmoid", 12)),
    "deep": ("perceptron, 24 relu layers", lambda: perceptron("relu", 24)),
    "convolutional": ("convolutions and max pooling", convolutional),
    "batchnorm": ("convolutions with batch norm", batch_normalised),
    "depthwise": ("depthwise convolution", depthwise),
    "residual": ("pre-norm residual blocks", residual),
    "transformer": ("transformer block", transformer),
    "lstm": ("LSTM", lstm),
    "embedding": ("embedding, mean, tanh", embedding),
}


def laid_out(model: Any, other: nn.Module, x: np.ndarray) -> tuple[Any, Any, Any]:
    """Keras at Glorot's rule, the same values in PyTorch; the batch for PyTorch; weights of both in pairs."""
    seen = torch.from_numpy(np.moveaxis(x, -1, 1).copy() if x.ndim == 4 else x)
    graph, twin = gs.trace(model, x), gs.trace(other, seen)
    pairs = paired(graph, twin)
    gs.initialize(other, "glorot_uniform", seed=3)
    tensors, variables = dict(other.named_parameters()), named_parameters(model)[0]
    for own, theirs in pairs:
        tensor = tensors[theirs.path].detach()
        if own.kernel is not None:
            values = incoming_weights(tensor, theirs).reshape(-1, own.kernel.in_ // own.kernel.groups,
                                                              own.kernel.receptive).numpy()  # fmt: skip
            values = native(values, own.shape, own.kernel, own.blocks, own.layout)
        else:
            values = tensor.numpy().reshape(own.shape)
        variables[own.path].assign(values)
    return seen, pairs, (graph, twin)


def paired(graph: Any, twin: Any) -> list[tuple[Any, Any]]:
    """The parameters of both in the order of their use; of an LSTM's two biases in PyTorch, Keras has one."""
    order = [
        [g.parameter(p) for p in dict.fromkeys(u.parameter for n in g.nodes for u in n.uses)] for g in (graph, twin)
    ]
    own, theirs = ([p for p in side if "bias_hh" not in p.path] for side in order)
    assert [str(p.role) for p in own] == [str(p.role) for p in theirs], (order[0], order[1])
    return list(zip(own, theirs, strict=True))


def codes(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    return [(f.code, str(f.severity)) for f in diagnosis.findings if f.severity is not Severity.NOTE]


def farthest(first: Any, second: Any, pairs: Any, what: str) -> float:
    """The ratio farthest from one of two profiles' root mean squares, at the nodes of paired weights."""
    ratios = [1.0]
    for own, theirs in pairs:
        if own.kernel is None:
            continue
        at = [p.by_node.get(g.nodes[0]) for p, g in ((first, own), (second, theirs))]
        if None in at:
            continue
        levels = [getattr(node, what) for node in at]
        if None in levels or not levels[1].rms:
            continue
        ratios.append(levels[0].rms / levels[1].rms)
    return max(ratios, key=lambda r: abs(np.log(r)))


def plans_agree(graphs: Any, pairs: Any) -> bool:
    by_path = [{a.parameter: a for a in plan(graph, "auto", seed=1)} for graph in graphs]
    return all(
        (a.role, a.scheme, a.bias, round(a.gain, 9)) == (b.role, b.scheme, b.bias, round(b.gain, 9))
        for a, b in ((by_path[0][o.path], by_path[1][t.path]) for o, t in pairs)
    )


def row(name: str) -> str:
    title, make = NETWORKS[name]
    keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    model, other, x = make()
    seen, pairs, graphs = laid_out(model, other, x)
    y = np.arange(len(x)) % CLASSES
    own = gs.check(model, x, y, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    twin = gs.check(other, seen, torch.from_numpy(y), loss=nn.functional.cross_entropy)
    found = ", ".join(code for code, _ in codes(own)) or "none"
    same = "the same" if codes(own) == codes(twin) else f"PyTorch: {codes(twin)}"
    level, gradient = (farthest(own.profile, twin.profile, pairs, what) for what in ("forward", "backward"))
    predicted = [gs.predict(model, x), gs.predict(other, seen)]
    foreseen = farthest(*predicted, pairs, "forward")
    planned = "the same" if plans_agree(graphs, pairs) else "differs"
    return f"| {title} | {found} | {same} | {planned} | {level:.4f} | {gradient:.4f} | {foreseen:.4f} |"


def main() -> None:
    print(f"Keras {keras.__version__} on {keras.config.backend()}, PyTorch {torch.__version__}\n")
    print("| network | findings in Keras | in PyTorch | plan | level | gradient | predicted level |")
    print("|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or NETWORKS:
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
