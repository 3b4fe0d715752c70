"""Question 2: Xavier initialization."""

from __future__ import annotations

from gainstage.data import load
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import Net, depths, gradient_line, measured, scaled, spread_line
from gainstage.lessons.question import Measured, Play, Question, Setting, Study
from gainstage.lessons.sliders import over_gains
from gainstage.lessons.trainings import Budget, accuracy_line, train_all
from gainstage.records import Bound, Claim, Line, Picture, Slider
from gainstage.statistics import factor, mean

__all__ = ["QUESTION", "SPREADS", "TRAINED", "cure", "mitigation", "slider", "spreads", "suits", "variance"]

VARIANCE = "variance of the weights over 2 / (n_in + n_out)"
MEAN = "mean of the weights, in standard deviations"
WIDTHS = {"64 → 64": 64, "64 → 128": 128, "64 → 512": 512}


def variance(setting: Setting, scheme: str = "glorot_normal") -> Measured:
    """Compare moments of drawn weights of several shapes with Glorot and Bengio's formula."""
    dataset = load("digits", seed=setting.seed)
    figures, drawn = [], []
    for case, width in WIDTHS.items():
        target = 2 / (dataset.features + width)
        models = [Net("tanh", 1, scheme, width=width).start(dataset, seed) for seed in setting.seeds(20, 10)]
        weights = [measured(model, dataset).by_path["hidden.0.linear.weight"].weight for model in models]
        figures += [
            factor(VARIANCE, [weight.variance / target for weight in weights], case),
            mean(MEAN, [weight.mean / target**0.5 for weight in weights], case),
        ]
        drawn.append((float(dataset.features + width), weights[0].variance, target))
    sizes, found, asked = zip(*drawn, strict=True)
    lines = (Line("one draw", sizes, found), Line("2 / (n_in + n_out)", sizes, asked))
    picture = Picture("Variance of the weights", "n_in + n_out", "variance", lines, log_y=True)
    return Measured(tuple(figures), {"2.1": picture})


DEPTH = 10
KEPT = (0.9, 1.1)
"""A factor within ten per cent of 1 counts as kept, although ten such layers can add up to a factor of 2.6."""

SPREADS = {
    "linear": ("linear", 1.0),
    "tanh, quiet input": ("tanh", 0.1),
    "tanh": ("tanh", 1.0),
    "sigmoid": ("sigmoid", 1.0),
    "relu": ("relu", 1.0),
}
"""For each case, an activation and a factor on the input. With a small input, tanh is nearly linear."""
FORWARD = "factor of one layer on the spread over examples"
BACKWARD = "factor of one layer on the gradient"


def spreads(setting: Setting, cases: dict[str, tuple[str, float]] = SPREADS, scheme: str = "glorot_normal") -> Measured:
    """Measure the factor of one layer on the spread over examples, and on the gradient in the backward pass."""
    dataset = load("digits", seed=setting.seed)
    figures, signal, gradient = [], [], []
    for case, (activation, loudness) in cases.items():
        found = depths(Net(activation, DEPTH, scheme), scaled(dataset, loudness), setting.seeds(8, 4))
        figures += [
            factor(FORWARD, [d.spread_factor for d in found], case),
            factor(BACKWARD, [d.gradient_factor for d in found], case),
        ]
        signal.append(spread_line(case, found[0]))
        gradient.append(gradient_line(case, found[0]))
    pictures = {
        "2.2": Picture("Spread over examples, as a share of that at the first layer", "hidden layer", "spread",
                       tuple(signal), log_y=True),
        "2.3": Picture("Gradient, as a share of that at the last hidden layer", "hidden layer", "gradient (rms)",
                       tuple(gradient), log_y=True),
    }  # fmt: skip
    return Measured(tuple(figures), pictures)


RESCUED = "gradient at layer 1 over layer 10: Xavier over default"
LEFT = "gradient at layer 1 over layer 10"


def mitigation(setting: Setting, rescuer: str = "glorot_normal", baseline: str = "pytorch_default") -> Measured:
    """Measure how much more of the gradient reaches the first layer than with PyTorch's default."""
    dataset = load("digits", seed=setting.seed)
    figures, lines = [], []
    for activation in ("tanh", "sigmoid"):
        ours, theirs = (
            depths(Net(activation, DEPTH, scheme), dataset, setting.seeds(8, 4)) for scheme in (rescuer, baseline)
        )
        gained = [a.gradient_ratio / b.gradient_ratio for a, b in zip(ours, theirs, strict=True)]
        figures += [
            factor(RESCUED, gained, activation),
            factor(LEFT, [d.gradient_ratio for d in ours], f"{activation}, Xavier"),
            factor(LEFT, [d.gradient_ratio for d in theirs], f"{activation}, default"),
        ]
        lines += [gradient_line(f"{activation}, Xavier", ours[0]), gradient_line(f"{activation}, default", theirs[0])]
    title = "Gradient, as a share of that at the last hidden layer"
    picture = Picture(title, "hidden layer", "gradient (rms)", tuple(lines), log_y=True)
    return Measured(tuple(figures), {"2.4": picture})


