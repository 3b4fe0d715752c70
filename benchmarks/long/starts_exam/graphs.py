"""Graphs, sets and clouds of points."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, accuracy, adam, held_out
from starts_exam.sources import generator, halves

__all__ = ["GRAPHS"]


# One graph of three communities; features hint at the community, a fifth of the nodes has a label.
def communities(seed: int) -> Data:
    g = generator(seed)
    y = torch.randint(0, 4, (240,), generator=g)
    likely = torch.where(y[:, None] == y, 0.12, 0.02)
    upper = (torch.rand(240, 240, generator=g) < likely).float().triu(1)
    adjacency = upper + upper.T + torch.eye(240)
    x = (torch.randn(4, 32, generator=g)[y] * 0.3 + torch.randn(240, 32, generator=g)) / 1.05
    seen = torch.rand(240, generator=g) < 0.25
    inputs = (x, adjacency)
    return Data(inputs, y.masked_fill(~seen, -100), inputs, y.masked_fill(seen, -100))


class Gcn(nn.Module):
    """Raw weights by Glorot's rule, biases zero (Kipf 2017)."""

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.weight1, self.bias1 = nn.Parameter(torch.empty(32, hidden)), nn.Parameter(torch.zeros(hidden))
        self.weight2, self.bias2 = nn.Parameter(torch.empty(hidden, 4)), nn.Parameter(torch.zeros(4))
        nn.init.xavier_uniform_(self.weight1)
        nn.init.xavier_uniform_(self.weight2)

    def forward(self, x, adjacency):
        root = adjacency.sum(1).rsqrt()
        spread = root[:, None] * adjacency * root
        x = F.dropout(x, 0.5, self.training)
        x = F.relu(spread @ (x @ self.weight1) + self.bias1)
        return spread @ (F.dropout(x, 0.5, self.training) @ self.weight2) + self.bias2


class GatLayer(nn.Module):
    def __init__(self, inp: int, out: int, heads: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(heads, inp, out))
        self.a = nn.Parameter(torch.empty(heads, 2 * out, 1))
        nn.init.xavier_uniform_(self.W, gain=1.414)
        nn.init.xavier_uniform_(self.a, gain=1.414)

    def forward(self, x, adjacency):
        h = x @ self.W
        out = h.shape[-1]
        scores = F.leaky_relu(h @ self.a[:, :out] + (h @ self.a[:, out:]).transpose(1, 2), 0.2)
        return scores.masked_fill(adjacency == 0, -9e15).softmax(-1) @ h


class Gat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = GatLayer(32, 8, 4), GatLayer(32, 4, 1)

    def forward(self, x, adjacency):
        x = F.elu(self.first(F.dropout(x, 0.3, self.training), adjacency)).permute(1, 0, 2).flatten(1)
        return self.last(F.dropout(x, 0.3, self.training), adjacency)[0]


# Many small graphs as dense matrices: count triangles or regress a sum over bonds.
def small_graphs(seed: int, *, graphs: int = 700, nodes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    g = generator(seed)
    density = torch.rand(graphs, 1, 1, generator=g) * 0.3 + 0.15
    upper = (torch.rand(graphs, nodes, nodes, generator=g) < density).float().triu(1)
    return torch.randn(graphs, nodes, 4, generator=g), upper + upper.transpose(1, 2)


class Gin(nn.Module):
    """Sums over neighbours through perceptrons with batch norm, and a readout of every layer (Xu 2019)."""

    def __init__(self, d: int = 24) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(3))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(4 if i == 0 else d, d), nn.BatchNorm1d(d), nn.ReLU(), nn.Linear(d, d), nn.ReLU())
            for i in range(3)
        )
        self.heads = nn.ModuleList(nn.Linear(d, 2) for _ in range(3))

    def forward(self, x, adjacency):
        score = 0
        for eps, mlp, head in zip(self.eps, self.mlps, self.heads, strict=True):
            gathered = (1 + eps) * x + adjacency @ x
            x = mlp(gathered.flatten(0, 1)).unflatten(0, gathered.shape[:2])
            score = score + head(x.sum(1))
        return score


def triangles(seed: int) -> Data:
    x, adjacency = small_graphs(seed)
    count = torch.einsum("bij,bjk,bki->b", adjacency, adjacency, adjacency) / 6
    y = (count > count.median()).long()
    return halves((x.abs().clamp(0, 0.5) + adjacency.sum(2, keepdim=True), adjacency), y, 200, seed)


