"""Control: values by bootstrapping, policies from logged actions, dynamics and cloned behaviour."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, Metric, adam, held_out
from starts_exam.sources import generator

__all__ = ["CONTROL"]


# Values of a 6 × 6 grid with a goal in a corner, learned from logged steps.
def q_network() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))


MOVES = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])


def seen(cell: torch.Tensor) -> torch.Tensor:
    """Row and column as two one-hot vectors."""
    return F.one_hot(cell, 6).flatten(-2).float()


def grid_world(seed: int) -> Data:
    """Steps (cell, action, reward, next cell, whether it ends); held out: all cells with their true values."""
    g = generator(seed)
    cell, action = torch.randint(0, 6, (2000, 2), generator=g), torch.randint(0, 4, (2000,), generator=g)
    after = (cell + MOVES[action]).clamp(0, 5)
    ends = (after == 5).all(1).float()
    cells = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    arrived = (cells[:, None] + MOVES).clamp(0, 5)
    distance = (10 - arrived.sum(-1)).float()
    steps = torch.cat([action[:, None].float(), ends[:, None], seen(after)], 1)
    return Data(seen(cell), steps, seen(cells), 0.8**distance)


def bootstrapped(model, x, y):
    """Temporal difference with a discount of 0.8; the target is held constant."""
    action, ends, after = y[:, :1].long(), y[:, 1], y[:, 2:]
    with torch.no_grad():
        target = ends + 0.8 * (1 - ends) * model(after).amax(1)
    return F.smooth_l1_loss(model(x).gather(1, action).squeeze(1), target)


def layer_init(layer: nn.Linear, std: float = math.sqrt(2), bias: float = 0.0) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, std)
    nn.init.constant_(layer.bias, bias)
    return layer


class ActorCritic(nn.Module):
    """Orthogonal √2, 0.01 for the policy and 1 for the value, tanh: the usual start of PPO."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Sequential(
            layer_init(nn.Linear(8, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, 1), std=1.0),
        )  # fmt: skip
        self.actor = nn.Sequential(
            layer_init(nn.Linear(8, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, 5), std=0.01),
        )  # fmt: skip

    def forward(self, x):
        return torch.cat([self.actor(x), self.critic(x)], 1)


def bandit(seed: int) -> Data:
    """Contexts, the action that a uniform policy took, and its reward; held out: the rewards of all five actions."""
    g = generator(seed)
    hidden, out = torch.randn(8, 16, generator=g), torch.randn(16, 5, generator=g) / 2
    x = torch.randn(3000, 8, generator=g)
    rewards = torch.tanh(torch.tanh(x @ hidden / 2) @ out)
    action = torch.randint(0, 5, (3000, 1), generator=g)
    reward = rewards.gather(1, action) + 0.1 * torch.randn(3000, 1, generator=g)
    return Data(x[:2500], torch.cat([action[:2500].float(), reward[:2500]], 1), x[2500:], rewards[2500:])


def clipped_policy(output, y):
    """The clipped surrogate against the uniform policy that acted, with value loss and entropy."""
    action, reward = y[:, :1].long(), y[:, 1]
    log_p, value = output[:, :5].log_softmax(1), output[:, 5]
    advantage = reward - value.detach()
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    ratio = log_p.gather(1, action).squeeze(1).exp() * 5
    surrogate = torch.min(ratio * advantage, ratio.clamp(0.2, 4.0) * advantage).mean()
    entropy = -(log_p.exp() * log_p).sum(1).mean()
    return 0.5 * (reward - value).pow(2).mean() - surrogate - 0.01 * entropy


def regret(output, rewards):
    """Reward of the best action minus that of the policy."""
    policy = output[:, :5].softmax(1)
    return (rewards.amax(1) - (policy * rewards).sum(1)).mean()