CURES = {
    "Xavier": Net("sigmoid", DEPTH, "glorot_normal"),
    "gain 4": Net("sigmoid", DEPTH, "glorot_normal", gain=4.0),
    "bias −½ Σw": Net("sigmoid", DEPTH, "glorot_normal", centred=True),
    "gain 4 and bias −½ Σw": Net("sigmoid", DEPTH, "glorot_normal", gain=4.0, centred=True),
}
"""Sigmoid has slope 1/4 and mean 1/2 at zero: the gain compensates for one, the bias for the other."""
BOTH = "gain 4 and bias −½ Σw"
VANISHED = 0.1


def cure(setting: Setting, nets: dict[str, Net] = CURES) -> Measured:
    """Measure signal and gradient through ten sigmoid layers with either remedy, and with both."""
    dataset = load("digits", seed=setting.seed)
    figures, lines = [], []
    for case, net in nets.items():
        found = depths(net, dataset, setting.seeds(8, 4))
        figures += [
            factor(LEFT, [d.gradient_ratio for d in found], case),
            factor(FORWARD, [d.spread_factor for d in found], case),
        ]
        lines.append(spread_line(case, found[0]))
    title = "Sigmoid: spread over examples, as a share of that at the first layer"
    return Measured(tuple(figures), {"2.5": Picture(title, "hidden layer", "spread", tuple(lines), log_y=True)})


ACCURACY = "final accuracy of 10 layers"
TRAINS = 0.85
TRAINED = {
    "tanh, Xavier": Net("tanh", DEPTH, "glorot_normal"),
    **{f"sigmoid, {case}": net for case, net in CURES.items()},
    "sigmoid, automatic": Net("sigmoid", DEPTH, "auto"),
}


def suits(setting: Setting, nets: dict[str, Net] = TRAINED) -> Measured:
    """Train with each start, at its best learning rate."""
    dataset = load("digits", seed=setting.seed)
    budget = Budget(setting.of(300, 150), rates=(0.03,) if setting.quick else (0.3, 0.1, 0.03))
    trained = train_all(nets, dataset, budget, setting.seeds(6, 3), setting, "2. training")
    figures = [mean(ACCURACY, found.final, case) for case, found in trained.items()]
    lines = {case: accuracy_line(case, found.best) for case, found in trained.items()}
    title = "Training ten hidden layers"
    plain = tuple(line for case, line in lines.items() if case in ("tanh, Xavier", "sigmoid, Xavier"))
    sigmoid = tuple(line for case, line in lines.items() if case.startswith("sigmoid"))
    pictures = {
        key: Picture(title, "step", "validation accuracy", shown or tuple(lines.values()))
        for key, shown in (("2.6", plain), ("2.7", sigmoid))
    }
    return Measured(tuple(figures), pictures)


def slider(setting: Setting) -> Slider:
    """Show the spread over examples through ten layers for weights of every scale."""
    nets = {name: Net(name, DEPTH, "glorot_normal") for name in ("linear", "tanh", "relu", "sigmoid")}
    nets["sigmoid + bias"] = Net("sigmoid", DEPTH, "glorot_normal", centred=True)
    title = "Spread over examples, as a multiple of that at the first layer"
    return over_gains(
        nets, setting, line=spread_line, picture=Picture(title, "hidden layer", "spread", (), log_y=True),
        words="gain on Xavier's weights",
        hint="1 is Xavier: linear is level. At 1.41, He's rule, relu nearly is. At 4 the bias makes the difference for "
        "sigmoid.",
    )  # fmt: skip


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
        "turns into an offset. A gain of 4 alone is not enough: it multiplies the offset too, and drives units into "
        "saturation. Together with a bias of −½ Σw, which takes the mean off, it is.",
    ),
    studies=(
        Study("the weights themselves", variance, (
            Claim(
                "2.1", "Xavier draws weights with mean 0 and variance 2 / (n_in + n_out).",
                (*for_each(WIDTHS, VARIANCE, above=0.97, below=1.03), *for_each(WIDTHS, MEAN, above=-0.03, below=0.03)),
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
        Study("sigmoid: slope and mean", cure, (
            Claim(
                "2.5", "Deep sigmoid networks keep their gradient with a gain of 4 and a bias that takes the mean off; "
                "neither is enough alone.",
                (Bound(LEFT, above=VANISHED, case=BOTH),
                 *for_each((case for case in CURES if case != BOTH), LEFT, below=VANISHED)),
                "follows from f'(0) = 1/4 and f(0) = 1/2", shows=(LEFT, FORWARD),
            ),
        )),
        Study("training", suits, (
            Claim(
                "2.6", "Xavier suits tanh and sigmoid: ten hidden layers train.",
                for_each(("tanh, Xavier", "sigmoid, Xavier"), ACCURACY, above=TRAINS),
                "common teaching; Glorot and Bengio 2010 found sigmoid hard to train",
            ),
            Claim(
                "2.7", "Ten sigmoid layers train with gain and bias together, and with neither alone.",
                (Bound(ACCURACY, above=TRAINS, case=f"sigmoid, {BOTH}"),
                 *for_each((f"sigmoid, {case}" for case in CURES if case != BOTH), ACCURACY, below=TRAINS)),
                "follows from f'(0) = 1/4 and f(0) = 1/2", shows=(ACCURACY,),
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
    slider=slider,
    play=Play(
        "Xavier on tanh. Turn `GAIN` down to 0.5 and up to 3, then try `ACTIVATION = \"relu\"` and find the gain at "
        "which its signal is level.",
        "tanh", 10, "glorot_normal",
    ),
)  # fmt: skip
