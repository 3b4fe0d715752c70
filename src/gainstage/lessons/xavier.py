"""Question 2: Xavier initialization."""

from __future__ import annotations

from gainstage.data import load
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import Net, depths, measured, over_layers, scaled
from gainstage.lessons.question import Measured, Question, Setting, Study
from gainstage.lessons.trainings import Budget, accuracy_line, at_best_rate
from gainstage.records import Bound, Claim, Picture
from gainstage.statistics import factor, mean

__all__ = ["QUESTION", "SPREADS", "TRAINED", "mitigation", "spreads", "suits", "variance"]

DEPTH = 10
KEPT = (0.9, 1.1)
"""The same from layer to layer: within ten per cent, which over ten layers can still add up to a factor of 2.6."""

SPREADS = {
    "linear": ("linear", 1.0),
    "tanh, quiet input": ("tanh", 0.1),
    "tanh": ("tanh", 1.0),
    "sigmoid": ("sigmoid", 1.0),
    "relu": ("relu", 1.0),
}
"""By case: an activation, and a factor on the input. A quiet input stays where tanh is nearly the identity."""


def variance(setting: Setting, scheme: str = "glorot_normal") -> Measured:
    """Moments of a 64 → 128 weight as drawn, against Glorot and Bengio's formula."""
    dataset = load("digits", seed=setting.seed)
    target = 2 / (64 + 128)
    ratios, means = [], []
    for seed in setting.seeds(10, 5):
        profile = measured(Net("tanh", 1, scheme, width=128).start(dataset, seed), dataset)
        weight = profile.by_path["hidden.0.linear.weight"].weight
        ratios.append(weight.variance / target)
        means.append(weight.mean / target**0.5)
    return Measured((factor(VARIANCE, ratios), mean(MEAN, means)))


VARIANCE = "variance of the weights over 2 / (n_in + n_out)"
MEAN = "mean of the weights, in standard deviations"


def spreads(setting: Setting, cases: dict[str, tuple[str, float]] = SPREADS, scheme: str = "glorot_normal") -> Measured:
    """The factor that one layer puts on the spread over examples, and on the gradient on the way back."""
    dataset = load("digits", seed=setting.seed)
    figures, signal, gradient = [], [], []
    for case, (activation, loudness) in cases.items():
        found = depths(Net(activation, DEPTH, scheme), scaled(dataset, loudness), setting.seeds(6, 4))
        figures += [
            factor(FORWARD, [d.spread_factor for d in found], case),
            factor(BACKWARD, [d.gradient_factor for d in found], case),
        ]
        signal.append(over_layers(case, [s / found[0].spread[0] for s in found[0].spread]))
        gradient.append(over_layers(case, [g / found[0].gradient[-1] for g in found[0].gradient]))
    shown = [line for line in range(len(signal)) if signal[line].label != "tanh, quiet input"]
    pictures = {
        "2.2": Picture("Spread over examples, as a share of that at the first layer", "hidden layer", "spread",
                       tuple(signal[i] for i in shown), log_y=True),
        "2.3": Picture("Gradient, as a share of that at the last hidden layer", "hidden layer", "gradient (rms)",
                       tuple(gradient[i] for i in shown), log_y=True),
    }  # fmt: skip
    return Measured(tuple(figures), pictures)


FORWARD = "factor of one layer on the spread over examples"
BACKWARD = "factor of one layer on the gradient"


def mitigation(setting: Setting, rescuer: str = "glorot_normal", baseline: str = "pytorch_default") -> Measured:
    """How much more of the gradient reaches the first layer than with PyTorch's default."""
    dataset = load("digits", seed=setting.seed)
    seeds = setting.seeds(6, 4)
    figures = []
    for activation in ("tanh", "sigmoid"):
        ours = depths(Net(activation, DEPTH, rescuer), dataset, seeds)
        theirs = depths(Net(activation, DEPTH, baseline), dataset, seeds)
        gained = [a.gradient_ratio / b.gradient_ratio for a, b in zip(ours, theirs, strict=True)]
        figures += [
            factor(RESCUED, gained, activation),
            factor(LEFT, [d.gradient_ratio for d in ours], activation),
        ]
    return Measured(tuple(figures))


RESCUED = "gradient at layer 1 over layer 10: Xavier over default"
LEFT = "gradient at layer 1 over layer 10 with Xavier"

TRAINED = {
    "tanh, Xavier": Net("tanh", DEPTH, "glorot_normal"),
    "sigmoid, Xavier": Net("sigmoid", DEPTH, "glorot_normal"),
    "sigmoid, gain 4": Net("sigmoid", DEPTH, "glorot_normal", gain=4.0),
    "sigmoid, gain 4 + bias": Net("sigmoid", DEPTH, "auto"),
}