class Critic(nn.Module):
    """Actions join at the second layer; uniform by fan-in, the last layer ±0.003 (Lillicrap 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.fcs1, self.fc2, self.fc3 = nn.Linear(4, 64), nn.Linear(66, 48), nn.Linear(48, 1)
        for layer in (self.fcs1, self.fc2):
            bound = 1 / math.sqrt(layer.weight.shape[0])
            nn.init.uniform_(layer.weight, -bound, bound)
        nn.init.uniform_(self.fc3.weight, -3e-3, 3e-3)

    def forward(self, state, action):
        x = torch.cat([F.relu(self.fcs1(state)), action], 1)
        return self.fc3(F.relu(self.fc2(x)))


def returns(seed: int) -> Data:
    """Discounted returns of a linear system under random torques, in units of their deviation."""
    g = generator(seed)
    state, action = torch.randn(2400, 4, generator=g), torch.rand(2400, 2, generator=g) * 2 - 1
    system, control = torch.randn(4, 4, generator=g) * 0.4, torch.randn(2, 4, generator=g)
    total, s, u = 0, state, action
    for k in range(5):
        s = torch.tanh(s @ system + u @ control)
        total = total - 0.9**k * (s**2).sum(1, keepdim=True)
        u = u * 0.5
    y = (total - total.mean()) / total.std()
    return Data((state[:2000], action[:2000]), y[:2000], (state[2000:], action[2000:]), y[2000:])


class GaussianPolicy(nn.Module):
    """A mean and one log deviation for each action, which starts at -0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
        self.log_std = nn.Parameter(torch.full((2,), -0.5))

    def forward(self, x):
        return torch.cat([self.mean(x), self.log_std.expand(len(x), -1)], 1)


def demonstrations(seed: int) -> Data:
    g = generator(seed)
    x = torch.randn(2000, 6, generator=g)
    gains = torch.randn(6, 2, generator=g) / 2
    y = torch.tanh(x @ gains) + 0.5 * torch.sin(2 * x[:, :2]) + 0.1 * torch.randn(2000, 2, generator=g)
    return Data(x[:1600], y[:1600], x[1600:], y[1600:])


def gaussian_nll(output, y):
    mean, log_std = output.chunk(2, 1)
    return (0.5 * ((y - mean) / log_std.exp()) ** 2 + log_std + 0.5 * math.log(2 * math.pi)).sum(1).mean()


class WorldModel(nn.Module):
    """A recurrent cell that rolls a pendulum forward under torques, from its first state."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.start, self.cell, self.out = nn.Linear(3, width), nn.GRUCell(1, width), nn.Linear(width, 3)

    def forward(self, state, torques):
        h, path = torch.tanh(self.start(state)), []
        for u in torques.unbind(1):
            h = self.cell(u[:, None], h)
            path.append(self.out(h))
        return torch.stack(path, 1)


def pendulum(seed: int) -> Data:
    rng = np.random.default_rng(seed)
    angle, speed = rng.uniform(-np.pi, np.pi, 700), rng.normal(size=700)
    torques = rng.normal(size=(700, 10))
    first, path = np.stack([np.cos(angle), np.sin(angle), speed], 1), []
    for u in torques.T:
        speed = speed + 0.15 * (-3 * np.sin(angle) + 2 * u)
        angle = angle + 0.15 * speed
        path.append(np.stack([np.cos(angle), np.sin(angle), speed], 1))
    x, u, y = (torch.tensor(v, dtype=torch.float32) for v in (first, torques, np.stack(path, 1)))
    return Data((x[:560], u[:560]), y[:560], (x[560:], u[560:]), y[560:])


def value_error(model, data):
    with torch.no_grad():
        return float(F.mse_loss(model(data.x_held), data.y_held))


CONTROL = (
    Case(
        name="bootstrapped-values", field="control", build=q_network, data=grid_world, objective=bootstrapped,
        optimizer=adam, rate=1e-3, steps=400, batch=64,
        metric=Metric("squared value error", "positive", 0.06, value_error),
    ),
    Case(
        name="clipped-policy", field="control", build=ActorCritic, data=bandit, loss=clipped_policy,
        optimizer=lambda p, rate: torch.optim.Adam(p, lr=rate, eps=1e-5), rate=1e-3, steps=300, batch=128,
        metric=held_out("regret", regret, 0.64), clip=0.5,
    ),
    Case(
        name="action-critic", field="control", build=Critic, data=returns, loss=F.mse_loss, optimizer=adam, rate=1e-3,
        steps=400, batch=64, metric=held_out("mean squared error", F.mse_loss, 1.0),
    ),
    Case(
        name="cloned-behaviour", field="control", build=GaussianPolicy, data=demonstrations, loss=gaussian_nll,
        optimizer=adam, rate=1e-3, steps=400, batch=64, metric=held_out("nats", gaussian_nll, 2.1, "plain"),
    ),
    Case(
        name="world-model", field="control", build=WorldModel, data=pendulum, loss=F.mse_loss, optimizer=adam,
        rate=3e-3, steps=250, metric=held_out("mean squared error", F.mse_loss, 0.9),
    ),
)  # fmt: skip
