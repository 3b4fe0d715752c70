"""Vision transformers: class tokens, class attention, windows with padding, relative positions, pooled tokens."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from second_list.case import Case, act_conv, images
from second_list.convolutions import Squeeze
from second_list.mixers import Scale

__all__ = ["VISION_TOKENS", "Attention", "Feed"]


class Attention(nn.Module):
    """Self-attention, with a relative bias or mixing over heads where asked for."""

    def __init__(self, width: int, heads: int = 4, *, tokens: int = 0, talking: bool = False) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(0.02 * torch.randn(heads, tokens, tokens)) if tokens else None
        self.before, self.after = (nn.Linear(heads, heads), nn.Linear(heads, heads)) if talking else (None, None)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if self.bias is not None:
            scores = scores + self.bias
        if self.before is not None:
            scores = self.before(scores.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        weights = scores.softmax(-1)
        if self.after is not None:
            weights = self.after(weights.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.out((weights @ v).transpose(1, 2).reshape(n, t, c))


class ClassAttention(nn.Module):
    """The class token alone asks; all tokens answer."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.q, self.kv, self.out = (
            heads,
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )

    def forward(self, x):
        n, t, c = x.shape
        q = self.q(x[:, :1]).view(n, 1, self.heads, -1).transpose(1, 2)
        k, v = self.kv(x).view(n, t, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, 1, c))


class Feed(nn.Sequential):
    def __init__(self, width: int, factor: int = 4) -> None:
        super().__init__(nn.Linear(width, factor * width), nn.GELU(), nn.Linear(factor * width, width))


class Block(nn.Module):
    """Pre-norm attention and perceptron, with layer scales where ``scale`` is given."""

    def __init__(self, width: int, attention: nn.Module, scale: float | None = None) -> None:
        super().__init__()
        self.one, self.two, self.attention, self.feed = nn.LayerNorm(width), nn.LayerNorm(width), attention, Feed(width)
        self.a = nn.Identity() if scale is None else Scale(width, scale)
        self.b = nn.Identity() if scale is None else Scale(width, scale)

    def forward(self, x):
        x = x + self.a(self.attention(self.one(x)))
        return x + self.b(self.feed(self.two(x)))


