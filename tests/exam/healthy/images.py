"""Networks for images: residual, dense, separable, attention, segmentation, detection."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy, sgd
from exam.problems import accuracy_error, areas, board, digits, misclassified


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
        conv(1, 12), nn.BatchNorm2d(12), nn.ReLU(), *[BasicBlock(12) for _ in range(4)], nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(12, 10),
    )  # fmt: skip
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

    net = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), *[ReZero(12) for _ in range(6)], nn.ReLU(), nn.Flatten(),
                        nn.Linear(768, 10))  # fmt: skip
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
    net = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), *[FixupBlock(12) for _ in range(depth)],
                        nn.AdaptiveAvgPool2d(4), nn.Flatten(), head)  # fmt: skip
    x, y = digits(seed, 96)
    return Case(net, x, y, F.cross_entropy, adam(1e-2), misclassified, steps=60)


@healthy("densely connected network", "https://arxiv.org/abs/1608.06993")
def dense_block(seed: int) -> Case:
    class DenseNet(nn.Module):
        def __init__(self, growth: int = 8) -> None:
            super().__init__()
            self.stem = conv(1, 2 * growth)
            self.layers = nn.ModuleList(
                nn.Sequential(nn.BatchNorm2d(growth * (i + 2)), nn.ReLU(), conv(growth * (i + 2), growth)) for i in range(4)
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
            self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(m, 8, 1), nn.ReLU(), nn.Conv2d(8, m, 1),
                                         nn.Hardsigmoid())  # fmt: skip
            self.down = nn.Sequential(conv(m, c, 1), nn.BatchNorm2d(c))

        def forward(self, x: Tensor) -> Tensor:
            h = self.depth(self.up(x))
            return x + self.down(h * self.squeeze(h))

    net = nn.Sequential(conv(1, 10), nn.BatchNorm2d(10), nn.Hardswish(), Inverted(10), Inverted(10),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(10, 10))  # fmt: skip
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
            layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
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


@healthy("segmentation", "https://arxiv.org/abs/1505.04597")
def small_u_net(seed: int) -> Case:
    def double(i: int, o: int) -> nn.Sequential:
        return nn.Sequential(conv(i, o), nn.BatchNorm2d(o), nn.ReLU(), conv(o, o), nn.BatchNorm2d(o), nn.ReLU())

    class UNet(nn.Module):
        def __init__(self, c: int = 8) -> None:
            super().__init__()
            self.inc, self.down1, self.down2 = double(1, c), double(c, 2 * c), double(2 * c, 4 * c)
            self.up1, self.dec1 = nn.ConvTranspose2d(4 * c, 2 * c, 2, stride=2), double(4 * c, 2 * c)
            self.up2, self.dec2 = nn.ConvTranspose2d(2 * c, c, 2, stride=2), double(2 * c, c)
            self.outc = nn.Conv2d(c, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            a = self.inc(x)
            b = self.down1(F.max_pool2d(a, 2))
            c = self.down2(F.max_pool2d(b, 2))
            d = self.dec1(torch.cat([self.up1(c), b], 1))
            return self.outc(self.dec2(torch.cat([self.up2(d), a], 1)))

    x, y = areas(seed)
    return Case(UNet(), x, y, nn.BCEWithLogitsLoss(), adam(5e-3), accuracy_error, steps=30)


@healthy("segmentation", "https://arxiv.org/abs/1606.04797")
def dice_of_probabilities(seed: int) -> Case:
    class Segmenter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.PReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.PReLU())
            self.out = nn.Conv2d(12, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(self.out(self.body(x)))

    def dice(p: Tensor, t: Tensor) -> Tensor:
        return 1 - (2 * (p * t).sum() + 1) / (p.square().sum() + t.square().sum() + 1)

    x, y = areas(seed)
    return Case(Segmenter(), x - 0.5, y, dice, adam(1e-2), steps=50)


@healthy("detection, dense", "https://arxiv.org/abs/1708.02002")
def focal_loss_with_a_prior_in_the_bias(seed: int) -> Case:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tower = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
            self.cls = nn.Conv2d(16, 1, 3, padding=1)
            nn.init.constant_(self.cls.bias, -4.595)

        def forward(self, x: Tensor) -> Tensor:
            return self.cls(self.tower(x))

    def focal(logits: Tensor, t: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
        p = logits.sigmoid()
        ce = F.binary_cross_entropy_with_logits(logits, t, reduction="none")
        pt = p * t + (1 - p) * (1 - t)
        return ((alpha * t + (1 - alpha) * (1 - t)) * (1 - pt) ** gamma * ce).sum() / t.sum().clamp(min=1)

    x, corners = board(seed)
    t = torch.zeros(len(x), 1, 16, 16)
    centre = ((corners[:, :2] + corners[:, 2:]) * 8).long().clamp(max=15)
    t[torch.arange(len(x)), 0, centre[:, 0], centre[:, 1]] = 1
    return Case(Head(), x, t, focal, adam(5e-3), steps=40)


@healthy("detection, several heads", "https://arxiv.org/abs/1512.02325")
def boxes_and_scores_in_a_dictionary(seed: int) -> Case:
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Sequential(nn.Conv2d(1, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 24, 3, 2, 1),
                                          nn.BatchNorm2d(24), nn.ReLU(), nn.Flatten())  # fmt: skip
            self.boxes, self.scores = nn.Linear(384, 4), nn.Linear(384, 2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = self.backbone(x)
            return {"boxes": self.boxes(h), "scores": self.scores(h)}

    def multibox(out: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        return F.smooth_l1_loss(out["boxes"], target["boxes"]) + F.cross_entropy(out["scores"], target["wide"])

    x, corners = board(seed)
    wide = (corners[:, 3] - corners[:, 1] > corners[:, 2] - corners[:, 0]).long()
    return Case(Detector(), x, {"boxes": corners, "wide": wide}, multibox, adam(2e-3), steps=40)


@healthy("image restoration", "https://arxiv.org/abs/1707.02921")
def super_resolution_by_residuals(seed: int) -> Case:
    class ResBlock(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1))

        def forward(self, x: Tensor) -> Tensor:
            return x + 0.1 * self.body(x)

    class EDSR(nn.Module):
        def __init__(self, c: int = 12) -> None:
            super().__init__()
            self.head, self.body = nn.Conv2d(1, c, 3, padding=1), nn.Sequential(*[ResBlock(c) for _ in range(3)])
            self.tail = nn.Sequential(nn.Conv2d(c, 4 * c, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(c, 1, 3, padding=1))

        def forward(self, x: Tensor) -> Tensor:
            h = self.head(x)
            return self.tail(h + self.body(h))

    fine, _ = digits(seed, 64)
    return Case(EDSR(), F.avg_pool2d(fine, 2), fine, nn.L1Loss(), adam(2e-3), steps=60)


@healthy("multi-task", "https://arxiv.org/abs/1705.07115")
def learned_weights_of_two_tasks(seed: int) -> Case:
    class Uncertain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(256, 48), nn.ReLU())
            self.where, self.what = nn.Linear(48, 4), nn.Linear(48, 2)
            self.log_vars = nn.Parameter(torch.zeros(2))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            h = self.trunk(x)
            return self.where(h), self.what(h), self.log_vars

    def loss(out: tuple[Tensor, Tensor, Tensor], y: tuple[Tensor, Tensor]) -> Tensor:
        where, what, s = out
        terms = torch.stack([F.mse_loss(where, y[0]), F.cross_entropy(what, y[1])])
        return (torch.exp(-s) * terms + s).sum()

    x, corners = board(seed)
    tall = (corners[:, 2] - corners[:, 0] > 0.3).long()
    error = lambda o, y: misclassified(o[1], y[1]) + F.mse_loss(o[0], y[0])  # noqa: E731
    return Case(Uncertain(), x, (corners, tall), loss, adam(3e-3), error, steps=60)
