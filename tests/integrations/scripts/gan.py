"""Two networks, an optimizer each."""

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce


class Generator(nn.Sequential):
    pass


class Discriminator(nn.Sequential):
    pass


torch.manual_seed(0)
generator = Generator(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
discriminator = Discriminator(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
of_generator = torch.optim.Adam(generator.parameters(), 2e-4, betas=(0.5, 0.999))
of_discriminator = torch.optim.Adam(discriminator.parameters(), 2e-4, betas=(0.5, 0.999))
ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
for _ in range(12):
    real, fake = torch.randn(64, 2) * 0.5 + 1, generator(torch.randn(64, 8))
    of_discriminator.zero_grad()
    (bce(discriminator(real), ones) + bce(discriminator(fake.detach()), zeros)).backward()
    of_discriminator.step()
    of_generator.zero_grad()
    bce(discriminator(fake), ones).backward()
    of_generator.step()