class ClassBlock(nn.Module):
    """Class attention and a perceptron on the class token alone."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.one, self.two, self.attention, self.feed = (
            nn.LayerNorm(width),
            nn.LayerNorm(width),
            ClassAttention(width),
            Feed(width),
        )
        self.a, self.b = Scale(width, scale), Scale(width, scale)

    def forward(self, x, token):
        token = token + self.a(self.attention(self.one(torch.cat([token, x], 1))))
        return token + self.b(self.feed(self.two(token)))


class Patches(nn.Module):
    """Patches, positions, so many extra tokens in front, blocks; read at the first token, at two, or at the mean."""

    def __init__(
        self, blocks: list[nn.Module], width: int = 64, extra: int = 1, read: str = "first", start=0.02
    ) -> None:
        super().__init__()
        self.patches, self.body, self.norm = nn.Conv2d(3, width, 4, 4), nn.Sequential(*blocks), nn.LayerNorm(width)
        self.extra = nn.Parameter(start * torch.randn(1, extra, width)) if extra else None
        self.place = nn.Parameter(0.02 * torch.randn(1, 64 + extra, width))
        self.heads, self.read = nn.ModuleList(nn.Linear(width, 10) for _ in range(2 if read == "two" else 1)), read

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        if self.extra is not None:
            x = torch.cat([self.extra.expand(len(x), -1, -1), x], 1)
        x = self.norm(self.body(x + self.place))
        if self.read == "mean":
            return self.heads[0](x.mean(1))
        if self.read == "two":
            return (self.heads[0](x[:, 0]) + self.heads[1](x[:, 1])) / 2
        return self.heads[0](x[:, 0])


class ClassLast(nn.Module):
    """Layer-scaled blocks without a class token, then class attention."""

    def __init__(self, width: int = 64, scale: float = 1e-5) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.Sequential(*(Block(width, Attention(width, talking=True), scale) for _ in range(3)))
        self.last = nn.ModuleList(ClassBlock(width, scale) for _ in range(2))
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        x = self.blocks(self.patches(x).flatten(2).transpose(1, 2))
        token = self.token.expand(len(x), -1, -1)
        for block in self.last:
            token = block(x, token)
        return self.head(self.norm(torch.cat([token, x], 1))[:, 0])


class Windows(nn.Module):
    """Attention within windows of a map that is padded to fit, shifted every other time, with a relative bias."""

    def __init__(self, width: int, window: int, *, shift: bool, grid: bool = False) -> None:
        super().__init__()
        self.attention = Attention(width, tokens=window * window)
        self.window, self.shift, self.grid = window, window // 2 if shift else 0, grid

    def forward(self, x):
        n, h, w, c = x.shape
        s = self.window
        more = (-h) % s
        if more:
            x = F.pad(x, (0, 0, 0, more, 0, more))
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        k = (h + more) // s
        split, order = (
            ((n, s, k, s, k, c), (0, 2, 4, 1, 3, 5)) if self.grid else ((n, k, s, k, s, c), (0, 1, 3, 2, 4, 5))
        )
        y = self.attention(x.view(split).permute(order).reshape(-1, s * s, c)).view(n, k, k, s, s, c)
        y = y.permute(0, 3, 1, 4, 2, 5) if self.grid else y.permute(0, 1, 3, 2, 4, 5)
        y = y.reshape(n, h + more, h + more, c)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        return y[:, :h, :w]


class WindowNet(nn.Module):
    """Blocks over maps with channels last, merged once, and the mean."""

    def __init__(self, windows, width: int = 48) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.Sequential(*(Block(width, one) for one in windows(width)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        x = self.blocks(self.patches(x).permute(0, 2, 3, 1))
        return self.head(self.norm(x).mean((1, 2)))


class MapAttention(nn.Module):
    """Attention over all places of maps, with a relative bias."""

    def __init__(self, width: int, places: int) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, tokens=places)

    def forward(self, x):
        y = self.attention(self.norm(x.flatten(2).transpose(1, 2)))
        return x + y.transpose(1, 2).reshape(x.shape)


class Convolved(nn.Module):
    """Inverted residuals with squeeze and excitation, then attention with relative positions."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(act_conv(3, width, 3, 2), act_conv(width, width, 3, 2))
        self.wide = nn.Sequential(act_conv(width, 4 * width, 1, act=nn.GELU), act_conv(4 * width, 4 * width, 3,
            groups=4 * width, act=nn.GELU), Squeeze(4 * width, width // 4), nn.Conv2d(4 * width, width, 1))  # fmt: skip
        self.attention, self.head = (
            nn.Sequential(MapAttention(width, 64), MapAttention(width, 64)),
            nn.Linear(width, 10),
        )

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.attention(x + self.wide(x)).mean((2, 3)))


class PooledTokens(nn.Module):
    """A transformer in stages: a convolution pools the map between them, a linear layer maps the class token."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, width, 4, 4), nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(1, 64, width))
        self.one = nn.Sequential(*(Block(width, Attention(width)) for _ in range(2)))
        self.pool, self.widen = nn.Conv2d(width, 2 * width, 3, 2, 1, groups=width), nn.Linear(width, 2 * width)
        self.two = nn.Sequential(*(Block(2 * width, Attention(2 * width)) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(2 * width), nn.Linear(2 * width, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.place
        x = self.one(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
        token, maps = self.widen(x[:, :1]), x[:, 1:].transpose(1, 2).unflatten(2, (8, 8))
        x = torch.cat([token, self.pool(maps).flatten(2).transpose(1, 2)], 1)
        return self.head(self.norm(self.two(x))[:, 0])


class TwoScales(nn.Module):
    """Fine and coarse patches; the class token of each reads the other's tokens."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.cut = nn.ModuleList(nn.Conv2d(3, width, p, p) for p in (4, 8))
        self.token = nn.ParameterList(0.02 * torch.randn(1, 1, width) for _ in range(2))
        self.own = nn.ModuleList(
            nn.Sequential(Block(width, Attention(width)), Block(width, Attention(width))) for _ in range(2)
        )
        self.cross, self.norm = (
            nn.ModuleList(ClassBlock(width, 1.0) for _ in range(2)),
            nn.ModuleList(nn.LayerNorm(width) for _ in range(2)),
        )
        self.heads = nn.ModuleList(nn.Linear(width, 10) for _ in range(2))

    def forward(self, x):
        both = []
        for cut, token, own in zip(self.cut, self.token, self.own, strict=True):
            maps = cut(x).flatten(2).transpose(1, 2)
            both.append(own(torch.cat([token.expand(len(x), -1, -1), maps], 1)))
        (a, b) = both
        read = self.cross[0](b[:, 1:], a[:, :1]), self.cross[1](a[:, 1:], b[:, :1])
        return sum(h(n(t[:, 0])) for h, n, t in zip(self.heads, self.norm, read, strict=True))


def blocks(count: int = 4, scale: float | None = None, width: int = 64) -> list[nn.Module]:
    return [Block(width, Attention(width), scale) for _ in range(count)]


VISION_TOKENS = (
    Case("class token", "class token", lambda: Patches(blocks()), images(), class_token=True),
    Case("class token at zero", "class token", lambda: Patches(blocks(), start=0.0), images(), class_token=True),
    Case("two tokens read", "class token", lambda: Patches(blocks(), extra=2, read="two"), images(), class_token=True),
    Case("registers, mean", "class token", lambda: Patches(blocks(), extra=4, read="mean"), images(), class_token=True),
    Case("class token, layer scale", "class token, layer scale", lambda: Patches(blocks(4, 1e-5)), images(),
         class_token=True),
    Case("mean of patches", "attention", lambda: Patches(blocks(), extra=0, read="mean"), images()),
    Case("class attention", "class token, layer scale", ClassLast, images(), class_token=True),
    Case("class attention, scale one", "class token", lambda: ClassLast(scale=1.0), images(), class_token=True),
    Case("windows with padding", "windows with padding", lambda: WindowNet(lambda w: [
        Windows(w, 4, shift=i % 2 == 1) for i in range(4)]), images(36)),
    Case("blocks and grids", "windows", lambda: WindowNet(lambda w: [
        Windows(w, 4, shift=False, grid=i % 2 == 1) for i in range(4)]), images(32)),
    Case("convolution and attention", "relative positions", Convolved, images(32)),
    Case("pooled tokens", "class token", PooledTokens, images(32), class_token=True),
    Case("two scales", "class token", TwoScales, images(32), class_token=True),
)  # fmt: skip