class MessagePassing(nn.Module):
    """Messages weighted by a network of the bond, and a GRU that updates the atoms (Gilmer 2017); defaults."""

    def __init__(self, d: int = 12) -> None:
        super().__init__()
        self.lin0, self.edge = nn.Linear(4, d), nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, d * d))
        self.gru, self.readout = nn.GRUCell(d, d), nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 1))
        self.d = d

    def forward(self, x, bonds):
        n = x.shape[1]
        h = F.relu(self.lin0(x))
        kernel = self.edge(bonds[..., None]).unflatten(-1, (self.d, self.d)) * (bonds != 0)[..., None, None]
        for _ in range(2):
            message = torch.einsum("bijde,bje->bid", kernel, h) / n
            h = self.gru(F.relu(message).flatten(0, 1), h.flatten(0, 1)).unflatten(0, (-1, n))
        return self.readout(h.mean(1)).squeeze(-1)


def molecules(seed: int) -> Data:
    """Bonds of strength ±1; the target is the mean over bonds of strength times the product of two properties."""
    x, adjacency = small_graphs(seed, graphs=800, nodes=7)
    g = generator(seed + 50)
    sign = torch.randint(0, 2, adjacency.shape, generator=g).triu(1) * 2.0
    bonds = adjacency * (sign + sign.transpose(1, 2) - 1)
    y = torch.einsum("bij,bi,bj->b", bonds, x[:, :, 0], x[:, :, 0]) + x[:, :, 1].sum(1)
    return halves((x, bonds), (y - y.mean()) / y.std(), 150, seed)


class EquivariantLayer(nn.Module):
    """Moves points along their differences; the last weight of the motion is Xavier with a gain of 0.001."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.edge = nn.Sequential(nn.Linear(2 * d + 1, d), nn.SiLU(), nn.Linear(d, d), nn.SiLU())
        self.node = nn.Sequential(nn.Linear(2 * d, d), nn.SiLU(), nn.Linear(d, d))
        last = nn.Linear(d, 1, bias=False)
        nn.init.xavier_uniform_(last.weight, gain=0.001)
        self.coordinate = nn.Sequential(nn.Linear(d, d), nn.SiLU(), last)

    def forward(self, h, x):
        n = h.shape[1]
        difference = x[:, :, None] - x[:, None]
        squared = (difference**2).sum(-1, keepdim=True)
        sides = [h[:, :, None].expand(-1, -1, n, -1), h[:, None].expand(-1, n, -1, -1)]
        m = self.edge(torch.cat([*sides, squared], -1))
        x = x + (difference * self.coordinate(m)).mean(2)
        return h + self.node(torch.cat([h, m.sum(2)], -1)), x


class Egnn(nn.Module):
    def __init__(self, d: int = 20) -> None:
        super().__init__()
        self.embedding, self.layers = nn.Linear(1, d), nn.ModuleList(EquivariantLayer(d) for _ in range(2))

    def forward(self, charge, x):
        h = self.embedding(charge)
        for layer in self.layers:
            h, x = layer(h, x)
        return x


def charges(seed: int) -> Data:
    """Five charges move along their forces; the target is where they are next."""
    g = generator(seed)
    charge, x = torch.randint(0, 2, (500, 5, 1), generator=g) * 2.0 - 1, torch.randn(500, 5, 3, generator=g)
    difference = x[:, :, None] - x[:, None]
    force = (charge[:, :, None] * charge[:, None] * difference / (difference.norm(dim=-1, keepdim=True) + 0.5)).sum(2)
    return halves((charge, x), x + 0.4 * force, 100, seed)


# Clouds of points: four bodies, turned at random.
def bodies(seed: int) -> Data:
    g = generator(seed)
    y = torch.randint(0, 4, (900,), generator=g)
    cube = torch.rand(900, 48, 3, generator=g) * 2 - 1
    ball = F.normalize(torch.randn(900, 48, 3, generator=g), dim=-1)
    shapes = torch.stack([
        cube, ball * 1.2, torch.cat([ball[..., :2] / ball[..., :2].norm(dim=-1, keepdim=True), cube[..., 2:]], -1),
        cube / cube.abs().amax(-1, keepdim=True),
    ])  # fmt: skip
    x = shapes[y, torch.arange(900)]
    turn = torch.linalg.qr(torch.randn(900, 3, 3, generator=g))[0]
    return halves((x @ turn + 0.05 * torch.randn(x.shape, generator=g)).transpose(1, 2), y, 200, seed)


class PointNet(nn.Module):
    """A learned 3 × 3 transformation that starts at the identity, shared layers, the largest value over points."""

    def __init__(self) -> None:
        super().__init__()
        self.tconv, self.tbn, self.tfc = nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.Linear(32, 9)
        nn.init.zeros_(self.tfc.weight)
        self.tfc.bias.data.copy_(torch.eye(3).flatten())
        self.conv1, self.conv2, self.conv3 = nn.Conv1d(3, 32, 1), nn.Conv1d(32, 32, 1), nn.Conv1d(32, 64, 1)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm1d(32), nn.BatchNorm1d(32), nn.BatchNorm1d(64)
        self.fc1, self.bn4, self.fc2 = nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Linear(32, 4)

    def forward(self, x):
        turn = self.tfc(F.relu(self.tbn(self.tconv(x))).amax(2)).view(-1, 3, 3)
        x = torch.bmm(turn, x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x)).amax(2)
        return self.fc2(F.relu(self.bn4(self.fc1(x))))


class DeepSets(nn.Module):
    """The target is the largest of ten values minus their mean; a sum over elements, defaults."""

    def __init__(self) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(1, 48), nn.ELU(), nn.Linear(48, 48), nn.ELU(), nn.Linear(48, 48))
        self.rho = nn.Sequential(nn.Linear(48, 48), nn.ELU(), nn.Linear(48, 1))

    def forward(self, x):
        return self.rho(self.phi(x).sum(1))


def extremes(seed: int) -> Data:
    x = torch.randn(1500, 10, 1, generator=generator(seed))
    y = x.amax(1) - x.mean(1)
    return halves(x, (y - y.mean()) / y.std(), 300, seed)


class SetTransformer(nn.Module):
    """Induced attention: learned points and a learned seed, drawn by Xavier (Lee 2019)."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.embed = nn.Linear(3, d)
        self.induced, self.seed = nn.Parameter(torch.empty(1, 8, d)), nn.Parameter(torch.empty(1, 1, d))
        nn.init.xavier_uniform_(self.induced)
        nn.init.xavier_uniform_(self.seed)
        self.up, self.down, self.pool = (nn.MultiheadAttention(d, 4, batch_first=True) for _ in range(3))
        self.fc, self.head = nn.ModuleList(nn.Linear(d, d) for _ in range(3)), nn.Linear(d, 4)

    def block(self, i, attention, q, k):
        q = q + attention(q, k, k, need_weights=False)[0]
        return q + F.relu(self.fc[i](q))

    def forward(self, x):
        x = self.embed(x.transpose(1, 2))
        inner = self.block(0, self.up, self.induced.expand(len(x), -1, -1), x)
        x = self.block(1, self.down, x, inner)
        return self.head(self.block(2, self.pool, self.seed.expand(len(x), -1, -1), x)[:, 0])


