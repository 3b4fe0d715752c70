"""Networks that learn without labels."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, adam, held_out, held_out_objective
from starts_exam.sources import digit_images, generator

__all__ = ["SELF_SUPERVISED"]


# Two views of a digit: noise, a shift by a pixel, a patch cut out.
def view(x: torch.Tensor, g: torch.Generator | None = None) -> torch.Tensor:
    right, down = torch.randint(-1, 2, (2,), generator=g).tolist()
    hole = torch.rand(len(x), 1, 8, 8, generator=g) > 0.1
    return x.roll((down, right), (2, 3)) * hole + 0.2 * torch.randn(x.shape, generator=g)


def encoder() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, 48),
    )  # fmt: skip


class Contrastive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.projector = encoder(), nn.Sequential(nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 24))

    def forward(self, x):
        return self.projector(self.encoder(x))


def nt_xent(model, x, _):
    z = F.normalize(model(torch.cat([view(x), view(x)])), dim=1)
    similarity = (z @ z.T / 0.2).fill_diagonal_(-1e9)
    n = len(x)
    return F.cross_entropy(similarity, (torch.arange(2 * n) + n) % (2 * n))


class BarlowTwins(nn.Module):
    """Batch norm in the projector; the features of two views are correlated one by one (Zbontar 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder()
        self.projector = nn.Sequential(
            nn.Linear(48, 48, bias=False), nn.BatchNorm1d(48), nn.ReLU(inplace=True), nn.Linear(48, 24, bias=False)
        )
        self.bn = nn.BatchNorm1d(24, affine=False)

    def forward(self, x):
        return self.bn(self.projector(self.encoder(x)))


def redundancy(model, x, _):
    correlation = model(view(x)).T @ model(view(x)) / len(x)
    diagonal = torch.diagonal(correlation)
    rest = correlation.pow(2).sum() - diagonal.pow(2).sum()
    return (1 - diagonal).pow(2).sum() + 0.02 * rest


class MaskedAutoencoder(nn.Module):
    """Ten of sixteen patches are hidden; a token of 0.02 and fixed waves stand for them (He 2022). Xavier."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.embed, self.mask_token = nn.Linear(4, d), nn.Parameter(torch.zeros(1, 1, d))
        angle = torch.arange(16)[:, None] * 100 ** (-torch.arange(d // 2) / (d // 2))
        self.pos = nn.Parameter(torch.cat([angle.sin(), angle.cos()], 1)[None], requires_grad=False)

        def stack(depth: int) -> nn.Module:
            layer = nn.TransformerEncoderLayer(d, 4, 2 * d, 0.0, "gelu", batch_first=True, norm_first=True)
            return nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(d), enable_nested_tensor=False)

        self.encoder, self.decoder = stack(2), stack(1)
        self.bridge, self.pred = nn.Linear(d, d), nn.Linear(d, 4)
        nn.init.normal_(self.mask_token, std=0.02)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.zeros_(m.bias)

    def forward(self, patches, order):
        keep = order[:, :6, None].expand(-1, -1, self.pos.shape[-1])
        x = self.bridge(self.encoder((self.embed(patches) + self.pos).gather(1, keep)))
        full = self.mask_token.expand(len(x), 16, -1).scatter(1, keep, x)
        return self.pred(self.decoder(full + self.pos))


def patches(seed: int) -> Data:
    images, g = digit_images(seed), generator(seed)

    def split(x):
        p = x.view(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)
        order = torch.rand(len(p), 16, generator=g).argsort(1)
        hidden = torch.ones(len(p), 16, 1).scatter(1, order[:, :6, None], 0.0)
        return (p, order), torch.cat([p, hidden], 2)

    (x, y), (held, y_held) = split(images.x), split(images.x_held)
    return Data(x, y, held, y_held)


def hidden_error(p, y):
    hidden = y[..., 4:]
    return ((p - y[..., :4]) ** 2 * hidden).sum() / (4 * hidden.sum())


class TwoTowers(nn.Module):
    """Images and captions meet by cosine similarity; the temperature starts at log(1/0.07) (Radford 2021)."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, d))
        self.token_embedding, self.positional_embedding = nn.Embedding(14, d), nn.Parameter(torch.empty(4, d))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        layer = nn.TransformerEncoderLayer(d, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)
        self.text, self.ln_final = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.LayerNorm(d)
        self.text_projection = nn.Parameter(torch.empty(d, d))
        nn.init.normal_(self.text_projection, std=d**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, images, captions):
        a = F.normalize(self.image(images), dim=1)
        t = self.text(self.token_embedding(captions) + self.positional_embedding)
        b = F.normalize(self.ln_final(t)[:, -1] @ self.text_projection, dim=1)
        return self.logit_scale.exp() * a @ b.T


def captioned(seed: int) -> Data:
    """Digits in one of four brightnesses and their captions; the pair of a row is the one that belongs together."""
    images, g = digit_images(seed), generator(seed)

    def told(x, y):
        light = torch.randint(0, 4, (len(y),), generator=g)
        start = torch.tensor([10, 11, 12, 13])
        shade = torch.tensor([-1.5, -0.5, 0.5, 1.5])[light]
        caption = torch.stack([start[light], y, start[light], y], 1)
        return (x + shade[:, None, None, None], caption), y * 4 + light

    (x, y), (held, y_held) = told(images.x, images.y), told(images.x_held, images.y_held)
    return Data(x, y, held, y_held)


def both_ways(logits, kind):
    same = (kind[:, None] == kind).float()
    wanted = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2


SELF_SUPERVISED = (
    Case(
        name="contrastive-views", field="self-supervised", build=Contrastive, data=digit_images, objective=nt_xent,
        optimizer=adam, rate=2e-3, steps=200, batch=48, metric=held_out_objective(nt_xent, math.log(799)),
    ),
    Case(
        name="barlow-twins", field="self-supervised", build=BarlowTwins, data=digit_images, objective=redundancy,
        optimizer=adam, rate=2e-3, steps=200, batch=48, metric=held_out_objective(redundancy, 24.0),
    ),
    Case(
        name="masked-autoencoder", field="self-supervised", build=MaskedAutoencoder, data=patches, loss=hidden_error,
        optimizer=adam, rate=2e-3, steps=250, batch=24, metric=held_out("mean squared error", hidden_error, 1.0),
    ),
    Case(
        name="two-towers", field="self-supervised", build=TwoTowers, data=captioned, loss=both_ways, optimizer=adam,
        rate=1e-3, steps=250, batch=64,
        metric=held_out("accuracy of the match", lambda s, k: (k[s.argmax(1)] == k).float().mean(), 1 / 40, "share"),
    ),
)  # fmt: skip
