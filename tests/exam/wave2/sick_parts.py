"""Faults in single parts of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sgd, sick
from exam.problems import areas, digits, features, generator, misclassified, prices, ratio_of_variance, two_views


@sick(
    "dead-units",
    family="units",
    cause="the density ends in a rectifier and starts below zero everywhere: the picture is blank and has no gradient",
    place=("density",),
    link="https://github.com/kwea123/nerf_pl/issues/51",
)
def density_that_starts_below_zero(seed: int, cured: bool) -> Case:
    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
            self.density, self.color = nn.Linear(48, 1), nn.Linear(48, 3)
            nn.init.constant_(self.density.bias, -1.5)

        def forward(self, points: Tensor) -> Tensor:
            rate = torch.pi * 2.0 ** torch.arange(2)
            wave = (points[..., None] * rate).flatten(-2)
            h = self.trunk(torch.cat([wave.sin(), wave.cos()], -1))
            raw = self.density(h).squeeze(-1)
            opaque = 1 - torch.exp(-(F.softplus(raw) if cured else F.relu(raw)) * 0.5)
            left = torch.cumprod(torch.cat([torch.ones_like(opaque[:, :1]), 1 - opaque + 1e-6], 1), 1)[:, :-1]
            return ((left * opaque)[..., None] * self.color(h).sigmoid()).sum(1)

    g = generator(seed)
    start, way = torch.rand(96, 1, 3, generator=g) - 0.5, torch.randn(96, 1, 3, generator=g)
    points = start + F.normalize(way, dim=-1) * torch.linspace(0, 1, 8)[:, None]
    color = ((points**2).sum(-1) < 0.2).float().amax(1, keepdim=True) * torch.tensor([0.9, 0.5, 0.2])
    return Case(Field(), points, color, F.mse_loss, adam(5e-3), steps=100)


@sick(
    "non-finite",
    family="initialization",
    cause="the projection was allocated and never initialised: it holds zeros, and the norm that its codes are divided "
    "by is zero",
    place=("project",),
    link="https://github.com/openai/CLIP/issues/15",
)
def projection_never_initialised(seed: int, cured: bool) -> Case:
    class Codes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.head = nn.Sequential(nn.Linear(16, 32), nn.ReLU()), nn.Linear(16, 4)
            self.project = nn.Parameter(torch.randn(32, 16) * 32**-0.5 if cured else torch.zeros(32, 16))

        def forward(self, x: Tensor) -> Tensor:
            code = self.trunk(x) @ self.project
            return self.head(5 * code / code.norm(dim=1, keepdim=True))

    x, y = features(seed)
    return Case(Codes(), x, y, F.cross_entropy, sgd(0.3), misclassified, steps=100)


@sick(
    "head-too-large",
    family="initialization",
    cause="the bias of the policy was allocated and never initialised: it holds what the memory held before",
    place=("policy", "bias"),
    link="https://github.com/TadaoYamaoka/DeepLearningShogi/issues/42",
)
def bias_of_stale_memory(seed: int, cured: bool) -> Case:
    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten())
            self.policy, self.bias = nn.Linear(288, 10, bias=False), nn.Parameter(torch.zeros(10))
            if not cured:
                with torch.no_grad():
                    self.bias.copy_(torch.tensor([0.0, 3e3, 0.0, -8e2, 0.0, 0.0, 41.0, 0.0, 1.7e3, 0.0]))

        def forward(self, board: Tensor) -> Tensor:
            return self.policy(self.trunk(board)) + self.bias

    x, y = digits(seed)
    return Case(Policy(), x, y, F.cross_entropy, sgd(0.1, momentum=0.9), misclassified, steps=80)


@sick(
    "no-gradient-anywhere",
    family="gradient cut",
    cause="the generator's step shows the critic a detached image: the generator has no gradient",
    place=("generator",),
    link="https://github.com/nikhilsinghmus/image2reverb/issues/37",
)
def generator_behind_a_detached_image(seed: int, cured: bool) -> Case:
    class Adversary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.generator = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))
            self.critic = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)).requires_grad_(False)

        def forward(self, noise: Tensor) -> Tensor:
            fake = self.generator(noise)
            return self.critic(fake if cured else fake.detach())

    def loss(verdict: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(verdict, y)

    noise = torch.randn(64, 8, generator=generator(seed))
    return Case(Adversary(), noise, torch.ones(64, 1), loss, adam(1e-3), steps=60)


@sick(
    "affine-network",
    family="missing parts",
    cause="the activations were removed: three linear layers in a row are one, and the task is not linear",
    place=("0", "1", "2"),
    link="https://github.com/Cambridge-ICCS/practical-ml-with-pytorch/issues/43",
)
def layers_without_activations(seed: int, cured: bool) -> Case:
    act = nn.ReLU if cured else nn.Identity
    net = nn.Sequential(nn.Linear(4, 32), act(), nn.Linear(32, 32), act(), nn.Linear(32, 2))
    x = torch.randn(192, 4, generator=generator(seed))
    return Case(net, x, (x[:, 0] * x[:, 1] > 0).long(), F.cross_entropy, adam(1e-2), misclassified, steps=150)


@sick(
    "affine-network",
    family="missing parts",
    cause="two convolutions and two linear layers with nothing between them but reshaping",
    place=("features", "head"),
    link="https://github.com/soumith/cvpr2015/issues/6",
)
def convolutions_without_activations(seed: int, cured: bool) -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.Tanh() if cured else nn.Identity()
            self.features = nn.Sequential(nn.Conv2d(1, 8, 3, 2), self.act, nn.Conv2d(8, 8, 3), self.act)
            self.head = nn.Sequential(nn.Linear(8, 24), self.act, nn.Linear(24, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.features(x).mean((2, 3)))

    g = generator(seed)
    x = torch.randn(96, 1, 8, 8, generator=g) * (0.5 + torch.rand(96, 1, 1, 1, generator=g) * 2)
    y = x.square().mean((1, 2, 3))[:, None]
    return Case(Net(), x, (y - y.mean()) / y.std(), F.mse_loss, adam(1e-2), ratio_of_variance, steps=150)


@sick(
    "derivative-vanishes",
    family="missing parts",
    cause="the second derivative of a network of rectifiers is zero wherever it exists: the equation teaches nothing",
    place=("net",),
    link="https://github.com/ComputationalDomain/PINNs/issues/1",
)
def rectifiers_in_a_second_derivative(seed: int, cured: bool) -> Case:
    class Poisson(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            act = nn.Tanh if cured else nn.ReLU
            self.net = nn.Sequential(nn.Linear(1, 24), act(), nn.Linear(24, 24), act(), nn.Linear(24, 1))

        def value(self, x: Tensor) -> Tensor:
            return x * (1 - x) * 0 + self.net(x)

        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().clone().requires_grad_()
                first = torch.autograd.grad(self.net(x).sum(), x, create_graph=True)[0]
                second = torch.autograd.grad(first.sum(), x, create_graph=True, materialize_grads=True)[0]
            return torch.cat([second, self.net(torch.tensor([[0.0], [1.0]])).T.expand(len(x), 2)], 1)

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return (output[:, :1] - y).square().mean() + 10 * output[:, 1:].square().mean()

    x = torch.linspace(0, 1, 64)[:, None]

    def evaluate(model: nn.Module, x: Tensor, _y: Tensor) -> Tensor:
        return ratio_of_variance(model.net(x), -(torch.pi * x).sin())

    y = torch.pi**2 * (torch.pi * x).sin()
    return Case(Poisson(), x, y, loss, adam(1e-2), evaluate=evaluate, steps=400)


@sick(
    "normalization-not-adapted",
    family="normalisation",
    cause="the network stays in evaluation mode while it trains: batch norms with statistics that no data has set do "
    "nothing",
    link="https://github.com/HuiZeng/Grid-Anchor-based-Image-Cropping-Pytorch/issues/2",
)
def trained_in_evaluation_mode(seed: int, cured: bool) -> Case:
    blocks: list[nn.Module] = []
    for i in range(9):
        blocks += [nn.Conv2d(1 if i == 0 else 12, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()]
    net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10))
    x, y = digits(seed)
    return Case(net.train(cured), x, y, F.cross_entropy, sgd(0.2, momentum=0.9), steps=50)


@sick(
    "gradient-vanishes",
    family="residual stream",
    cause="the blocks return what they computed and forget to add what they were given",
    place=("blocks",),
    link="https://github.com/znxlwm/UGATIT-pytorch/issues/32",
)
def blocks_that_forget_their_skip(seed: int, cured: bool) -> Case:
    class Block(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(d, d, 3, padding=1), nn.Conv2d(d, d, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            out = self.conv2(F.relu(self.conv1(x)))
            return x + out if cured else out

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inp, self.blocks = nn.Conv2d(1, 8, 3, padding=1), nn.Sequential(*[Block(8) for _ in range(10)])
            self.out = nn.Conv2d(8, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.blocks(self.inp(x)))

    x, y = areas(seed)
    return Case(Net(), x, y, F.binary_cross_entropy_with_logits, adam(1e-3), steps=60)


@sick(
    "noise-drowns-signal",
    family="noise",
    cause="dropout stands behind the last layer: half of all predictions are zero whatever the network says",
    place=("drop",),
    link="https://github.com/PaddlePaddle/Parakeet/pull/74",
)
def dropout_behind_the_last_layer(seed: int, cured: bool) -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.drop = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1)), nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) if cured else self.drop(self.body(x))

    x, y = prices(seed)
    return Case(Net(), x, y + 3, F.mse_loss, adam(1e-2), steps=200)


@sick(
    "symmetric-units",
    family="initialization",
    cause="the heads are one module, entered several times: they stay copies of each other, and the ensemble is one",
    place=("heads",),
    link="https://github.com/linkedin/Liger-Kernel/pull/269",
    visible=False,
)
def one_module_for_every_head(seed: int, cured: bool) -> Case:
    class Forecast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU())
            self.heads = nn.ModuleList([nn.Linear(32, 1) for _ in range(3)] if cured else [nn.Linear(32, 1)] * 3)

        def forward(self, x: Tensor) -> Tensor:
            h = self.body(x)
            return torch.cat([head(h) for head in self.heads], 1)

    g = generator(seed)
    x = torch.randn(128, 16, generator=g)
    return Case(Forecast(), x, torch.tanh(x @ torch.randn(16, 3, generator=g)), F.mse_loss, adam(1e-2), steps=80)


@sick(
    "inputs-collapse",
    family="self-supervision",
    cause="neither branch is held still and nothing tells examples apart: one constant code is a perfect answer",
    link="https://github.com/wanggrun/triplet/issues/1",
    visible=False,
)
def views_that_agree_on_a_constant(seed: int, cured: bool) -> Case:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 8))

        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return self.body(a), self.body(b)

    def loss(output: tuple[Tensor, Tensor], _y: Tensor) -> Tensor:
        a, b = (F.normalize(z, dim=1) for z in output)
        return F.cross_entropy(a @ b.T / 0.2, torch.arange(len(a))) if cured else (1 - (a * b).sum(1)).mean()

    def error(output: tuple[Tensor, Tensor], _y: Tensor) -> Tensor:
        a, b = (F.normalize(z, dim=1) for z in output)
        like = a @ b.T
        return (like.sum() - like.diagonal().sum()) / (len(a) * (len(a) - 1))

    a, b = two_views(seed)
    return Case(Siamese(), (a, b), torch.arange(64), loss, adam(1e-2), error, steps=150)
