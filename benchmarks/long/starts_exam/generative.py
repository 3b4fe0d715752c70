"""Generative networks: autoencoders, adversaries and pixel models."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from starts_exam.case import Case, Data, Metric, adam, held_out
from starts_exam.sources import digit_images, digit_rows, generator, mnist_images

__all__ = ["GENERATIVE"]


# Variational autoencoder of PyTorch's examples, with defaults.
class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(196, 100), nn.Linear(100, 10), nn.Linear(100, 10)
        self.fc3, self.fc4 = nn.Linear(10, 100), nn.Linear(100, 196)

    def forward(self, x):
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


def elbo(output, x):
    reconstruction, mu, logvar = output
    bce = F.binary_cross_entropy(reconstruction, x, reduction="sum")
    return (bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())) / len(x)


def flat_mnist(seed: int) -> Data:
    images = mnist_images(seed, size=14, standardise=False)
    x, held = images.x.flatten(1), images.x_held.flatten(1)
    return Data(x, x, held, held)


# Vector quantisation: a codebook uniform within ±1/K, straight-through gradients (van den Oord 2017).
class VqVae(nn.Module):
    def __init__(self, codes: int = 32, d: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, d, 1)
        )
        self.codebook = nn.Embedding(codes, d)
        self.codebook.weight.data.uniform_(-1 / codes, 1 / codes)
        self.decoder = nn.Sequential(nn.Conv2d(d, 16, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1))

    def forward(self, x):
        z = self.encoder(x).permute(0, 2, 3, 1)
        nearest = torch.cdist(z.reshape(-1, z.shape[-1]), self.codebook.weight).argmin(1)
        q = self.codebook(nearest).view_as(z)
        loss = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
        return self.decoder((z + (q - z).detach()).permute(0, 3, 1, 2)), loss


def vq_loss(output, x):
    return F.mse_loss(output[0], x) + output[1]


def own_images(seed: int) -> Data:
    images = digit_images(seed)
    return Data(images.x, images.x, images.x_held, images.x_held)


# Adversaries. Both networks are updated at once; each loss sees the other network's parameters as constants.
class Dcgan(nn.Module):
    """Convolutions normal 0.02, batch norm scales normal 1 ± 0.02 (Radford 2016)."""

    def __init__(self, z: int = 16) -> None:
        super().__init__()
        self.G = nn.Sequential(
            nn.ConvTranspose2d(z, 32, 2, 1, 0, bias=False), nn.BatchNorm2d(32), nn.ReLU(True),
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True),
            nn.ConvTranspose2d(16, 1, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip
        self.D = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(16, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(32, 1, 2, 1, 0, bias=False), nn.Flatten(0),
        )  # fmt: skip
        self.apply(self.weights_init)

    @staticmethod
    def weights_init(m):
        if "Conv" in m.__class__.__name__:
            nn.init.normal_(m.weight.data, 0.0, 0.02)
        elif "BatchNorm" in m.__class__.__name__:
            nn.init.normal_(m.weight.data, 1.0, 0.02)
            nn.init.constant_(m.bias.data, 0)


def frozen(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Apply a network without a gradient for its parameters."""
    return functional_call(network, {name: p.detach() for name, p in network.named_parameters()}, (x,))


def dcgan_objective(model, x, _):
    z = torch.randn(len(x), 16, 1, 1)
    fake = model.G(z)
    real, made = model.D(x), model.D(fake.detach())
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    judge = F.binary_cross_entropy_with_logits(real, ones) + F.binary_cross_entropy_with_logits(made, zeros)
    return judge + F.binary_cross_entropy_with_logits(frozen(model.D, fake), ones)


