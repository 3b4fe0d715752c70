"""Graphs, sets, clouds of points, and losses over pairs of examples."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy
from exam.problems import (
    communities,
    features,
    misclassified,
    molecules,
    prices,
    ratio_of_variance,
    scores,
    sizes_of,
    two_views,
)


@healthy("graph convolutions, one graph", "https://arxiv.org/abs/1609.02907")
def two_graph_convolutions(seed: int) -> Case:
    class GCN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w0, self.w1 = nn.Parameter(torch.empty(12, 16)), nn.Parameter(torch.empty(16, 3))
            nn.init.xavier_uniform_(self.w0)
            nn.init.xavier_uniform_(self.w1)

        def forward(self, x: Tensor, a: Tensor) -> Tensor:
            h = F.dropout(F.relu(a @ x @ self.w0), 0.5, self.training)
            return F.log_softmax(a @ h @ self.w1, dim=1)

    x, a, y = communities(seed)
    a = a + torch.eye(len(a))
    d = a.sum(1).rsqrt()
    return Case(GCN(), (x, d[:, None] * a * d), y, F.nll_loss, adam(1e-2, weight_decay=5e-4), misclassified, steps=80)


@healthy("graph attention, one graph", "https://arxiv.org/abs/1710.10903")
def attention_over_neighbours(seed: int) -> Case:
    class GATLayer(nn.Module):
        def __init__(self, i: int, o: int, heads: int) -> None:
            super().__init__()
            self.lin = nn.Linear(i, o * heads, bias=False)
            self.src, self.dst = (
                nn.Parameter(torch.randn(heads, o) / o**0.5),
                nn.Parameter(torch.randn(heads, o) / o**0.5),
            )
            self.heads = heads

        def forward(self, x: Tensor, a: Tensor) -> Tensor:
            h = self.lin(x).view(len(x), self.heads, -1)
            e = F.leaky_relu((h * self.src).sum(-1)[:, None] + (h * self.dst).sum(-1)[None], 0.2)
            e = e.masked_fill((a == 0).unsqueeze(-1), float("-inf")).softmax(1)
            return torch.einsum("ijh,jho->iho", e, h).flatten(1)

    class GAT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = GATLayer(12, 8, 4), GATLayer(32, 3, 1)

        def forward(self, x: Tensor, a: Tensor) -> Tensor:
            return self.two(F.elu(self.one(x, a)), a)

    x, a, y = communities(seed)
    return Case(GAT(), (x, a + torch.eye(len(a))), y, F.cross_entropy, adam(1e-2), misclassified, steps=60)


@healthy("graph classification", "https://arxiv.org/abs/1810.00826")
def isomorphism_network_with_sum_readout(seed: int) -> Case:
    class GIN(nn.Module):
        def __init__(self, d: int = 16) -> None:
            super().__init__()
            self.mlps = nn.ModuleList(
                nn.Sequential(nn.Linear(5 if i == 0 else d, d), nn.LayerNorm(d), nn.ReLU(), nn.Linear(d, d))
                for i in range(3)
            )
            self.eps, self.out = nn.Parameter(torch.zeros(3)), nn.Linear(d, 2)

        def forward(self, x: Tensor, a: Tensor) -> Tensor:
            for mlp, eps in zip(self.mlps, self.eps, strict=True):
                x = F.relu(mlp((1 + eps) * x + a @ x))
            return self.out(x.mean(1))

    x, a, y = molecules(seed)
    return Case(GIN(), (x, a), y, F.cross_entropy, adam(5e-3), misclassified, steps=60)


@healthy("cloud of points", "https://arxiv.org/abs/1612.00593")
def shared_perceptron_and_maximum(seed: int) -> Case:
    class PointNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mlp = nn.Sequential(
                nn.Conv1d(3, 24, 1), nn.BatchNorm1d(24), nn.ReLU(), nn.Conv1d(24, 48, 1), nn.BatchNorm1d(48)
            )
            self.head = nn.Sequential(nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 3))

        def forward(self, points: Tensor) -> Tensor:
            return self.head(self.mlp(points.transpose(1, 2)).amax(-1))

    x, y = sizes_of(seed)
    return Case(PointNet(), x, y, F.cross_entropy, adam(5e-3), misclassified, steps=40)


@healthy("sets", "https://arxiv.org/abs/1703.06114")
def sum_over_the_members_of_a_set(seed: int) -> Case:
    class DeepSets(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.phi = nn.Sequential(nn.Linear(3, 32), nn.ELU(), nn.Linear(32, 32), nn.ELU())
            self.rho = nn.Sequential(nn.Linear(32, 32), nn.ELU(), nn.Linear(32, 1))

        def forward(self, s: Tensor) -> Tensor:
            return self.rho(self.phi(s).mean(1))

    x, _ = sizes_of(seed)
    y = x.std((1, 2), keepdim=False)[:, None]
    return Case(DeepSets(), x, (y - y.mean()) / y.std(), F.mse_loss, adam(5e-3), ratio_of_variance, steps=60)


@healthy("contrastive, two views", "https://arxiv.org/abs/2002.05709")
def two_views_against_the_batch(seed: int) -> Case:
    class SimCLR(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU())
            self.g = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 12))

        def forward(self, x: Tensor) -> Tensor:
            return F.normalize(self.g(self.f(x)), dim=1)

    def nt_xent(z: Tensor, partner: Tensor, tau: float = 0.5) -> Tensor:
        sim = (z @ z.T / tau).masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
        return F.cross_entropy(sim, partner)

    a, b = two_views(seed, n=32)
    partner = torch.arange(64).roll(32)
    return Case(SimCLR(), torch.cat([a, b]), partner, nt_xent, adam(5e-3), steps=60)


@healthy("two towers", "https://arxiv.org/abs/2103.00020")
def image_and_text_with_a_learned_temperature(seed: int) -> Case:
    class CLIP(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual, self.text = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 12)), nn.Linear(16, 12)
            self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

        def forward(self, image: Tensor, text: Tensor) -> Tensor:
            i, t = F.normalize(self.visual(image), dim=-1), F.normalize(self.text(text), dim=-1)
            return self.logit_scale.exp() * i @ t.T

    def loss(logits: Tensor, index: Tensor) -> Tensor:
        return (F.cross_entropy(logits, index) + F.cross_entropy(logits.T, index)) / 2

    a, b = two_views(seed)
    return Case(CLIP(), (a, b), torch.arange(len(a)), loss, adam(2e-3), steps=80)


@healthy("triplets", "https://arxiv.org/abs/1503.03832")
def triplets_with_a_margin(seed: int) -> Case:
    class Embed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))

        def forward(self, a: Tensor, p: Tensor, n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return tuple(F.normalize(self.net(v), dim=1) for v in (a, p, n))  # type: ignore[return-value]

    loss = lambda out, margin: F.triplet_margin_loss(*out, margin=float(margin[0]))  # noqa: E731
    a, b = two_views(seed)
    return Case(Embed(), (a, b, b.roll(1, 0)), torch.full((len(a),), 0.5), loss, adam(3e-3), steps=40)


@healthy("siamese", "https://arxiv.org/abs/1908.10084")
def similarity_of_sentence_vectors(seed: int) -> Case:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 8))

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return F.cosine_similarity(self.encoder(a), self.encoder(b))

    a, b, y = scores(seed)
    return Case(Siamese(), (a, b), y, nn.MSELoss(), adam(5e-3), ratio_of_variance, steps=80)


@healthy("mixture of experts with capacity", "https://arxiv.org/abs/2101.03961")
def one_expert_a_token_with_capacity(seed: int) -> Case:
    class Switch(nn.Module):
        def __init__(self, experts: int = 4, capacity: int = 48) -> None:
            super().__init__()
            self.router = nn.Linear(16, experts)
            self.experts = nn.ModuleList(
                nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16)) for _ in range(experts)
            )
            self.out, self.capacity = nn.Linear(16, 4), capacity

        def forward(self, x: Tensor) -> Tensor:
            weight, chosen = self.router(x).softmax(-1).max(-1)
            y = torch.zeros_like(x)
            for k, expert in enumerate(self.experts):
                places = (chosen == k).nonzero().squeeze(-1)[: self.capacity]
                y = y.index_add(0, places, weight[places, None] * expert(x[places]))
            return self.out(x + y)

    x, y = features(seed)
    return Case(Switch(), x, y, F.cross_entropy, adam(5e-3), misclassified, steps=80)


@healthy("ranking", "https://www.microsoft.com/en-us/research/publication/learning-to-rank-using-gradient-descent/")
def pairs_in_the_right_order(seed: int) -> Case:
    class Ranker(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 1))

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.score(left) - self.score(right)

    x, y = prices(seed)
    wins = (y > y.roll(1, 0)).float()
    return Case(Ranker(), (x, x.roll(1, 0)), wins, F.binary_cross_entropy_with_logits, adam(1e-2), steps=60)
