"""Losses that are not what they are called: wrong sign, wrong domain, flat, unbounded, or drowned by another term."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import (
    areas, board, digits, features, logged_actions, misclassified, prices, ratio_of_variance, tags, tones, two_views,
)  # fmt: skip

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
    cause="the masks were normalised to -1 and 1 with the images; binary cross-entropy has no lower bound for a target of -1",
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
    cause="the hinge loss expects labels of -1 and 1; with a label of 0 its value is one and its slope zero, whatever the output",
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
    "loss-flat-where-wrong",
    family=FAMILY,
    cause="the overlap of predicted and true boxes is zero at the start, and one minus the overlap has no slope there",
    link="https://github.com/AlexeyAB/darknet/issues/5429",
)
def overlap_loss_of_disjoint_boxes(seed: int, cured: bool) -> Case:
    class BoxNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 32), nn.ReLU()
            )
            self.box = nn.Linear(32, 4)
            nn.init.normal_(self.box.weight, std=1e-2)
            self.box.bias.data = torch.tensor([2.0, 2.0, 2.3, 2.3])

        def forward(self, image: Tensor) -> Tensor:
            return self.box(self.features(image))

    def overlap(p: Tensor, t: Tensor) -> Tensor:
        low, high = torch.maximum(p[:, :2], t[:, :2]), torch.minimum(p[:, 2:], t[:, 2:])
        inside = (high - low).clamp(min=0).prod(1)
        union = (p[:, 2:] - p[:, :2]).clamp(min=0).prod(1) + (t[:, 2:] - t[:, :2]).prod(1) - inside
        return inside / union.clamp(min=1e-6)

    def loss(p: Tensor, t: Tensor) -> Tensor:
        value = 1 - overlap(p, t).mean()
        if cured:
            value = value + (p - t).abs().mean()
        return value

    x, y = board(seed)
    return Case(BoxNet(), x, y, loss, adam(5e-3), lambda p, t: 1 - overlap(p, t).mean(), steps=150)


@sick(
    "labels-longer-than-time",
    family=FAMILY,
    cause="pooling leaves fewer time steps than the labels need: the connectionist loss is infinite and set to zero",
    place=("cnn",),
    link="https://github.com/open-mmlab/mmocr/issues/149",
)
def fewer_time_steps_than_letters(seed: int, cured: bool) -> Case:
    class Recogniser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            stride = 8 if cured else 32
            self.cnn = nn.Conv1d(1, 24, stride, stride=stride)
            self.rnn, self.out = nn.GRU(24, 24, batch_first=True, bidirectional=True), nn.Linear(48, 5)

        def forward(self, wave: Tensor) -> Tensor:
            h = torch.tanh(self.cnn(wave)).transpose(1, 2)
            return self.out(self.rnn(h)[0]).log_softmax(-1).transpose(0, 1)

    def ctc(log_probs: Tensor, labels: Tensor) -> Tensor:
        time, n, _ = log_probs.shape
        full = lambda k: torch.full((n,), k, dtype=torch.long)  # noqa: E731
        return F.ctc_loss(log_probs, labels, full(time), full(labels.shape[1]), zero_infinity=True)

    x, y = tones(seed)
    labels = torch.stack([y + 1, (y + 1) % 4 + 1, y + 1, (y + 2) % 4 + 1, y + 1, (y + 1) % 4 + 1], 1)

    def evaluate(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        read = model(x).argmax(-1).T
        text = [torch.unique_consecutive(row) for row in read]
        return 1 - torch.tensor([float(torch.equal(t[t > 0], w)) for t, w in zip(text, labels, strict=True)]).mean()

    return Case(Recogniser(), x, labels, ctc, adam(1e-2), evaluate=evaluate, steps=100)


@sick(
    "scores-squeezed",
    family=FAMILY,
    cause="the contrastive scores are multiplied by the temperature instead of divided: they span 0.14 and fit nothing",
    link="https://github.com/huiserwang/ContrastMask/issues/4",
)
def temperature_on_the_wrong_side(seed: int, cured: bool) -> Case:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 12))

        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return F.normalize(self.project(a), dim=1), F.normalize(self.project(b), dim=1)

    def info_nce(views: tuple[Tensor, Tensor], index: Tensor, tau: float = 0.07) -> Tensor:
        cosine = views[0] @ views[1].T
        return F.cross_entropy(cosine / tau if cured else cosine * tau, index)

    a, b = two_views(seed)
    error = lambda v, index: F.cross_entropy(v[0] @ v[1].T / 0.07, index)  # noqa: E731
    return Case(Encoder(), (a, b), torch.arange(len(a)), info_nce, adam(2e-3), error, steps=100)


@sick(
    "term-drowns-the-loss",
    family=FAMILY,
    cause="the divergence is summed over the batch and the squared error averaged over the pixels: it outweighs it at once",
    link="https://github.com/zdebruine/MMVAE/pull/19",
)
def summed_divergence_averaged_error(seed: int, cured: bool) -> Case:
    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
            self.decode = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 64))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mean, logvar = self.encode(x).chunk(2, 1)
            z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean) if self.training else mean
            return self.decode(z), mean, logvar

    def elbo(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        rebuilt, mean, logvar = output
        divergence = -0.5 * torch.sum(1 + logvar - mean**2 - logvar.exp())
        if cured:
            return (rebuilt - x).square().sum(1).mean() + 0.1 * divergence / len(x)
        return F.mse_loss(rebuilt, x) + divergence

    x, _ = digits(seed)
    flat = x.flatten(1)
    error = lambda o, t: (o[0] - t).square().mean() / t.var(0).mean()  # noqa: E731
    return Case(VAE(), x, flat, elbo, adam(5e-3), error, steps=150)


@sick(
    "term-drowns-the-loss",
    family=FAMILY,
    cause="a weight decay of fifty inside the optimizer outweighs the gradient and takes the weights to zero",
    link="https://github.com/tinghuiz/SfMLearner/issues/34",
)
def decay_that_takes_the_weights(seed: int, cured: bool) -> Case:
    x, y = features(seed)
    net = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 4))
    return Case(net, x, y, F.cross_entropy, adam(5e-3, weight_decay=0.0 if cured else 50.0), misclassified, steps=150)


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


@sick(
    "loss-flat-where-wrong",
    family=FAMILY,
    cause="the loss counts errors through hard thresholds of the outputs, whose gradient is zero almost everywhere",
    link="https://github.com/tensorlayer/TensorLayer/issues/891",
)
def overlap_of_rounded_outputs(seed: int, cured: bool) -> Case:
    def sorensen(logits: Tensor, t: Tensor) -> Tensor:
        p = logits.sigmoid()
        if not cured:
            p = torch.round(p)
        return 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)

    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    x, y = areas(seed)
    return Case(net, x - 0.5, y, sorensen, adam(2e-2), lambda o, t: ((o > 0) != (t > 0)).float().mean(), steps=80)
