"""Autoencoders, adversaries, flows, densities and diffusion."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy
from exam.problems import digits, features, generator, prices, ratio_of_variance


@healthy("variational autoencoder", "https://arxiv.org/abs/1312.6114")
def bernoulli_variational_autoencoder(seed: int) -> Case:
    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc21, self.fc22 = nn.Linear(64, 48), nn.Linear(48, 6), nn.Linear(48, 6)
            self.fc3, self.fc4 = nn.Linear(6, 48), nn.Linear(48, 64)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            h = F.relu(self.fc1(x))
            mu, logvar = self.fc21(h), self.fc22(h)
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

    def loss(out: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        rebuilt, mu, logvar = out
        bce = F.binary_cross_entropy(rebuilt, x, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (bce + kld) / len(x)

    x = digits(seed)[0].flatten(1)
    return Case(VAE(), x, x, loss, adam(5e-3), steps=60)


@healthy("autoencoder with a code book", "https://arxiv.org/abs/1711.00937")
def code_book_with_straight_through(seed: int) -> Case:
    class VQVAE(nn.Module):
        def __init__(self, k: int = 24, d: int = 6) -> None:
            super().__init__()
            self.enc = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 4 * d))
            self.dec = nn.Sequential(nn.Linear(4 * d, 48), nn.ReLU(), nn.Linear(48, 64))
            self.book, self.d = nn.Embedding(k, d), d
            nn.init.normal_(self.book.weight, std=0.3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            z = self.enc(x).view(len(x), 4, self.d)
            nearest = torch.cdist(z.detach(), self.book.weight.detach().expand(len(x), -1, -1)).argmin(-1)
            q = self.book(nearest)
            commit = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
            return self.dec((z + (q - z).detach()).flatten(1)), commit

    loss = lambda out, x: F.mse_loss(out[0], x) + out[1]  # noqa: E731
    error = lambda out, x: F.mse_loss(out[0], x)  # noqa: E731
    x = digits(seed)[0].flatten(1)
    return Case(VQVAE(), x, x, loss, adam(5e-3), error, steps=80)


@healthy("adversary, logistic", "https://arxiv.org/abs/1511.06434")
def discriminator_of_real_and_noise(seed: int) -> Case:
    class Discriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(1, 12, 4, 2, 1, bias=False),
                nn.LeakyReLU(0.2),
                nn.Conv2d(12, 24, 4, 2, 1, bias=False),
                nn.BatchNorm2d(24),
                nn.LeakyReLU(0.2),
                nn.Conv2d(24, 1, 2, bias=False),
            )
            for m in self.main:
                if isinstance(m, nn.Conv2d):
                    nn.init.normal_(m.weight, 0.0, 0.02)

        def forward(self, x: Tensor) -> Tensor:
            return self.main(x).flatten()

    real, _ = digits(seed, 64)
    fake = torch.tanh(torch.randn(real.shape, generator=generator(seed)))
    x, y = torch.cat([2 * real - 1, fake]), torch.cat([torch.ones(64), torch.zeros(64)])
    return Case(Discriminator(), x, y, nn.BCEWithLogitsLoss(), adam(2e-3, betas=(0.5, 0.999)), steps=30)


@healthy("adversary, Wasserstein", "https://arxiv.org/abs/1701.07875")
def wasserstein_critic(seed: int) -> Case:
    x, y = features(seed)
    critic = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    real = (y % 2 == 0).float()[:, None]

    def loss(score: Tensor, real: Tensor) -> Tensor:
        return (score * (1 - real)).sum() / (1 - real).sum() - (score * real).sum() / real.sum()

    optimizer = lambda m: torch.optim.RMSprop(m.parameters(), lr=5e-4)  # noqa: E731
    return Case(critic, x, real, loss, optimizer, steps=40)


@healthy("adversary, hinge", "https://arxiv.org/abs/1802.05957")
def hinge_adversary_with_spectral_norm(seed: int) -> Case:
    sn = nn.utils.parametrizations.spectral_norm
    net = nn.Sequential(
        sn(nn.Conv2d(1, 16, 3, 2, 1)),
        nn.LeakyReLU(0.1),
        sn(nn.Conv2d(16, 16, 3, 2, 1)),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        sn(nn.Linear(64, 1)),
    )
    x, y = digits(seed)
    real = 2 * (y < 5).float()[:, None] - 1
    loss = lambda score, side: F.relu(1 - side * score).mean()  # noqa: E731
    return Case(net, x, real, loss, adam(5e-3, betas=(0.0, 0.9)), steps=80)


@healthy("generator through a frozen adversary", "https://arxiv.org/abs/1406.2661")
def generator_against_a_fixed_discriminator(seed: int) -> Case:
    class Adversarial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.generator = nn.Sequential(
                nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16), nn.Tanh()
            )
            self.discriminator = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)).requires_grad_(
                False
            )

        def forward(self, z: Tensor) -> Tensor:
            return self.discriminator(self.generator(z))

    z = torch.randn(64, 8, generator=generator(seed))
    optimizer = lambda m: torch.optim.Adam(m.generator.parameters(), lr=2e-3, betas=(0.5, 0.999))  # noqa: E731
    return Case(Adversarial(), z, torch.ones(64, 1), F.binary_cross_entropy_with_logits, optimizer, steps=40)


@healthy("normalising flow", "https://arxiv.org/abs/1605.08803")
def coupling_layers_that_start_as_identity(seed: int) -> Case:
    class Coupling(nn.Module):
        def __init__(self, d: int, flip: bool) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(d // 2, 24), nn.ReLU(), nn.Linear(24, d))
            nn.init.zeros_(self.net[2].weight)
            nn.init.zeros_(self.net[2].bias)
            self.flip = flip

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            a, b = x.chunk(2, 1)
            if self.flip:
                a, b = b, a
            s, t = self.net(a).chunk(2, 1)
            s = torch.tanh(s)
            b = b * torch.exp(s) + t
            return torch.cat([b, a] if self.flip else [a, b], 1), s.sum(1)

    class RealNVP(nn.Module):
        def __init__(self, d: int = 4) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Coupling(d, i % 2 == 1) for i in range(6))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            log_det = x.new_zeros(len(x))
            for layer in self.layers:
                x, ld = layer(x)
                log_det = log_det + ld
            return x, log_det

    def nll(out: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
        z, log_det = out
        return (0.5 * (z**2).sum(1) + z.shape[1] / 2 * math.log(2 * math.pi) - log_det).mean()

    g = generator(seed)
    x = torch.randn(128, 4, generator=g)
    x[:, 1] = x[:, 0] ** 2 * 0.6 + 0.2 * x[:, 1]
    x[:, 3] = torch.sin(2 * x[:, 2]) + 0.1 * x[:, 3]
    return Case(RealNVP(), x, x, nll, adam(5e-3), steps=100)


@healthy("mixture density", "https://publications.aston.ac.uk/id/eprint/373/")
def mixture_of_densities(seed: int) -> Case:
    class MDN(nn.Module):
        def __init__(self, k: int = 4) -> None:
            super().__init__()
            self.hidden = nn.Sequential(nn.Linear(1, 24), nn.Tanh())
            self.pi, self.mu, self.log_sigma = (nn.Linear(24, k) for _ in range(3))

        def forward(self, x: Tensor) -> torch.distributions.MixtureSameFamily:
            h = self.hidden(x)
            components = torch.distributions.Normal(self.mu(h), self.log_sigma(h).exp())
            return torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=self.pi(h)), components)

    g = generator(seed)
    t = torch.rand(128, 1, generator=g) * 2 - 1
    x = t + 0.3 * torch.sin(2 * math.pi * t) + 0.05 * torch.randn(128, 1, generator=g)
    loss = lambda mixture, y: -mixture.log_prob(y.squeeze(1)).mean()  # noqa: E731
    return Case(MDN(), 1.5 * x, 1.5 * t, loss, adam(2e-2), steps=120)


@healthy("heteroscedastic regression", "https://pytorch.org/docs/stable/generated/torch.nn.GaussianNLLLoss.html")
def gaussian_likelihood_with_a_variance(seed: int) -> Case:
    class Heteroscedastic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.mean, self.var = (
                nn.Sequential(nn.Linear(8, 32), nn.ReLU()),
                nn.Linear(32, 1),
                nn.Linear(32, 1),
            )

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.body(x)
            return self.mean(h), F.softplus(self.var(h)) + 1e-4

    x, y = prices(seed)
    loss = lambda out, y: F.gaussian_nll_loss(out[0], y, out[1])  # noqa: E731
    return Case(Heteroscedastic(), x, y, loss, adam(5e-3), lambda o, y: ratio_of_variance(o[0], y), steps=120)


@healthy("diffusion", "https://arxiv.org/abs/2006.11239")
def denoiser_with_a_zero_last_layer(seed: int) -> Case:
    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time = nn.Sequential(nn.Linear(8, 48), nn.SiLU(), nn.Linear(48, 48))
            self.inp, self.norm, self.mid = nn.Linear(64, 48), nn.LayerNorm(48), nn.Linear(48, 48)
            self.out = nn.Linear(48, 64)
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            angle = t[:, None] * torch.exp(-torch.arange(4) * 1.5)
            h = self.inp(x) + self.time(torch.cat([angle.sin(), angle.cos()], 1))
            return self.out(h + F.silu(self.mid(F.silu(self.norm(h)))))

    g = generator(seed)
    clean = 2 * digits(seed)[0].flatten(1) - 1
    t = torch.randint(0, 100, (len(clean),), generator=g)
    alpha = torch.cumprod(1 - torch.linspace(1e-3, 0.06, 100), 0)[t][:, None]
    noise = torch.randn(clean.shape, generator=g)
    x = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    return Case(Denoiser(), (x, t.float()), noise, F.mse_loss, adam(5e-3), steps=80)


@healthy("energy-based", "https://arxiv.org/abs/1907.05600")
def denoising_score_matching(seed: int) -> Case:
    net = nn.Sequential(nn.Linear(8, 48), nn.Softplus(), nn.Linear(48, 48), nn.Softplus(), nn.Linear(48, 8))
    x, _ = prices(seed)
    x = x * torch.linspace(0.2, 1.0, 8)
    noise = 0.5 * torch.randn(x.shape, generator=generator(seed))
    loss = lambda score, target: 0.5 * 0.25 * (score - target).square().sum(1).mean()  # noqa: E731
    return Case(net, x + noise, -noise / 0.25, loss, adam(5e-3), steps=80)
