"""Reinforcement learning: values, policies and both."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy
from exam.problems import generator, logged_actions, prices


def acting(output: Tensor, y: Tensor) -> Tensor:
    return (output.argmax(-1) != y[:, 2]).float().mean()


@healthy("policy gradient", "https://github.com/pytorch/examples/tree/main/reinforcement_learning")
def policy_gradient_with_a_baseline(seed: int) -> Case:
    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.affine1, self.affine2 = nn.Linear(6, 32), nn.Linear(32, 3)

        def forward(self, s: Tensor) -> Tensor:
            return F.softmax(self.affine2(F.relu(self.affine1(s))), dim=1)

    def loss(probs: Tensor, batch: Tensor) -> Tensor:
        log_p = torch.log(probs.gather(1, batch[:, :1].long()).squeeze(1))
        advantage = batch[:, 1] - batch[:, 1].mean()
        return -(log_p * advantage).mean()

    x, y = logged_actions(seed)
    return Case(Policy(), x, y, loss, adam(1e-2), acting, steps=30)


@healthy("actor and critic", "https://arxiv.org/abs/1602.01783")
def advantage_actor_critic(seed: int) -> Case:
    class ActorCritic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
            self.pi, self.v = nn.Linear(32, 3), nn.Linear(32, 1)
            for m in self.body[::2]:
                nn.init.orthogonal_(m.weight, 2**0.5)
            nn.init.orthogonal_(self.pi.weight, 0.01)
            nn.init.orthogonal_(self.v.weight, 1.0)

        def forward(self, s: Tensor) -> tuple[torch.distributions.Categorical, Tensor]:
            h = self.body(s)
            return torch.distributions.Categorical(logits=self.pi(h)), self.v(h).squeeze(-1)

    def loss(out: tuple[torch.distributions.Categorical, Tensor], batch: Tensor) -> Tensor:
        policy, value = out
        advantage = (batch[:, 1] - value).detach()
        actor = -(policy.log_prob(batch[:, 0]) * advantage).mean()
        return actor + 0.5 * F.mse_loss(value, batch[:, 1]) - 0.01 * policy.entropy().mean()

    x, y = logged_actions(seed)
    error = lambda out, y: (out[0].probs.argmax(-1) != y[:, 2]).float().mean()  # noqa: E731
    return Case(ActorCritic(), x, y, loss, adam(3e-3), error, steps=60)


@healthy("values of actions", "https://arxiv.org/abs/1511.06581")
def dueling_values_with_a_huber_loss(seed: int) -> Case:
    class Dueling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.feature = nn.Sequential(nn.Linear(6, 48), nn.ReLU())
            self.value, self.advantage = nn.Linear(48, 1), nn.Linear(48, 3)

        def forward(self, s: Tensor) -> Tensor:
            h = self.feature(s)
            a = self.advantage(h)
            return self.value(h) + a - a.mean(1, keepdim=True)

    def td(q: Tensor, batch: Tensor) -> Tensor:
        return F.smooth_l1_loss(q.gather(1, batch[:, :1].long()).squeeze(1), batch[:, 1])

    x, y = logged_actions(seed)
    return Case(Dueling(), x, y, td, adam(5e-3), acting, steps=60)


@healthy("clipped policy objective", "https://arxiv.org/abs/1707.06347")
def clipped_surrogate(seed: int) -> Case:
    x, y = logged_actions(seed)
    net = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3))
    nn.init.orthogonal_(net[2].weight, 0.01)

    def surrogate(logits: Tensor, batch: Tensor, eps: float = 0.2) -> Tensor:
        log_p = logits.log_softmax(-1).gather(1, batch[:, :1].long()).squeeze(1)
        ratio = torch.exp(log_p + 1.0986)
        advantage = (batch[:, 1] - batch[:, 1].mean()) / batch[:, 1].std()
        return -torch.minimum(ratio * advantage, ratio.clamp(1 - eps, 1 + eps) * advantage).mean()

    return Case(net, x, y, surrogate, adam(3e-3), acting, steps=40)


@healthy("actor through a fixed critic", "https://arxiv.org/abs/1509.02971")
def deterministic_actor(seed: int) -> Case:
    class Actor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mu = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2), nn.Tanh())
            nn.init.uniform_(self.mu[2].weight, -3e-3, 3e-3)
            nn.init.uniform_(self.mu[2].bias, -3e-3, 3e-3)
            self.critic = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1)).requires_grad_(False)

        def forward(self, s: Tensor) -> Tensor:
            return self.critic(torch.cat([s, self.mu(s)], 1))

    x, _ = prices(seed)
    loss = lambda q, _: -q.mean()  # noqa: E731
    return Case(Actor(), x, torch.zeros(len(x), 1), loss, adam(1e-3), steps=60)


@healthy("curiosity from a random target", "https://arxiv.org/abs/1810.12894")
def distilling_a_fixed_random_network(seed: int) -> Case:
    class RND(nn.Module):
        def __init__(self) -> None:
            super().__init__()

            def make() -> nn.Sequential:
                return nn.Sequential(nn.Linear(6, 32), nn.LeakyReLU(), nn.Linear(32, 8))

            self.target, self.predictor = make().requires_grad_(False), make()
            for net in (self.target, self.predictor):
                for m in net[::2]:
                    nn.init.orthogonal_(m.weight, 2**0.5)

        def forward(self, s: Tensor) -> Tensor:
            return self.predictor(s) - self.target(s)

    x, _ = logged_actions(seed)
    loss = lambda gap, _: gap.square().mean()  # noqa: E731
    return Case(RND(), x, torch.zeros(len(x), 8), loss, adam(3e-3), steps=60)


@healthy("distillation", "https://arxiv.org/abs/1503.02531")
def student_of_a_warm_teacher(seed: int) -> Case:
    x, _y = logged_actions(seed)
    teacher = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3))
    with torch.no_grad():
        teacher[2].weight.mul_(6)
        soft = (teacher(x) / 2).softmax(-1)
    student = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))

    def loss(logits: Tensor, soft: Tensor) -> Tensor:
        return 4 * F.kl_div((logits / 2).log_softmax(-1), soft, reduction="batchmean")

    return Case(student, x, soft, loss, adam(1e-2), steps=60)


@healthy("target network without a gradient", "https://arxiv.org/abs/2006.07733")
def online_and_target_networks(seed: int) -> Case:
    class BYOL(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.online = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 12))
            self.target = deepcopy(self.online).requires_grad_(False)
            self.predictor = nn.Sequential(nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 12))

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            p = F.normalize(self.predictor(self.online(a)), dim=1)
            with torch.no_grad():
                z = F.normalize(self.target(b), dim=1)
            return 2 - 2 * (p * z).sum(1)

    x, _ = prices(seed)
    noise = torch.randn(2, *x.shape, generator=generator(seed)) * 0.2
    return Case(BYOL(), (x + noise[0], x + noise[1]), torch.zeros(len(x)), lambda d, _: d.mean(), adam(3e-3), steps=60)
