"""Dense prediction and detection: segmentation, upscaling, grids, focal losses, heat maps, set prediction."""

from __future__ import annotations

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, adam, held_out, sgd
from starts_exam.sources import halves, mnist_images, patterns

__all__ = ["DENSE_VISION"]


def double(inp: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inp, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
        nn.Conv2d(out, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
    )  # fmt: skip


class UNet(nn.Module):
    """PyTorch's defaults, transposed convolutions on the way up."""

    def __init__(self) -> None:
        super().__init__()
        self.inc, self.down1, self.down2 = double(1, 8), double(8, 16), double(16, 24)
        self.up1, self.conv1 = nn.ConvTranspose2d(24, 16, 2, 2), double(32, 16)
        self.up2, self.conv2 = nn.ConvTranspose2d(16, 8, 2, 2), double(16, 8)
        self.outc = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        a = self.inc(x)
        b = self.down1(F.max_pool2d(a, 2))
        c = self.down2(F.max_pool2d(b, 2))
        y = self.conv1(torch.cat([b, self.up1(c)], 1))
        return self.outc(self.conv2(torch.cat([a, self.up2(y)], 1)))


def segments(seed: int) -> Data:
    """The 3 × 3 surroundings of each pattern carry its class; 0 is the background."""
    x, centres = patterns(seed, images=320, size=16)
    y = torch.zeros(320, 16, 16, dtype=torch.long)
    for i in range(320):
        for kind, (r, c) in enumerate(centres[i].tolist()):
            y[i, r - 1 : r + 2, c - 1 : c + 2] = kind + 1
    return halves(x, y, 64, seed)


class SubPixel(nn.Module):
    """The super-resolution network of PyTorch's examples: orthogonal weights with the gain of relu."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 5, padding=2), nn.Conv2d(32, 32, 3, padding=1)
        self.conv3, self.conv4 = nn.Conv2d(32, 16, 3, padding=1), nn.Conv2d(16, 4, 3, padding=1)
        self.pixel_shuffle = nn.PixelShuffle(2)
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.orthogonal_(conv.weight, nn.init.calculate_gain("relu"))
        nn.init.orthogonal_(self.conv4.weight)

    def forward(self, x):
        x = F.relu(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))))
        return self.pixel_shuffle(self.conv4(x))


def upscaling(seed: int) -> Data:
    images = mnist_images(seed, size=14, standardise=False)
    return Data(F.avg_pool2d(images.x, 2), images.x, F.avg_pool2d(images.x_held, 2), images.x_held)


class GridDetector(nn.Module):
    """One box for each cell of 4 × 4 and class: objectness, centre within the cell; leaky relu, defaults."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inp, out, stride in ((1, 12, 1), (12, 24, 2), (24, 32, 2)):
            layers += [nn.Conv2d(inp, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.LeakyReLU(0.1)]
        self.backbone, self.head = nn.Sequential(*layers), nn.Conv2d(32, 9, 1)

    def forward(self, x):
        return self.head(self.backbone(x)).unflatten(1, (3, 3))


def grid(seed: int) -> Data:
    x, centres = patterns(seed, images=400, size=16)
    y = torch.zeros(400, 3, 3, 4, 4)
    for i in range(400):
        for kind, (r, c) in enumerate(centres[i].tolist()):
            y[i, kind, :, r // 4, c // 4] = torch.tensor([1.0, (r % 4) / 4, (c % 4) / 4])
    return halves(x, y, 100, seed)


def yolo(p, y):
    there = y[:, :, 0]
    found = F.binary_cross_entropy_with_logits(p[:, :, 0], there)
    boxes = ((p[:, :, 1:].sigmoid() - y[:, :, 1:]) ** 2).sum(2)
    return found + 5 * (boxes * there).sum() / there.sum()


class FocalDetector(nn.Module):
    """Towers of normal 0.01 and a bias that holds a prior of 1 % (Lin 2017)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        self.tower = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.cls_logits = nn.Conv2d(width, 3, 3, padding=1)
        for layer in (self.tower[0], self.cls_logits):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, 0)
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - 0.01) / 0.01))

    def forward(self, x):
        return self.cls_logits(self.tower(self.backbone(x)))


def anchors(seed: int) -> Data:
    x, centres = patterns(seed, images=400, size=16)
    y = torch.zeros(400, 3, 8, 8)
    for i in range(400):
        for kind, (r, c) in enumerate(centres[i].tolist()):
            y[i, kind, r // 2, c // 2] = 1
    return halves(x, y, 100, seed)


def focal(logits, y):
    ce = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    p = logits.sigmoid()
    wrong = p * (1 - y) + (1 - p) * y
    weight = 0.25 * y + 0.75 * (1 - y)
    return (weight * wrong**2 * ce).sum() / y.sum()


class HeatMaps(nn.Module):
    """Centres as peaks of heat maps with a bias of -2.19, beside a head for offsets (Zhou 2019)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        self.hm = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 1))
        self.reg = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 6, 1))
        self.hm[-1].bias.data.fill_(-2.19)
        for m in self.reg.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.normal_(m.weight, std=0.001)
                nn.init.constant_(m.bias, 0)

    def forward(self, x):
        x = self.body(x)
        return torch.cat([self.hm(x).sigmoid().clamp(1e-4, 1 - 1e-4), self.reg(x)], 1)


