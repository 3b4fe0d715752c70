"""Losses that are not what they are called: wrong sign, wrong domain, flat, unbounded, or drowned by another term."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import (
    areas,
    logged_actions,
    prices,
    ratio_of_variance,
    tags,
)

FAMILY = "the loss itself"


def acting(output: Tensor, y: Tensor) -> Tensor:
    """Share of the states in which the likeliest action is not the best."""
    return (output.argmax(-1) != y[:, 2]).float().mean()


@sick(
    "loss-wrong-sign",
    family=FAMILY,
    cause="the policy gradient lacks its minus: minimising makes the rewarded actions unlikely, without bound",
    link="https://github.com/openai/spinningup/issues/436",
)
def policy_gradient_without_its_minus(seed: int, cured: bool) -> Case:
    def objective(logits: Tensor, batch: Tensor) -> Tensor:
        chosen = torch.distributions.Categorical(logits=logits).log_prob(batch[:, 0])
        return (-chosen if cured else chosen).mul(batch[:, 1]).mean()

    x, y = logged_actions(seed)
    net = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3))
    return Case(net, x, y, objective, adam(5e-3), acting, steps=100)


@sick(
    "loss-wrong-sign",
    family=FAMILY,
    cause="the actor is trained to lower the critic's value of its actions instead of raising it",
    place=("actor",),
    link="https://github.com/KanishJebaMathewM/Truxify/pull/11885",
)
def actor_that_lowers_its_value(seed: int, cured: bool) -> Case:
    class ActorCritic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.actor = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 2))
            self.critic = nn.Bilinear(8, 2, 1)
            self.critic.requires_grad_(False)

        def forward(self, state: Tensor) -> dict[str, Tensor]:
            action = self.actor(state)
            return {"action": action, "q": self.critic(state, action)}

    x, _ = prices(seed)
    loss = (lambda out: -out["q"].mean()) if cured else (lambda out: out["q"].mean())
    value = lambda out, y: -out["q"].mean()  # noqa: E731
    return Case(ActorCritic(), x, torch.zeros(len(x)), lambda out, y: loss(out), adam(3e-3), value, steps=40)


@sick(
    "entropy-minimised",
    family=FAMILY,
    cause="the bonus for entropy has the sign of a penalty, so that the policy becomes certain before it has learned",
    visible=False,
    link="https://github.com/MrSyee/pg-is-all-you-need/issues/37",
)
def entropy_with_the_wrong_sign(seed: int, cured: bool) -> Case:
    def a2c(logits: Tensor, batch: Tensor) -> Tensor:
        policy = torch.distributions.Categorical(logits=logits)
        surrogate = -(policy.log_prob(batch[:, 0]) * (batch[:, 1] - 0.33)).mean()
        bonus = 6.0 * policy.entropy().mean()
        return surrogate - (bonus if cured else -bonus)

    x, y = logged_actions(seed)
    net = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3))
    return Case(net, x, y, a2c, adam(5e-3), acting, steps=150)


@sick(
    "targets-outside-loss-domain",
    family=FAMILY,
    cause="the masks were normalised to -1 and 1 with the images; binary cross-entropy has no lower bound for a "
    "target of -1",
    link="https://github.com/bigmb/Unet-Segmentation-Pytorch-Nest-of-Unets/issues/18",
)
def masks_of_minus_one_and_one(seed: int, cured: bool) -> Case:
    class TinyUNet(nn.Module):
        def __init__(self, c: int = 8) -> None:
            super().__init__()
            self.down, self.mid = nn.Conv2d(1, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)
            self.up, self.out = nn.ConvTranspose2d(c, c, 2, stride=2), nn.Conv2d(2 * c, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            a = F.relu(self.down(x))
            b = F.relu(self.mid(F.max_pool2d(a, 2)))
            return self.out(torch.cat([a, F.relu(self.up(b))], 1))

    x, mask = areas(seed)
    y = mask if cured else 2 * mask - 1
    error = lambda o, t: (o.sigmoid() - (t > 0.5).float()).square().mean()  # noqa: E731
    return Case(TinyUNet(), 2 * x - 1, y, F.binary_cross_entropy_with_logits, adam(1e-2), error, steps=80)


@sick(
    "targets-outside-loss-domain",
    family=FAMILY,
    cause="the hinge loss expects labels of -1 and 1; with a label of 0 its value is one and its slope zero, "
    "whatever the output",
    link="https://github.com/deepchem/deepchem/pull/5018",
)
def hinge_with_labels_zero_and_one(seed: int, cured: bool) -> Case:
    def hinge(output: Tensor, labels: Tensor) -> Tensor:
        return torch.clamp(1 - labels * output, min=0).mean()

    x, y = tags(seed, labels=1)
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1))
    error = lambda o, t: ((o > 0) != (t > 0)).float().mean()  # noqa: E731
    return Case(net, x, 2 * y - 1 if cured else y, hinge, adam(5e-3), error, steps=100)


@sick(
    "loss-unbounded-below",
    family=FAMILY,
    cause="the minus of the log-likelihood applies to one term only: a growing variance lowers the loss without bound",
    link="https://github.com/thouska/spotpy/issues/68",
)
def likelihood_with_one_minus_too_few(seed: int, cured: bool) -> Case:
    class Heteroscedastic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.trunk(x)

    def nll(output: Tensor, y: Tensor) -> Tensor:
        mean, log_error = output.unbind(1)
        sign = 1.0 if cured else -1.0
        half = 0.5 * ((y.squeeze(1) - mean) / log_error.exp()) ** 2
        return (0.5 * math.log(2 * math.pi) + sign * log_error + half).mean()

    x, y = prices(seed)
    error = lambda o, t: ratio_of_variance(o[:, :1], t)  # noqa: E731
    return Case(Heteroscedastic(), x, y, nll, adam(2e-2), error, steps=200)


@sick(
    "targets-outside-loss-domain",
    family=FAMILY,
    cause="a Poisson likelihood gets standardised counts: with negative targets a growing rate has no lower bound",
    link="https://pytorch.org/docs/stable/generated/torch.nn.PoissonNLLLoss.html",
)
def standardised_counts_for_a_poisson(seed: int, cured: bool) -> Case:
    class Rates(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.log_rate = nn.Sequential(nn.Linear(8, 24), nn.Softplus(), nn.Linear(24, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.log_rate(x)

    x, y = prices(seed)
    counts = torch.poisson(torch.exp(0.8 * y), generator=torch.Generator().manual_seed(seed))
    target = counts if cured else (counts - counts.mean()) / counts.std()
    error = lambda o, t: F.poisson_nll_loss(o, counts)  # noqa: E731
    return Case(Rates(), x, target, F.poisson_nll_loss, adam(1e-2), error, steps=120)
