"""Networks that return pictures or places in them: segmentation, detection, restoration."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy
from exam.problems import accuracy_error, areas, board, digits, misclassified


def conv(i: int, o: int, k: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False)


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
            self.body = nn.Sequential(
                nn.Conv2d(1, 12, 3, padding=1), nn.PReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.PReLU()
            )
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
            self.tower = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()
            )
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
            self.backbone = nn.Sequential(
                nn.Conv2d(1, 12, 3, 2, 1),
                nn.BatchNorm2d(12),
                nn.ReLU(),
                nn.Conv2d(12, 24, 3, 2, 1),
                nn.BatchNorm2d(24),
                nn.ReLU(),
                nn.Flatten(),
            )
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
            self.tail = nn.Sequential(
                nn.Conv2d(c, 4 * c, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(c, 1, 3, padding=1)
            )

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
