"""GS6xx: the inputs and the scale of the targets."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Operation, nearest_after
from gainstage.graph.groups import LEVEL_KEEPING
from gainstage.records import InputFacts, Profile, Severity
from gainstage.rules.layers import Layer, layers
from gainstage.rules.need import need_loss, need_output, need_target
from gainstage.rules.outgoing import is_regression
from gainstage.rules.remedies import edit
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure

__all__: list[str] = []

UNEVEN, VERY_UNEVEN = 10.0, 100.0  # largest against median feature
LOUD, FAINT = 10.0, 1e-3  # root mean square over all elements
LARGE, VERY_LARGE = 10.0, 100.0  # root mean square of targets against a unit output
_STANDARDISE = "x = (x - x_train.mean(0)) / x_train.std(0)"


def _real_values(profile: Profile) -> list[InputFacts]:
    """The inputs that hold measured, real values which no normalisation meets first.

    A tensor without an axis is a setting, such as the number of tokens that a loss divides by, and no example.
    """
    real = [i for i in profile.task.inputs if i.kind != "tokens" and not i.synthetic and i.shape]
    if not real:
        raise Lacking("the inputs are tokens or made up")
    loud = _still_loud(profile)
    return [i for i in real if not i.normalised_first or loud]


def _still_loud(profile: Profile) -> bool:
    """Report whether a normalisation of the input has the second moment of raw inputs: it never saw data."""
    graph = profile.graph
    met = [
        node
        for index in graph.inputs
        for node in nearest_after(graph, index, lambda n: n.operation is Operation.NORMALIZATION, through=LEVEL_KEEPING)
    ]
    return any((at := profile.by_node.get(node)) is not None and at.forward.rms > LOUD for node in met)


def _made(profile: Profile, layer: Layer, level: float) -> float:
    """Root mean square of what a first layer makes of an input of this level, before its own functions."""
    made = layer.measured.forward.rms
    if layer.node.operation is not Operation.RECURRENT:
        return made
    for use in layer.node.uses_of("weight")[:1]:
        weight, kernel = profile.by_path.get(use.parameter), profile.graph.parameter(use.parameter).kernel
        if weight is not None and kernel is not None:
            made = max(made, level * weight.weight.rms * math.sqrt(kernel.fan_in))
    return made


@rule("GS601", "Features of very different scale")
def uneven_features(profile: Profile) -> Iterator[Fault]:
    """One feature is so much larger than the others that the first layer sees little else.

    What it does:
    Compares the largest standard deviation (and the largest mean) of a feature with the median standard deviation.
    Features are columns of a table or channels of an image. An input that is normalised first is excused.

    Why it matters:
    The sums of the first layer are that feature times a random number. The curvature along it is larger by the square
    of the ratio: a learning rate that is stable for it is too small for all others by that factor.

    Null hypothesis:
    Standardised features have ratio 1; sparse ones and pixels near the border a few, since only the largest is
    compared with the median.

    Bound and where it comes from:
    Ratio 10 (curvatures 100 apart) is a note, 100 a warning: ten thousand steps for the median feature, the whole
    window of useful relative steps.

    Example:
    Age in years next to income in cents.

    Remedy:
    Standardise each feature with the statistics of the training set:

        x = (x - x_train.mean(0)) / x_train.std(0)

    Reference:
    LeCun et al. 1998, Efficient BackProp, section 4.3.
    """
    for facts in _real_values(profile):
        if facts.feature_spread is None or facts.features < 2:
            continue
        _, typical, largest = facts.feature_spread
        means = max(map(abs, facts.feature_mean)) if facts.feature_mean is not None else 0.0
        worst = max(largest, means)
        # A mean that all features share is the business of GS602.
        shared = facts.mean is not None and largest < means and abs(facts.mean) > 0.5 * means
        if not typical > 0 or shared or worst / typical <= UNEVEN:
            continue
        ratio = worst / typical
        what = "standard deviation" if largest >= means else "mean"
        yield Fault(
            Severity.WARNING if ratio > VERY_UNEVEN else Severity.NOTE,
            "",
            f"The largest {what} of a feature is {figure(worst)}, the median standard deviation of all "
            f"{facts.features} is "
            f"{figure(typical)}: a ratio of {figure(ratio)}.",
            ratio,
            UNEVEN,
            "The features were not brought to one scale.",
            edit("Standardise the features with the statistics of the training set.", _STANDARDISE),
        )


@rule("GS602", "The inputs are far from unit scale")
def raw_inputs(profile: Profile) -> Iterator[Fault]:
    """The inputs are so large (pixels from 0 to 255) or so small that the first layer is out of scale.

    What it does:
    Takes the root mean square of the input and of what the first layers make of it; of a recurrent layer, whose output
    is bounded, what its gates read. A normalisation right before or right behind those excuses the input, if what it
    gives has left the input's scale.

    Why it matters:
    Every scheme of initialization takes inputs of unit level for granted. A factor at the input is a factor on all
    levels and logits behind it: activations saturate, the loss starts far above chance, and the gradient of the first
    weights is larger by that factor. Too small inputs drown in the biases.

    Null hypothesis:
    Standardised inputs have root mean square 1, pixels in [0, 1] about 0.5, and a first layer gives a root mean square
    between 0.1 and 2. Values beyond ±1 say nothing.

    Bound and where it comes from:
    Input and first layer both above 10: then a tanh or sigmoid is saturated and independent logits are frozen (GS502).
    Input below 0.001: less than a thousandth of the biases that PyTorch draws at one input.

    Example:
    Images as bytes, 0 to 255, cast to float.

    Remedy:
    Bring them to unit scale:

        x = (x / 255 - 0.5) / 0.25

    Reference:
    LeCun et al. 1998, Efficient BackProp, section 4.3.
    """
    first = [layer for layer in layers(profile) if layer.depth == 1]
    if first and all(layer.scale_invariant for layer in first):
        return
    for facts in _real_values(profile):
        if facts.mean is None or facts.spread is None:
            continue
        level = math.hypot(facts.mean, facts.spread)
        made = max((m for layer in first if math.isfinite(m := _made(profile, layer, level))), default=math.inf)
        loud = level > LOUD and made > LOUD
        if not loud and not 0 < level < FAINT:
            continue
        pixels = facts.minimum is not None and facts.maximum is not None and facts.minimum >= 0 and facts.maximum <= 255
        raw = "These look like raw pixels." if loud and pixels and facts.kind == "image" else "They were not scaled."
        yield Fault(
            Severity.WARNING,
            "",
            f"The inputs have root mean square {figure(level)} (from {figure(facts.minimum or 0.0)} to "
            f"{figure(facts.maximum or 0.0)}); the first layer makes {figure(made)} of it.",
            level,
            LOUD if loud else FAINT,
            f"The weights are drawn for inputs of unit level. {raw}",
            edit(
                "Bring the inputs to unit scale.",
                "x = (x / 255 - 0.5) / 0.25" if loud and facts.kind == "image" else _STANDARDISE,
            ),
        )


@rule("GS603", "Constant features")
def constant_features(profile: Profile) -> Iterator[Fault]:
    """Features have the same value in every example of the batch.

    What it does:
    Counts them (columns of a table, channels of an image).

    Why it matters:
    They tell nothing apart; their weights act as biases. Divided by their standard deviation they become NaN. If all
    are constant there is nothing to learn from.

    Null hypothesis:
    In a batch of a few examples rare features may not occur, which is why this is a note unless all are constant.

    Bound and where it comes from:
    Any, in a batch of at least eight examples.

    Example:
    The border of handwritten digits; a column of zeros left by a join.

    Remedy:
    Drop them, or guard the division:

        x = (x - x_train.mean(0)) / x_train.std(0).clamp(min=1e-6)

    Reference:
    LeCun et al. 1998, Efficient BackProp, section 4.3.
    """
    if profile.task.examples < 8:
        raise Lacking("a batch of at least eight examples is needed")
    real = [i for i in profile.task.inputs if i.kind != "tokens" and not i.synthetic]
    if not real:
        raise Lacking("the inputs are tokens or made up")
    for facts in real:
        if not facts.constant_features:
            continue
        everything = facts.constant_features == facts.features
        yield Fault(
            Severity.ERROR if everything and len(profile.task.inputs) == 1 else Severity.NOTE,
            "",
            f"{facts.constant_features} of {facts.features} features are the same in every example.",
            facts.constant_features / max(facts.features, 1),
            0.0,
            "The examples are all equal." if everything else "These features do not vary in this batch.",
            edit("Drop them.", "x = x[:, x_train.std(0) > 0]"),
        )


@rule("GS604", "Targets of large scale")
def large_targets(profile: Profile) -> Iterator[Fault]:
    """The targets of a regression are far larger than what the model returns at the start.

    What it does:
    Compares the root mean square of the targets with 1, or with that of the output where that is larger. Judged for
    squared and absolute errors, and for every loss that is lowest where outputs follow their targets.

    Why it matters:
    The gradient of a squared error is proportional to the difference: at targets of 100 every gradient is a hundred
    times what the learning rate was chosen for. The first thing to be learned is a mean that no feature explains.

    Null hypothesis:
    Standardised targets have root mean square 1, and an initialized model returns values of about that size.

    Bound and where it comes from:
    Ten times is a note, a hundred a warning: the relative step is then moved across half of its window of four
    decades.

    Example:
    Prices in full, from 100,000 to 900,000.

    Remedy:
    Standardise the targets, and undo it on the predictions:

        y = (y - y_train.mean()) / y_train.std()

    Reference:
    Bishop 1995, Neural Networks for Pattern Recognition, section 8.2.
    """
    loss, output, target = need_loss(profile), need_output(profile), need_target(profile)
    if not is_regression(profile, loss, target):
        return
    level = math.hypot(target.mean, target.spread)
    own = math.hypot(output.mean or 0.0, output.spread or 0.0)
    ratio = level / max(own, 1.0)
    if ratio <= LARGE:
        return
    yield Fault(
        Severity.WARNING if ratio > VERY_LARGE else Severity.NOTE,
        "",
        f"The targets have mean {figure(target.mean)} and spread {figure(target.spread)}; the output starts with "
        "root mean "
        f"square {figure(own)}.",
        ratio,
        LARGE,
        "The targets were not scaled.",
        edit("Standardise the targets, and undo it on the predictions.", "y = (y - y_train.mean()) / y_train.std()"),
    )
