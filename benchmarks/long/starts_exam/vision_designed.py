"""Image classifiers with designed starts: transformers, mixers, layer scales, networks without normalisation."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, accuracy, adam, sgd
from starts_exam.sources import digit_images

__all__ = ["VISION_DESIGNED"]


class VisionTransformer(nn.Module):
    """Truncated normal 0.02 for weights, positions and class token; biases zero."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(1, d, 2, 2)
        self.cls_token, self.pos_embed = nn.Parameter(torch.zeros(1, 1, d)), nn.Parameter(torch.zeros(1, 17, d))
        layer = nn.TransformerEncoderLayer(d, 4, 2 * d, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 10)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.apply(self._init)

    def _init(self, m):
        if isinstance(m, nn.Linear):
            nn.init.trunc_normal_(m.weight, std=0.02)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
        elif isinstance(m, nn.MultiheadAttention):
            nn.init.trunc_normal_(m.in_proj_weight, std=0.02)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


class ConvNextBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv, self.norm = nn.Conv2d(dim, dim, 5, padding=2, groups=dim), nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1, self.pwconv2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(1e-6 * torch.ones(dim))

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    """Truncated normal 0.02 everywhere, and layer scales of 1e-6."""

    def __init__(self, dim: int = 20) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(1, dim, 2, 2), nn.GroupNorm(1, dim)
        self.blocks = nn.Sequential(*[ConvNextBlock(dim) for _ in range(3)])
        self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, 10)
        for m in self.modules():
            if isinstance(m, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(m.weight, std=0.02)
                nn.init.constant_(m.bias, 0)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.stem_norm(self.stem(x))).mean((2, 3))))


class MixerBlock(nn.Module):
    def __init__(self, d: int, patches: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.tokens = nn.Sequential(nn.Linear(patches, 32), nn.GELU(), nn.Linear(32, patches))
        self.channels = nn.Sequential(nn.Linear(d, 64), nn.GELU(), nn.Linear(64, d))

    def forward(self, x):
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """PyTorch's defaults, but for a head that starts at zero."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, d, 2, 2)
        self.blocks = nn.Sequential(*[MixerBlock(d, 16) for _ in range(3)])
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 10)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        x = self.blocks(self.stem(x).flatten(2).transpose(1, 2))
        return self.head(self.norm(x).mean(1))


class StandardisedConv(nn.Conv2d):
    """Weights standardised over their fan-in, times a learned gain (Brock 2021)."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        nn.init.kaiming_normal_(self.weight)
        nn.init.zeros_(self.bias)
        self.gain = nn.Parameter(torch.ones(self.out_channels, 1, 1, 1))

    def forward(self, x):
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        fan_in = self.weight[0].numel()
        scale = torch.rsqrt(torch.clamp(variance * fan_in, min=1e-4)) * self.gain
        return self._conv_forward(x, (self.weight - mean) * scale, self.bias)


class NfNetBlock(nn.Module):
    def __init__(self, width: int, beta: float, alpha: float = 0.2) -> None:
        super().__init__()
        self.beta, self.alpha = beta, alpha
        self.conv1, self.conv2 = (StandardisedConv(width, width, 3, padding=1) for _ in range(2))
        self.skip_gain = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        h = self.conv1(1.7128586 * F.relu(x * self.beta))
        return x + self.alpha * self.skip_gain * self.conv2(1.7128586 * F.relu(h))


class NfNet(nn.Module):
    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.stem = StandardisedConv(1, width, 3, padding=1)
        self.blocks = nn.Sequential(*[NfNetBlock(width, (1 + 0.04 * i) ** -0.5) for i in range(4)])
        self.head = nn.Linear(width, 10)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, x):
        return self.head(1.7128586 * F.relu(self.blocks(self.stem(x))).mean((2, 3)))


class FixupBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias1a, self.bias1b, self.bias2a, self.bias2b = (nn.Parameter(torch.zeros(1)) for _ in range(4))
        self.scale = nn.Parameter(torch.ones(1))
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x):
        out = F.relu(self.conv1(x + self.bias1a) + self.bias1b)
        return F.relu(x + self.conv2(out + self.bias2a) * self.scale + self.bias2b)


class Fixup(nn.Module):
    """Residual blocks without norms; the last weight of each branch and the classifier are zero (Zhang 2019)."""

    def __init__(self, width: int = 12, blocks: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.Sequential(*[FixupBlock(width) for _ in range(blocks)])
        self.bias, self.fc = nn.Parameter(torch.zeros(1)), nn.Linear(width, 10)
        for m in self.blocks:
            std = math.sqrt(2 / (width * 9)) * blocks**-0.5
            nn.init.normal_(m.conv1.weight, mean=0, std=std)
            nn.init.constant_(m.conv2.weight, 0)
        nn.init.constant_(self.fc.weight, 0)
        nn.init.constant_(self.fc.bias, 0)

    def forward(self, x):
        return self.fc(self.blocks(F.relu(self.conv1(x))).mean((2, 3)) + self.bias)


class Cait(nn.Module):
    """Blocks with layer scales of 0.1, talking heads, and class attention as a raw einsum."""

    def __init__(self, d: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.embed, self.pos = nn.Linear(8, d), nn.Parameter(torch.randn(1, 8, d) * 0.02)
        self.qkv = nn.ParameterList(nn.Parameter(torch.randn(3, heads, d, d // heads) * d**-0.5) for _ in range(2))
        self.talk = nn.ParameterList(nn.Parameter(torch.eye(heads)) for _ in range(2))
        self.out = nn.ParameterList(nn.Parameter(torch.randn(heads, d // heads, d) * d**-0.5) for _ in range(2))
        self.scales = nn.ParameterList(nn.Parameter(torch.full((d,), 0.1)) for _ in range(4))
        self.mlps = nn.ModuleList(nn.Sequential(nn.Linear(d, 64), nn.GELU(), nn.Linear(64, d)) for _ in range(2))
        self.norms, self.head = nn.ModuleList(nn.LayerNorm(d) for _ in range(5)), nn.Linear(d, 10)

    def forward(self, x):
        x = self.embed(x.squeeze(1)) + self.pos
        for i in range(2):
            q, k, v = torch.einsum("btd,shde->sbhte", self.norms[2 * i](x), self.qkv[i])
            logits = torch.einsum("bhqe,bhke->bhqk", q, k) * q.shape[-1] ** -0.5
            weights = torch.einsum("bhqk,hg->bgqk", logits, self.talk[i]).softmax(-1)
            y = torch.einsum("bhqk,bhke,hed->bqd", weights, v, self.out[i])
            x = x + self.scales[2 * i] * y
            x = x + self.scales[2 * i + 1] * self.mlps[i](self.norms[2 * i + 1](x))
        return self.head(self.norms[-1](x).mean(1))


def vision(name: str, build, optimizer, rate: float, steps: int) -> Case:
    return Case(
        name=name, field="vision", build=build, data=digit_images, loss=F.cross_entropy, optimizer=optimizer, rate=rate,
        steps=steps, metric=accuracy(10),
    )  # fmt: skip


def decayed(parameters, rate):
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05)


VISION_DESIGNED = (
    vision("vit", VisionTransformer, decayed, 3e-3, 200),
    vision("convnext", ConvNext, decayed, 4e-3, 200),
    vision("mixer", Mixer, adam, 2e-3, 250),
    vision("nfnet", NfNet, sgd, 0.1, 200),
    vision("fixup", Fixup, adam, 5e-3, 250),
    vision("cait-einsum", Cait, decayed, 2e-3, 250),
)