def peaks(seed: int) -> Data:
    """Nine maps: a Gaussian peak for each pattern, and the offsets of its centre within the cell."""
    x, centres = patterns(seed, images=300, size=16)
    u = torch.arange(8.0)
    y = torch.zeros(300, 9, 8, 8)
    for i in range(300):
        for kind, (r, c) in enumerate(centres[i].tolist()):
            y[i, kind] = torch.exp(-((u[:, None] - r // 2) ** 2 + (u[None] - c // 2) ** 2) / 2)
            y[i, 3 + 2 * kind : 5 + 2 * kind, r // 2, c // 2] = torch.tensor([r % 2 - 0.5, c % 2 - 0.5])
    return halves(x, y, 60, seed)


def centre_loss(p, y):
    heat, target = p[:, :3], y[:, :3]
    there = (target == 1).float()
    positive = there * (1 - heat) ** 2 * heat.log()
    negative = (1 - there) * (1 - target) ** 4 * heat**2 * (1 - heat).log()
    offsets = (p[:, 3:] - y[:, 3:]).abs() * there.repeat_interleave(2, 1)
    return (offsets.sum() - (positive + negative).sum()) / there.sum()


class SetPredictor(nn.Module):
    """Six object queries (unit normals) look at the image through a transformer by Xavier (Carion 2020)."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, d, 3, 2, 1))
        self.transformer = nn.Transformer(d, 4, 1, 2, 64, dropout=0.0, batch_first=True)
        for p in self.transformer.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)
        self.query_embed, self.position = nn.Embedding(6, d), nn.Parameter(torch.rand(16, d))
        self.class_embed = nn.Linear(d, 4)
        self.bbox_embed = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 2))

    def forward(self, x):
        memory = self.backbone(x).flatten(2).transpose(1, 2) + self.position
        h = self.transformer(memory, self.query_embed.weight.expand(len(x), -1, -1))
        return torch.cat([self.class_embed(h), self.bbox_embed(h).sigmoid()], -1)


def objects(seed: int) -> Data:
    x, centres = patterns(seed, images=400, size=16, noise=0.1)
    return halves(x, centres / 15.0, 80, seed)


def matched(p, y):
    """Cross-entropy and distance under the best assignment of queries to the three objects; class 3 is none."""
    log_p = p[..., :4].log_softmax(-1)
    cost = 5 * torch.cdist(p[..., 4:], y, p=1) - log_p[..., :3]
    labels, distance = torch.full(p.shape[:2], 3), p.new_zeros(())
    for i, rows in enumerate(cost.detach().numpy()):
        query, kind = (torch.as_tensor(index) for index in linear_sum_assignment(rows))
        labels[i, query] = kind
        distance = distance + (p[i, query, 4:] - y[i, kind]).abs().sum()
    return F.nll_loss(log_p.flatten(0, 1), labels.flatten()) + 5 * distance / (3 * len(p))


DENSE_VISION = (
    Case(
        name="unet-segmentation", field="vision", build=UNet, data=segments, loss=F.cross_entropy, optimizer=adam,
        rate=5e-3, steps=120, batch=16, metric=held_out("cross-entropy", F.cross_entropy, 0.45),
    ),
    Case(
        name="super-resolution", field="vision", build=SubPixel, data=upscaling, loss=F.mse_loss, optimizer=adam,
        rate=1e-3, steps=200, metric=held_out("mean squared error", F.mse_loss, 0.08),
    ),
    Case(
        name="grid-detector", field="detection", build=GridDetector, data=grid, loss=yolo, optimizer=sgd, rate=0.02,
        steps=250, batch=24, metric=held_out("loss", yolo, 0.234 + 5 * 0.156),
    ),
    Case(
        name="focal-detector", field="detection", build=FocalDetector, data=anchors, loss=focal, optimizer=adam,
        rate=1e-3, steps=300, batch=24, metric=held_out("loss", focal, 0.72),
    ),
    Case(
        name="heat-maps", field="detection", build=HeatMaps, data=peaks, loss=centre_loss, optimizer=adam, rate=2e-3,
        steps=300, batch=16, metric=held_out("loss", centre_loss, 6.0),
    ),
    Case(
        name="set-prediction", field="detection", build=SetPredictor, data=objects, loss=matched, optimizer=adam,
        rate=1e-3, steps=200, batch=12, metric=held_out("loss", matched, 3.0),
    ),
)  # fmt: skip
