"""Image classifiers that are plain, residual or separable convolutions."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, accuracy, adam, sgd
from starts_exam.sources import digit_images, mnist_images

__all__ = ["VISION"]


def torch_adadelta(parameters, rate):
    return torch.optim.Adadelta(parameters, lr=rate)


def small_mnist(seed: int):
    return mnist_images(seed, size=14)


class TutorialNet(nn.Module):
    """Two convolutions and two linear layers, all by default: the first network of many tutorials."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, 1), nn.Conv2d(8, 16, 3, 1)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(400, 64), nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        x = self.dropout1(torch.flatten(x, 1))
        return self.fc2(self.dropout2(F.relu(self.fc1(x))))


def lenet() -> nn.Module:
    """LeNet-5 with tanh and average pooling, by default."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 3), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


class BasicBlock(nn.Module):
    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(planes), nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + identity)


class ResNet(nn.Module):
    """He's rule by fan-out, and a zero scale at the end of every branch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.layers = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 16, 2), BasicBlock(16, 32, 2))
        self.fc = nn.Linear(32, 10)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        for m in self.modules():
            if isinstance(m, BasicBlock):
                nn.init.constant_(m.bn2.weight, 0)

    def forward(self, x):
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


class InvertedResidual(nn.Module):
    def __init__(self, inp: int, oup: int, stride: int, expand: int = 4) -> None:
        super().__init__()
        hidden = inp * expand
        self.use_res = stride == 1 and inp == oup
        self.conv = nn.Sequential(
            nn.Conv2d(inp, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True), nn.Conv2d(hidden, oup, 1, bias=False), nn.BatchNorm2d(oup),
        )  # fmt: skip

    def forward(self, x):
        return x + self.conv(x) if self.use_res else self.conv(x)


class MobileNet(nn.Module):
    """Convolutions by He's rule (fan-out), the classifier normal 0.01."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True),
            InvertedResidual(8, 12, 1), InvertedResidual(12, 12, 1), InvertedResidual(12, 16, 2),
            nn.Conv2d(16, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU6(inplace=True),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(48, 10))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.ones_(m.weight)
                nn.init.zeros_(m.bias)
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, 0, 0.01)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        return self.classifier(self.features(x).mean([2, 3]))


class Vgg(nn.Module):
    """Plain relu convolutions without a norm: He's rule by fan-out, linear layers normal 0.01."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 1
        for v in (8, 8, "M", 16, 16, "M", 32, 32):
            layers += [nn.MaxPool2d(2)] if v == "M" else [nn.Conv2d(width, v, 3, padding=1), nn.ReLU(True)]
            width = width if v == "M" else v
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(nn.Linear(128, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 10))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                nn.init.constant_(m.bias, 0)
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, 0, 0.01)
                nn.init.constant_(m.bias, 0)

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


VISION = (
    Case(
        name="tutorial-convnet", field="vision", build=TutorialNet, data=small_mnist, loss=F.cross_entropy,
        optimizer=torch_adadelta, rate=1.0, steps=250, metric=accuracy(10), batch=64,
    ),
    Case(
        name="lenet-tanh", field="vision", build=lenet, data=small_mnist, loss=F.cross_entropy,
        optimizer=sgd, rate=0.05, steps=300, metric=accuracy(10),
    ),
    Case(
        name="perceptron", field="vision", build=perceptron, data=mnist_images, loss=F.cross_entropy, optimizer=adam,
        rate=1e-3, steps=300, metric=accuracy(10),
    ),
    Case(
        name="resnet", field="vision", build=ResNet, data=digit_images, loss=F.cross_entropy, optimizer=sgd, rate=0.1,
        steps=200, metric=accuracy(10),
    ),
    Case(
        name="mobilenet", field="vision", build=MobileNet, data=digit_images, loss=F.cross_entropy,
        optimizer=sgd, rate=0.05, steps=200, metric=accuracy(10),
    ),
    Case(
        name="vgg-plain", field="vision", build=Vgg, data=small_mnist, loss=F.cross_entropy, optimizer=adam, rate=2e-3,
        steps=250, metric=accuracy(10),
    ),
)  # fmt: skip