def suits(setting: Setting, nets: dict[str, Net] = TRAINED) -> Measured:
    """Training with each start, at the best of four learning rates."""
    dataset = load("digits", seed=setting.seed)
    rates = (0.1,) if setting.quick else (0.3, 0.1, 0.03, 0.01)
    budget = Budget(steps=setting.of(300, 150), rates=rates)
    figures, lines = [], []
    for case, net in nets.items():
        trained = at_best_rate(net, dataset, budget, setting.seeds(4, 3), setting, f"2. training: {case}")
        figures.append(mean(ACCURACY, trained.final, case))
        lines.append(accuracy_line(case, trained))
    picture = Picture("Training ten hidden layers", "step", "validation accuracy", tuple(lines))
    return Measured(tuple(figures), {"2.5": picture})


ACCURACY = "final accuracy of 10 layers"
TRAINS, FAILS = 0.85, 0.5

QUESTION = Question(
    number=2,
    slug="xavier",
    question="How does Xavier initialization address vanishing gradients?",
    text=(
        "A unit sums n_in inputs, so its variance is n_in · Var(w) times theirs; on the way back a gradient sums n_out "
        "terms, and its variance is multiplied by n_out · Var(w). Keeping both would take 1/n_in and 1/n_out at once; "
        "Glorot and Bengio's compromise is mean 0 and variance 2 / (n_in + n_out), drawn from a normal distribution "
        "or uniformly within ±√(6 / (n_in + n_out)).",
        "The argument treats the activation as the identity. It is exact for linear layers and good for tanh as long "
        "as the signal is small; a tanh that is driven harder compresses it a little in every layer. A relu drops half "
        "of the signal, which is why He's rule doubles the variance.",
        "For sigmoid two assumptions fail: its slope at zero is 1/4, so every layer takes three quarters of the "
        "differences between examples and of the gradient; and its output has mean 1/2, which every layer above "
        "turns into an offset. A gain of 4 alone therefore is not reliable: it also multiplies the offset and drives "
        "units into saturation. Gain 4 together with a bias of −½ Σw, which takes the mean off, does.",
    ),
    studies=(
        Study("the weights themselves", variance, (
            Claim(
                "2.1", "Xavier draws weights with mean 0 and variance 2 / (n_in + n_out).",
                (Bound(VARIANCE, 0.97, 1.03), Bound(MEAN, -0.03, 0.03)),
                "Glorot and Bengio 2010, eq. 12",
            ),
        )),
        Study("signal and gradient at the start", spreads, (
            Claim(
                "2.2", "That keeps the spread of activations the same across layers.",
                for_each(SPREADS, FORWARD, above=KEPT[0], below=KEPT[1]), "Glorot and Bengio 2010",
            ),
            Claim(
                "2.3", "It keeps the spread of gradients the same across layers.",
                for_each(SPREADS, BACKWARD, above=KEPT[0], below=KEPT[1]), "Glorot and Bengio 2010",
            ),
        )),
        Study("against the default", mitigation, (
            Claim(
                "2.4", "It mitigates vanishing gradients: ten times more of them or better reaches the first layer.",
                for_each(("tanh", "sigmoid"), RESCUED, above=10.0), "Glorot and Bengio 2010", shows=(LEFT,),
            ),
        )),
        Study("training", suits, (
            Claim(
                "2.5", "It suits tanh and sigmoid: ten hidden layers train.",
                for_each(("tanh, Xavier", "sigmoid, Xavier"), ACCURACY, above=TRAINS),
                "common teaching; Glorot and Bengio 2010 found sigmoid hard to train",
            ),
            Claim(
                "2.6", "A deep sigmoid network needs a gain of 4 and a bias that takes the mean off, both together.",
                (Bound(ACCURACY, above=TRAINS, case="sigmoid, gain 4 + bias"),
                 Bound(ACCURACY, below=FAILS, case="sigmoid, gain 4"),
                 Bound(ACCURACY, below=FAILS, case="sigmoid, Xavier")),
                "follows from f'(0) = 1/4 and f(0) = 1/2",
            ),
        )),
    ),
    try_it=(
        "gainstage gain sigmoid",
        "gainstage plan mlp:64x64x64x64x64x64x10,act=sigmoid",
        "gainstage check mlp:64x64x64x64x64x64x10,act=tanh --data digits",
    ),
    references=(
        "Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
        "He et al. 2015, Delving deep into rectifiers",
        "Saxe et al. 2014, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
        "Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos",
    ),
    setting="the 8×8 digits, ten hidden layers of 64 units, cross-entropy; 'default' is PyTorch's own start",
)  # fmt: skip