def sliced_distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of sorted projections onto 64 directions (sliced Wasserstein distance)."""
    n = min(len(first), len(second))
    directions = F.normalize(torch.randn(first.shape[1], 64, generator=generator(0)), dim=0)
    a, b = ((v[:n] @ directions).sort(0).values for v in (first, second))
    return ((a - b) ** 2).mean()


def generated(z: tuple[int, ...], chance: float) -> Metric:
    """Distance between generated and held-out examples."""

    def measure(model, data):
        with torch.no_grad():
            made = model.G(torch.randn(len(data.x_held), *z, generator=generator(1)))
            return float(sliced_distance(made.flatten(1), data.x_held.flatten(1)))

    return Metric("sliced distance", "positive", chance, measure)


def signed_images(seed: int) -> Data:
    images = digit_images(seed, standardise=False)
    return Data(2 * images.x - 1, images.y, 2 * images.x_held - 1, images.y_held)


class PointGan(nn.Module):
    """Perceptrons by default, for a ring of eight clouds, with a gradient penalty (Gulrajani 2017)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()

        def net(inp: int, out: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(inp, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, out)
            )

        self.G, self.D = net(2, 2), net(2, 1)


def wgan_objective(model, x, _):
    fake = model.G(torch.randn(len(x), 2))
    mixed = (x + torch.rand(len(x), 1) * (fake - x)).detach().requires_grad_(True)
    slope = torch.autograd.grad(model.D(mixed).sum(), mixed, create_graph=True)[0]
    penalty = ((slope.norm(dim=1) - 1) ** 2).mean()
    judge = model.D(fake.detach()).mean() - model.D(x).mean() + penalty
    return judge - frozen(model.D, fake).mean()


def ring(seed: int) -> Data:
    g = generator(seed)
    angle = torch.randint(0, 8, (2400,), generator=g) * (math.pi / 4)
    x = torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(2400, 2, generator=g)
    return Data(x[:2000] * 1.4, torch.zeros(2000), x[2000:] * 1.4, torch.zeros(400))


# Pixels one after another, through masked convolutions.
class MaskedConv(nn.Conv2d):
    def __init__(self, kind: str, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("mask", torch.ones_like(self.weight))
        middle = self.kernel_size[0] // 2
        self.mask[:, :, middle, middle + (kind == "B") :] = 0
        self.mask[:, :, middle + 1 :] = 0

    def forward(self, x):
        self.weight.data *= self.mask
        return super().forward(x)


def pixel_cnn() -> nn.Module:
    layers: list[nn.Module] = [MaskedConv("A", 1, 16, 5, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    for _ in range(3):
        layers += [MaskedConv("B", 16, 16, 5, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(16, 1, 1))


def binary_digits(seed: int) -> Data:
    rows = digit_rows(seed, standardise=False)
    x, held = ((v > 0.5).float().view(-1, 1, 8, 8) for v in (rows.x, rows.x_held))
    return Data(x, x, held, held)


def points(model, x):
    return [(model.G, torch.randn(len(x), 2, generator=generator(2))), (model.D, x)]


def images(model, x):
    return [(model.G, torch.randn(len(x), 16, 1, 1, generator=generator(2))), (model.D, x)]


def patient(parameters, rate):
    return torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.999))


BITS = F.binary_cross_entropy_with_logits

GENERATIVE = (
    Case(
        name="vae", field="generative", build=Vae, data=flat_mnist, loss=elbo, optimizer=adam, rate=1e-3, steps=400,
        batch=64, metric=held_out("negative ELBO", elbo, 60.0),
    ),
    Case(
        name="vq-vae", field="generative", build=VqVae, data=own_images, loss=vq_loss, optimizer=adam, rate=3e-3,
        steps=250, metric=held_out("mean squared error", lambda o, x: F.mse_loss(o[0], x), 1.0),
    ),
    Case(
        name="dcgan", field="generative", build=Dcgan, data=signed_images, objective=dcgan_objective, optimizer=patient,
        rate=2e-3, steps=300, metric=generated((16, 1, 1), 0.3), parts=images,
    ),
    Case(
        name="wgan-points", field="generative", build=PointGan, data=ring, objective=wgan_objective, optimizer=patient,
        rate=2e-3, steps=400, batch=128, metric=generated((2,), 1.0), parts=points,
    ),
    Case(
        name="pixel-cnn", field="generative", build=pixel_cnn, data=binary_digits, loss=BITS, optimizer=adam,
        rate=1e-3, steps=200, metric=held_out("nats per pixel", BITS, math.log(2)),
    ),
)  # fmt: skip
