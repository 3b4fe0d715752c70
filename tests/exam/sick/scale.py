"""Signals and gradients that vanish, explode or become alike, over depth or over time."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sgd, sick
from exam.problems import communities, digits, features, markov, misclassified, molecules, recall

FAMILY = "scale over depth"


@sick(
    "gradient-vanishes",
    family=FAMILY,
    cause="ten sigmoid layers at PyTorch's default start: every layer passes on a quarter of the gradient at most",
    place=("0", "2", "4", "6", "8"),
    link="https://github.com/aymericdamien/TensorFlow-Examples/pull/146",
)
def sigmoid_tower(seed: int, cured: bool) -> Case:
    act = nn.ReLU if cured else nn.Sigmoid
    layers: list[nn.Module] = []
    for i in range(10):
        layers += [nn.Linear(16 if i == 0 else 32, 32), act()]
    net = nn.Sequential(*layers, nn.Linear(32, 4))
    if cured:
        for layer in net[::2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    x, y = features(seed)
    return Case(net, x, y, F.cross_entropy, adam(1e-3), misclassified, steps=150)


@sick(
    "signal-vanishes",
    family=FAMILY,
    cause="eight convolutions drawn with a standard deviation of 0.01, whatever their fan-in, so that the "
    "signal shrinks",
    place=("body",),
    link="https://arxiv.org/abs/1502.01852",
)
def gaussian_hundredth_convolutions(seed: int, cured: bool) -> Case:
    class ConvNet(nn.Module):
        def __init__(self, width: int = 12) -> None:
            super().__init__()
            self.body = nn.ModuleList(nn.Conv2d(1 if i == 0 else width, width, 3, padding=1) for i in range(8))
            self.classifier = nn.Linear(width * 16, 10)
            for conv in self.body:
                nn.init.normal_(conv.weight, std=(2 / (9 * conv.in_channels)) ** 0.5 if cured else 0.01)
                nn.init.zeros_(conv.bias)

        def forward(self, x: Tensor) -> Tensor:
            for conv in self.body:
                x = F.relu(conv(x))
            return self.classifier(F.max_pool2d(x, 2).flatten(1))

    x, y = digits(seed, 96)
    return Case(ConvNet(), x, y, nn.CrossEntropyLoss(), sgd(0.03, momentum=0.9), misclassified, steps=60)


@sick(
    "signal-explodes",
    family=FAMILY,
    cause="weights of unit variance in a ReLU network: each layer multiplies the signal by half the square root "
    "of its width",
    place=("layers",),
    link="https://github.com/MichalDanielDobrzanski/DeepLearningPython/issues/13",
)
def unit_normal_weights_with_relu(seed: int, cured: bool) -> Case:
    class Network(nn.Module):
        def __init__(self, sizes: list[int]) -> None:
            super().__init__()
            self.layers = nn.ParameterList(
                torch.randn(o, i) * ((2 / i) ** 0.5 if cured else 1.0) for i, o in itertools.pairwise(sizes)
            )
            self.biases = nn.ParameterList(torch.zeros(o) for o in sizes[1:])

        def forward(self, a: Tensor) -> Tensor:
            for w, b in zip(self.layers[:-1], self.biases[:-1], strict=True):
                a = torch.relu(F.linear(a, w, b))
            return F.linear(a, self.layers[-1], self.biases[-1])

    x, y = digits(seed)
    return Case(
        Network([64, 100, 100, 100, 100, 10]), x.flatten(1), y, F.cross_entropy, sgd(0.05), misclassified, steps=60
    )


@sick(
    "signal-explodes",
    family="scale over time",
    cause="recurrent weights of three times the identity under a ReLU: the state grows at every step of the sequence",
    place=("rnn",),
    link="https://github.com/chenxie95/deeplearning_course_sjtu/issues/31",
)
def relu_recurrence_that_grows(seed: int, cured: bool) -> Case:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(3, 24, nonlinearity="relu", batch_first=True)
            self.out = nn.Linear(24, 3)
            self.rnn.weight_hh_l0.data = torch.eye(24) * (1.0 if cured else 3.0)
            nn.init.normal_(self.rnn.weight_ih_l0, std=0.1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.rnn(x)[0][:, -1])

    x, y = recall(seed, length=60)
    return Case(Reader(), x, y, F.cross_entropy, adam(3e-3), misclassified, steps=60)


@sick(
    "gradient-vanishes",
    family="scale over time",
    cause="a tanh recurrence with recurrent weights of gain 0.3: the first token's gradient is gone after forty steps",
    place=("cell",),
    link="https://arxiv.org/abs/1211.5063",
)
def forgetful_tanh_recurrence(seed: int, cured: bool) -> Case:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.RNNCell(3, 20), nn.Linear(20, 3)
            nn.init.orthogonal_(self.cell.weight_hh, gain=1.0 if cured else 0.3)

        def forward(self, x: Tensor) -> Tensor:
            h = x.new_zeros(len(x), 20)
            for t in range(x.shape[1]):
                h = self.cell(x[:, t], h)
            return self.head(h)

    x, y = recall(seed, length=40)
    fresh = recall(seed + 1, length=40)
    evaluate = lambda model, *_: misclassified(model(fresh[0]), fresh[1])  # noqa: E731
    return Case(Recurrent(), x, y, F.cross_entropy, adam(2e-3), evaluate=evaluate, steps=80)


@sick(
    "signal-explodes",
    family=FAMILY,
    cause="a graph network that sums over all neighbours, layer after layer, without any normalisation",
    place=("layers",),
    link="https://github.com/cvignac/SMP/issues/3",
)
def sum_over_neighbours_without_norm(seed: int, cured: bool) -> Case:
    class GraphNet(nn.Module):
        def __init__(self, hidden: int = 16, depth: int = 8) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(5 if i == 0 else hidden, hidden) for i in range(depth))
            self.readout = nn.Linear(hidden, 2)
            for layer in self.layers:
                nn.init.kaiming_normal_(layer.weight)

        def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
            for layer in self.layers:
                m = adjacency @ x + x
                if cured:
                    m = F.layer_norm(m, m.shape[-1:])
                x = F.relu(layer(m))
            return self.readout(x.mean(1))

    x, adjacency, y = molecules(seed)
    return Case(GraphNet(), (x, adjacency), y, F.cross_entropy, adam(3e-3), misclassified, steps=80)


@sick(
    "inputs-collapse",
    family="collapse",
    cause="sixteen rounds of averaging over neighbours leave all nodes of the graph with one embedding",
    place=("convs",),
    link="https://github.com/yl-1993/learn-to-cluster/issues/23",
)
def sixteen_graph_convolutions(seed: int, cured: bool) -> Case:
    class GCN(nn.Module):
        def __init__(self, depth: int) -> None:
            super().__init__()
            self.convs = nn.ModuleList(nn.Linear(12 if i == 0 else 16, 16) for i in range(depth))
            self.out = nn.Linear(16, 3)
            for conv in self.convs:
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

        def forward(self, x: Tensor, a: Tensor) -> Tensor:
            a = a + torch.eye(len(a))
            a = a / a.sum(1, keepdim=True)
            for conv in self.convs:
                x = F.relu(a @ conv(x))
            return self.out(x)

    x, adjacency, y = communities(seed)
    return Case(GCN(2 if cured else 16), (x, adjacency), y, F.cross_entropy, adam(5e-3), misclassified, steps=60)


@sick(
    "inputs-collapse",
    family="collapse",
    cause="self-attention without residual connections: all tokens become one after a few layers",
    place=("layers",),
    link="https://arxiv.org/abs/2103.03404",
)
def attention_without_residuals(seed: int, cured: bool) -> Case:
    class Layer(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(d)
            self.attention = nn.MultiheadAttention(d, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            h = self.norm(x)
            h = self.attention(h, h, h, need_weights=False)[0]
            return x + h if cured else h

    class Tagger(nn.Module):
        def __init__(self, d: int = 24) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, d)
            self.layers = nn.ModuleList(Layer(d) for _ in range(8))
            self.norm, self.tag = nn.LayerNorm(d), nn.Linear(d, 20)

        def forward(self, tokens: Tensor) -> Tensor:
            h = self.embed(tokens)
            for layer in self.layers:
                h = layer(h)
            return self.tag(self.norm(h)).transpose(1, 2)

    x, y = markov(seed, n=32)
    return Case(Tagger(), x, y, F.cross_entropy, adam(2e-3), misclassified, steps=60)


@sick(
    "head-too-large",
    family="start of the loss",
    cause="the token table of standard deviation one is tied to the output layer, so the logits start confident "
    "and wrong",
    place=("wte", "lm_head"),
    link="https://github.com/syncdoth/RetNet/issues/31",
)
def tied_table_of_unit_scale(seed: int, cured: bool) -> Case:
    class LanguageModel(nn.Module):
        def __init__(self, vocabulary: int = 20, d: int = 64) -> None:
            super().__init__()
            self.wte = nn.Embedding(vocabulary, d)
            self.mix = nn.GRU(d, d, batch_first=True)
            self.norm = nn.LayerNorm(d)
            self.lm_head = nn.Linear(d, vocabulary, bias=False)
            self.lm_head.weight = self.wte.weight
            if cured:
                nn.init.normal_(self.wte.weight, std=d**-0.5)

        def forward(self, ids: Tensor) -> Tensor:
            h = self.wte(ids)
            return self.lm_head(self.norm(h + self.mix(h)[0]))

    x, y = markov(seed)
    loss = lambda logits, target: F.cross_entropy(logits.flatten(0, 1), target.flatten())  # noqa: E731
    return Case(LanguageModel(), x, y, loss, adam(1e-3), steps=40)


@sick(
    "layer-out-of-scale",
    family=FAMILY,
    cause="one layer of an otherwise well drawn network was scaled down by a factor meant for others and starts "
    "a thousand times too small",
    place=("neck",),
    link="https://github.com/borisdayma/dalle-mini/pull/150",
)
def neck_a_thousand_times_too_small(seed: int, cured: bool) -> Case:
    class Bottleneck(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.neck = nn.Linear(16, 48), nn.Linear(48, 48)
            self.decode, self.classify = nn.Linear(48, 48), nn.Linear(48, 4)
            for layer in (self.encode, self.neck, self.decode):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
            if not cured:
                with torch.no_grad():
                    self.neck.weight.mul_(1e-3)

        def forward(self, x: Tensor) -> Tensor:
            h = F.relu(self.neck(F.relu(self.encode(x))))
            return self.classify(F.relu(self.decode(h)))

    x, y = features(seed)
    return Case(Bottleneck(), x, y, F.cross_entropy, sgd(0.05), misclassified, steps=40)


@sick(
    "gradient-explodes",
    family=FAMILY,
    cause="a tanh network with gain four: forward values stay bounded while the gradient grows layer by layer",
    place=("0", "2", "4"),
    link="https://arxiv.org/abs/1611.01232",
)
def chaotic_tanh_network(seed: int, cured: bool) -> Case:
    net = nn.Sequential()
    for i in range(15):
        layer = nn.Linear(16 if i == 0 else 64, 64, bias=False)
        nn.init.normal_(layer.weight, std=(1.0 if cured else 4.0) / math.sqrt(layer.in_features))
        net.extend([layer, nn.Tanh()])
    net.append(nn.Linear(64, 4))
    x, y = features(seed)
    return Case(net, x, y, nn.CrossEntropyLoss(), adam(1e-3), steps=30)
