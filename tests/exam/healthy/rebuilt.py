"""Rebuilds of the healthy inputs that the rules were developed on; they belong to the half that is seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy, sgd
from exam.problems import digits, features, markov, misclassified


@healthy("gate that starts at one", "https://arxiv.org/abs/2105.08050", rebuilt=True)
def spatial_gates_that_start_at_one(seed: int) -> Case:
    class SpatialGating(nn.Module):
        def __init__(self, t: int, d: int) -> None:
            super().__init__()
            self.norm, self.gate_norm = nn.LayerNorm(d), nn.LayerNorm(d)
            self.expand, self.contract = nn.Linear(d, 2 * d), nn.Linear(d, d)
            self.over_tokens = nn.Linear(t, t)
            nn.init.uniform_(self.over_tokens.weight, -1e-6, 1e-6)
            nn.init.ones_(self.over_tokens.bias)

        def forward(self, x: Tensor) -> Tensor:
            u, v = F.gelu(self.expand(self.norm(x))).chunk(2, -1)
            gate = self.over_tokens(self.gate_norm(v).mT).mT
            return x + self.contract(u * gate)

    class GMLP(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(4, 16)
            self.blocks = nn.Sequential(*[SpatialGating(16, 16) for _ in range(10)])
            self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

        def forward(self, image: Tensor) -> Tensor:
            return self.head(self.norm(self.blocks(self.embed(image.reshape(len(image), 16, 4)))).mean(1))

    x, y = digits(seed, 64)
    optimizer = lambda m: torch.optim.AdamW(m.parameters(), lr=3e-3)  # noqa: E731
    return Case(GMLP(), x, y, F.cross_entropy, optimizer, misclassified, steps=40)


@healthy("attention whose heads are mixed", "https://arxiv.org/abs/2003.02436", rebuilt=True)
def heads_that_talk(seed: int) -> Case:
    class TalkingHeads(nn.Module):
        def __init__(self, d: int, h: int) -> None:
            super().__init__()
            self.h, self.norm = h, nn.LayerNorm(d)
            self.to_q, self.to_kv, self.project = nn.Linear(d, d), nn.Linear(d, 2 * d), nn.Linear(d, d)
            self.mix_logits, self.mix_weights = nn.Linear(h, h), nn.Linear(h, h)

        def forward(self, x: Tensor) -> Tensor:
            z = self.norm(x)
            q, k, v = (t.unflatten(-1, (self.h, -1)) for t in (self.to_q(z), *self.to_kv(z).chunk(2, -1)))
            logits = torch.einsum("nihd,njhd->nijh", q, k) * q.shape[-1] ** -0.5
            weights = self.mix_weights(self.mix_logits(logits).softmax(2))
            return x + self.project(torch.einsum("nijh,njhd->nihd", weights, v).flatten(2))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.blocks = nn.Linear(8, 24), nn.Sequential(*[TalkingHeads(24, 4) for _ in range(4)])
            self.head = nn.Linear(24, 10)

        def forward(self, image: Tensor) -> Tensor:
            return self.head(self.blocks(self.embed(image.squeeze(1))).mean(1))

    x, y = digits(seed, 96)
    return Case(Net(), x, y, F.cross_entropy, adam(3e-3), misclassified, steps=60)


@healthy("residual network, last scale at zero", "https://arxiv.org/abs/1709.01507", rebuilt=True)
def zero_scale_in_front_of_a_squeeze(seed: int) -> Case:
    class SEBlock(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.Conv2d(c, c, 3, padding=1, bias=False)
            self.na, self.nb = nn.BatchNorm2d(c), nn.BatchNorm2d(c)
            self.reduce, self.restore = nn.Linear(c, c // 2), nn.Linear(c // 2, c)
            nn.init.zeros_(self.nb.weight)

        def forward(self, x: Tensor) -> Tensor:
            h = self.nb(self.b(F.relu(self.na(self.a(x)))))
            s = torch.sigmoid(self.restore(F.relu(self.reduce(h.mean((2, 3))))))
            return F.relu(x + h * s[..., None, None])

    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        *[SEBlock(16) for _ in range(3)],
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    x, y = digits(seed, 96)
    return Case(net, x, y, F.cross_entropy, sgd(0.1, momentum=0.9), misclassified, steps=50)


@healthy("language model", "https://github.com/karpathy/minGPT", rebuilt=True)
def mirror_task_for_a_small_transformer(seed: int) -> Case:
    class Mirror(nn.Module):
        def __init__(self, v: int = 12, t: int = 11, d: int = 32) -> None:
            super().__init__()
            self.tok, self.pos = nn.Embedding(v, d), nn.Parameter(torch.zeros(1, t, d))
            layer = nn.TransformerEncoderLayer(
                d, 4, 4 * d, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.body = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(d), enable_nested_tensor=False)
            self.head = nn.Linear(d, v, bias=False)
            for p in self.parameters():
                if p.dim() == 2:
                    nn.init.normal_(p, std=0.02)

        def forward(self, ids: Tensor) -> Tensor:
            mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
            return self.head(self.body(self.tok(ids) + self.pos, mask=mask, is_causal=True)).mT

    half, _ = markov(seed, n=96, length=6, vocabulary=12)
    s = torch.cat([half, half.flip(1)], 1)
    optimizer = lambda m: torch.optim.AdamW(m.parameters(), lr=5e-3)  # noqa: E731
    return Case(Mirror(), s[:, :-1], s[:, 1:], F.cross_entropy, optimizer, misclassified, steps=80)


@healthy("linear probe", "https://pytorch.org/tutorials/beginner/transfer_learning_tutorial.html", rebuilt=True)
def new_head_with_a_brisk_adam(seed: int) -> Case:
    body = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.BatchNorm1d(64)).requires_grad_(False)
    x, y = features(seed)
    optimizer = lambda m: torch.optim.Adam(m[1].parameters(), lr=1e-2)  # noqa: E731
    return Case(nn.Sequential(body, nn.Linear(64, 4)), x, y, F.cross_entropy, optimizer, misclassified, steps=60)