def kipf(parameters, rate):
    return torch.optim.Adam(parameters, lr=rate, weight_decay=5e-4)


SQUARES = held_out("mean squared error", F.mse_loss, 1.0)


def graph(name: str, build, data, rate: float, steps: int, classes: int, field: str = "graphs", **other) -> Case:
    return Case(
        name=name, field=field, build=build, data=data, loss=F.cross_entropy, rate=rate, steps=steps,
        metric=accuracy(classes), **{"optimizer": adam, **other},
    )  # fmt: skip


def regression(name: str, build, data, rate: float, steps: int, field: str, metric=SQUARES, batch: int = 32) -> Case:
    return Case(
        name=name, field=field, build=build, data=data, loss=F.mse_loss, optimizer=adam, rate=rate, steps=steps,
        metric=metric, batch=batch,
    )  # fmt: skip


GRAPHS = (
    graph("gcn", Gcn, communities, 1e-2, 150, 4, batch=None, optimizer=kipf),
    graph("gat", Gat, communities, 5e-3, 150, 4, batch=None, optimizer=kipf),
    graph("gin", Gin, triangles, 5e-3, 250, 2),
    regression("message-passing", MessagePassing, molecules, 5e-3, 300, "graphs"),
    regression("egnn", Egnn, charges, 2e-3, 250, "graphs", held_out("mean squared error", F.mse_loss, 0.14)),
    graph("pointnet", PointNet, bodies, 1e-3, 150, 4, "point clouds"),
    regression("deep-sets", DeepSets, extremes, 1e-3, 300, "point clouds"),
    graph("set-transformer", SetTransformer, bodies, 2e-3, 200, 4, "point clouds", batch=24),
)
