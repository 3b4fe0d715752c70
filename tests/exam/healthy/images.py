"""Networks for images: residual, dense, separable, attention, segmentation, detection."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy, sgd
from exam.problems import digits, misclassified


def conv(i: int, o: int, k: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False)


@healthy("residual network, last scale at zero", "https://arxiv.org/abs/1706.02677")
def residual_blocks_with_zero_scale(seed: int) -> Case:
    class BasicBlock(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = conv(c, c), nn.BatchNorm2d(c)
            self.conv2, self.bn2 = conv(c, c), nn.BatchNorm2d(c)
            nn.init.zeros_(self.bn2.weight)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))

    net = nn.Sequential(
        conv(1, 12),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        *[BasicBlock(12) for _ in range(4)],
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
    )
    x, y = digits(seed, 96)
    return Case(net, x, y, F.cross_entropy, sgd(0.1, momentum=0.9), misclassified, steps=50)


@healthy("residual network without normalisation", "https://arxiv.org/abs/2003.04887")
def residual_blocks_with_a_zero_gate(seed: int) -> Case:
    class ReZero(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.branch = nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1))
            self.alpha = nn.Parameter(torch.tensor(0.0))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.alpha * self.branch(x)

    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), *[ReZero(12) for _ in range(6)], nn.ReLU(), nn.Flatten(), nn.Linear(768, 10)
    )
    x, y = digits(seed, 96)
    return Case(net, x, y, F.cross_entropy, adam(3e-3), misclassified, steps=40)


@healthy("residual network without normalisation", "https://arxiv.org/abs/1901.09321")
def fixed_update_initialization(seed: int) -> Case:
    depth = 6

    class FixupBlock(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.b1, self.b2, self.b3, self.b4 = (nn.Parameter(torch.zeros(1)) for _ in range(4))
            self.conv1, self.conv2, self.scale = conv(c, c), conv(c, c), nn.Parameter(torch.ones(1))
            nn.init.normal_(self.conv1.weight, std=(2 / (9 * c)) ** 0.5 * depth**-0.5)
            nn.init.zeros_(self.conv2.weight)

        def forward(self, x: Tensor) -> Tensor:
            h = F.relu(self.conv1(x + self.b1) + self.b2)
            return F.relu(x + self.scale * self.conv2(h + self.b3) + self.b4)

    head = nn.Linear(192, 10)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        *[FixupBlock(12) for _ in range(depth)],
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        head,
    )
    x, y = digits(seed, 96)
    return Case(net, x, y, F.cross_entropy, adam(1e-2), misclassified, steps=60)


@healthy("densely connected network", "https://arxiv.org/abs/1608.06993")
def dense_block(seed: int) -> Case:
    class DenseNet(nn.Module):
        def __init__(self, growth: int = 8) -> None:
            super().__init__()
            self.stem = conv(1, 2 * growth)
            self.layers = nn.ModuleList(
                nn.Sequential(nn.BatchNorm2d(growth * (i + 2)), nn.ReLU(), conv(growth * (i + 2), growth))
                for i in range(4)
            )
            self.norm, self.out = nn.BatchNorm2d(growth * 6), nn.Linear(growth * 6, 10)

        def forward(self, x: Tensor) -> Tensor:
            maps = [self.stem(x)]
            for layer in self.layers:
                maps.append(layer(torch.cat(maps, 1)))
            return self.out(F.relu(self.norm(torch.cat(maps, 1))).mean((2, 3)))

    x, y = digits(seed, 96)
    return Case(DenseNet(), x, y, F.cross_entropy, sgd(0.1, momentum=0.9, nesterov=True), misclassified, steps=50)


@healthy("separable convolutions and squeeze-and-excitation", "https://arxiv.org/abs/1905.02244")
def inverted_residuals_with_squeeze(seed: int) -> Case:
    class Inverted(nn.Module):
        def __init__(self, c: int, expand: int = 4) -> None:
            super().__init__()
            m = c * expand
            self.up = nn.Sequential(conv(c, m, 1), nn.BatchNorm2d(m), nn.Hardswish())
            self.depth = nn.Sequential(conv(m, m, groups=m), nn.BatchNorm2d(m), nn.Hardswish())
            self.squeeze = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(m, 8, 1), nn.ReLU(), nn.Conv2d(8, m, 1), nn.Hardsigmoid()
            )
            self.down = nn.Sequential(conv(m, c, 1), nn.BatchNorm2d(c))

        def forward(self, x: Tensor) -> Tensor:
            h = self.depth(self.up(x))
            return x + self.down(h * self.squeeze(h))

    net = nn.Sequential(
        conv(1, 10),
        nn.BatchNorm2d(10),
        nn.Hardswish(),
        Inverted(10),
        Inverted(10),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(10, 10),
    )
    x, y = digits(seed, 96)
    return Case(net, x, y, nn.CrossEntropyLoss(label_smoothing=0.1), adam(1e-2), misclassified, steps=60)


@healthy("modern convolutional network", "https://arxiv.org/abs/2201.03545")
def layer_scale_of_a_millionth(seed: int) -> Case:
    class Block(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.dw, self.norm = nn.Conv2d(d, d, 5, padding=2, groups=d), nn.LayerNorm(d)
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
            self.gamma = nn.Parameter(1e-6 * torch.ones(d))

        def forward(self, x: Tensor) -> Tensor:
            h = self.norm(self.dw(x).permute(0, 2, 3, 1))
            return x + (self.gamma * self.down(F.gelu(self.up(h)))).permute(0, 3, 1, 2)

    class ConvNeXt(nn.Module):
        def __init__(self, d: int = 16) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, d, 2, stride=2)
            self.blocks = nn.Sequential(*[Block(d) for _ in range(3)])
            self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 10)
            for m in self.modules():
                if isinstance(m, nn.Conv2d | nn.Linear):
                    nn.init.trunc_normal_(m.weight, std=0.02)
                    nn.init.zeros_(m.bias)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.blocks(self.stem(x)).mean((2, 3))))

    x, y = digits(seed, 96)
    optimizer = lambda m: torch.optim.AdamW(m.parameters(), lr=4e-3, weight_decay=0.05)  # noqa: E731
    return Case(ConvNeXt(), x, y, F.cross_entropy, optimizer, misclassified, steps=80)


@healthy("transformer for images", "https://arxiv.org/abs/2010.11929")
def patches_with_a_class_token_of_zeros(seed: int) -> Case:
    class ViT(nn.Module):
        def __init__(self, d: int = 32) -> None:
            super().__init__()
            self.patch = nn.Conv2d(1, d, 2, stride=2)
            self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, d)), nn.Parameter(0.02 * torch.randn(1, 17, d))
            layer = nn.TransformerEncoderLayer(
                d, 4, 64, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(d), enable_nested_tensor=False)
            self.head = nn.Linear(d, 10)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

        def forward(self, x: Tensor) -> Tensor:
            t = self.patch(x).flatten(2).transpose(1, 2)
            t = torch.cat([self.cls.expand(len(t), -1, -1), t], 1) + self.pos
            return self.head(self.encoder(t)[:, 0])

    x, y = digits(seed, 96)
    optimizer = lambda m: torch.optim.AdamW(m.parameters(), lr=2e-3)  # noqa: E731
    return Case(ViT(), (x - 0.3) / 0.37, y, F.cross_entropy, optimizer, misclassified, steps=60)


@healthy("perceptrons over patches", "https://arxiv.org/abs/2105.01601")
def mixer_of_patches(seed: int) -> Case:
    class MixerLayer(nn.Module):
        def __init__(self, t: int, d: int) -> None:
            super().__init__()
            self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.tokens = nn.Sequential(nn.Linear(t, 2 * t), nn.GELU(), nn.Linear(2 * t, t))
            self.channels = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.tokens(self.n1(x).transpose(1, 2)).transpose(1, 2)
            return x + self.channels(self.n2(x))

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(1, 24, 2, stride=2)
            self.layers = nn.Sequential(MixerLayer(16, 24), MixerLayer(16, 24))
            self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.layers(self.embed(x).flatten(2).transpose(1, 2))).mean(1))

    x, y = digits(seed, 96)
    return Case(Mixer(), x, y, F.cross_entropy, adam(3e-3), misclassified, steps=50)
