"""GS501 to GS503 and GS513: the loss at the start, against chance."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Role
from gainstage.records import LossFacts, Profile, Remedy, Severity
from gainstage.rules.layers import Layer, layers
from gainstage.rules.need import need_loss, need_output, need_target
from gainstage.rules.remedies import edit, initialize, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure

__all__: list[str] = []

CLASSES = frozenset({"cross_entropy", "nll", "probability_nll"})
BINARY = frozenset({"bce", "bce_logits"})
ABOVE, FAR = 1.25, 4.0  # of the loss that equal probabilities give
OFF, FAR_OFF = 2.0, 10.0  # of the variance of the targets, and of their standard deviations


_SCALE = "logits = scale * (queries @ keys.T)  # of unit rows: scale 0.3 * sqrt(features) gives a spread of 0.3"


@rule("GS501", "The loss starts far from chance", of_starts=True)
def loss_above_chance(profile: Profile) -> Iterator[Fault]:
    """At the start the loss is much larger than a guess that knows nothing.

    What it does:
    Compares the loss on this batch with log C for C classes, log 2 for a binary loss, and the variance of the targets
    for a squared error (their mean absolute deviation for an absolute one). A loss of another scale, a sum, or one with
    further terms is compared with itself instead, on a few examples: at equal logits, or at the mean of the targets.

    Why it matters:
    The first steps are spent on unlearning confident nonsense: on shrinking logits, or on moving a mean. Meanwhile
    large gradients push the layers before out of the state they were initialized in.

    Null hypothesis:
    Logits of variance v add about v/2 nats to log C, and the mean over N examples scatters by √(v/N), for which no more
    than v = 1 is granted. A head that
    starts small adds next to nothing, PyTorch's default about 0.01.

    Bound and where it comes from:
    A quarter above chance, and three standard errors, is a note; four times chance is a warning: the model then gives
    the right class on average no more than 1/C⁴. For a regression twice the variance is a note. An offset of
    ten standard deviations, a hundred times the variance and ten times the mean deviation, is a warning: the gradient
    of the offset is then a decade above that of all features. A chance level belongs to one term:
    where a loss with further terms (a critic's error, a divergence) cannot be probed, it is not judged.

    Example:
    An output layer tied to embeddings of spread 1: a decoder block of width 64 starts at 63.5 where log C is 4.9.

    Remedy:
    Draw the output layer smaller; standardise the targets of a regression:

        import gainstage as gs

        gs.initialize(model, "keep", x=x, overrides={"head": "auto"})

    Reference:
    Karpathy 2019, A Recipe for Training Neural Networks ("verify loss @ init").
    """
    loss = need_loss(profile)
    value, examples, reference, words, note, warning = _reference(profile, loss)
    if not math.isfinite(loss.value):
        return  # GS801 says where that comes from
    output = profile.task.output
    spread = output.spread_within if output is not None and output.spread_within is not None else 0.0
    unit = reference / loss.uniform if loss.uniform else 1.0  # what the loss is multiplied by
    error = 3 * unit * min(spread, 1.0) / math.sqrt(max(examples, 1)) if loss.kind in CLASSES | BINARY else 0.0
    if value <= note * reference + error:
        return
    yield Fault(
        Severity.WARNING if value > warning * reference + error else Severity.NOTE,
        "",
        f"The loss is {figure(value)} at the start; {words} gives {figure(reference)}.",
        value,
        note * reference + error,
        _why_above(profile, loss),
        _smaller_head(profile),
    )


def _reference(profile: Profile, loss: LossFacts) -> tuple[float, int, float, str, float, float]:
    """The loss and for how many examples, the loss of a guess, what that is, and the multiples for note and warning."""
    shape, classes = profile.task.loss_shape, loss.kind in CLASSES | BINARY
    bounds = (ABOVE, FAR) if classes else (OFF, FAR_OFF if loss.kind in ("l1", "huber") else FAR_OFF**2)
    words = "equal probabilities for all classes" if classes else "the best constant guess"
    if shape is not None and shape.uninformed is not None:
        # The probe knows the scale of the loss and its further terms, and has few examples.
        if not shape.uninformed > 0:
            raise Lacking("this loss has no scale of its own: a guess that knows nothing has a loss of zero or less")
        known = loss.uniform if classes else loss.chance
        if not loss.mean_reduced or not loss.alone or not known or _apart(shape.uninformed, known, classes):
            return shape.start, shape.examples, shape.uninformed, "a guess that knows nothing", *bounds
    if not loss.mean_reduced:
        raise Lacking("the loss is a sum over examples, and no chance level goes with that")
    if not loss.alone:
        raise Lacking("the loss has further terms, and a chance level belongs to one")
    if loss.uniform is not None and classes:
        return loss.value, profile.task.examples, loss.uniform, words, *bounds
    if loss.kind in ("mse", "l1", "huber") and loss.chance:
        return loss.value, profile.task.examples, loss.chance, words, *bounds
    raise Lacking("no chance level is known for this loss")


def _apart(probed: float, known: float, classes: bool) -> bool:
    """Whether the loss of a guess, as probed, is another than the one its kind has: scaled, summed or penalised.

    Equal logits give log C whatever the labels; the variance of a few targets scatters around that of all.
    """
    return not math.isclose(probed, known, rel_tol=0.05 if classes else 0.9)


def _why_above(profile: Profile, loss: LossFacts) -> str:
    output, target = profile.task.output, profile.task.target
    if loss.kind == "probability_nll" and output is not None and output.maximum is not None:
        return (
            f"The probabilities reach {figure(output.maximum)} where {figure(1 / output.units)} would be even: the "
            "model is sure of something it has not seen."
        )
    if loss.kind in CLASSES and output is not None and output.spread_within is not None:
        return (
            f"The logits of an example differ by {figure(output.spread_within)} (spread over classes), which alone "
            f"adds about {figure(output.spread_within**2 / 2)} nats: the model is sure of something it has not seen."
        )
    if loss.kind in ("mse", "l1", "huber") and output is not None and target is not None and output.mean is not None:
        return (
            f"The targets have mean {figure(target.mean)} and spread {figure(target.spread)}; the output starts at "
            f"mean {figure(output.mean)} and spread {figure(output.spread or 0.0)}."
        )
    return "The output starts far from what a constant guess would be."


@rule("GS502", "The output layer starts too large", of_starts=True)
def large_head(profile: Profile) -> Iterator[Fault]:
    """The logits of one example differ so much at the start that the model is sure of a class.

    What it does:
    Takes the spread of the logits between the classes of one example (root mean square over examples), for a loss with
    a softmax.

    Why it matters:
    Confidence drawn at random is wrong for all but one in C examples. He's gain of √2 on an output layer is a common
    cause: it makes up for a relu that follows, and none does.

    Null hypothesis:
    A head that starts small (spread at most 0.3) leaves the loss at log C. Spread s adds about s²/2 nats.

    Bound and where it comes from:
    s²/2 above a quarter of log C is a note. At √(2 log C), 2.1 for 10 classes and 3.7 for 1000, the softmax of
    independent normal logits freezes onto the largest one (the transition of the random energy model) and the loss is
    twice log C. A single draw of a small head can come that far by chance; twice that spread, where the loss is four
    times log C, is a warning. Where no output layer makes the logits (a product of two signals, as in CLIP) it stays a
    note.

    Example:
    A He-initialized output layer behind signals of level 1 gives logits of spread 1.4 to 2 and a loss one to two nats
    above log C.

    Remedy:
    Draw the output layer by its role:

        import gainstage as gs

        gs.initialize(model, "keep", x=x, overrides={"head": "auto"})

    Reference:
    Derrida 1981 for the transition; Karpathy 2019 for the loss at the start.
    """
    loss, output = need_loss(profile), need_output(profile)
    if loss.kind != "cross_entropy" or output.function in ("softmax", "log_softmax", "sigmoid"):
        raise Lacking("the loss does not work on logits of several classes")
    if output.spread_within is None or output.units < 2 or not math.isfinite(output.spread_within):
        raise Lacking("the spread of the logits is not known")
    spread, uniform = output.spread_within, math.log(output.units)
    if spread**2 / 2 <= (ABOVE - 1) * uniform:
        return
    frozen = 2 * math.sqrt(2 * uniform)
    head = _head(profile)
    yield Fault(
        Severity.WARNING if spread > frozen and head is not None else Severity.NOTE,
        head.name if head is not None else "",
        f"The logits of one example have spread {figure(spread)} over the {output.units} classes, which adds about "
        f"{figure(spread**2 / 2)} nats to log C = {figure(uniform)}; the loss is {figure(loss.value)}.",
        spread,
        frozen if spread > frozen else math.sqrt(2 * (ABOVE - 1) * uniform),
        _why_large(profile, head),
        _smaller_head(profile),
        head.node.index if head is not None else output.node,
    )


def _head(profile: Profile) -> Layer | None:
    return next((layer for layer in reversed(layers(profile)) if layer.role is Role.HEAD), None)


def _why_large(profile: Profile, head: Layer | None) -> str:
    if head is None:
        return "The logits are a product of two signals, and what multiplies it (a temperature, a scale) is too large."
    if not head.gain:
        return "The output layer multiplies what arrives by too much."
    for use in head.node.uses_of("bias"):
        bias = profile.by_path.get(use.parameter)
        if bias is not None and bias.weight.spread > 0.7 * head.measured.forward.spread:  # half of the variance
            return f"The bias '{use.parameter}' has a spread of {figure(bias.weight.spread)} over the classes."
    arrives = head.measured.forward.rms / head.gain
    return (
        f"The weights of '{head.name}' have {figure(head.gain)} times the spread 1/√fan_in, and what they read has a "
        f"level (root mean square) of about {figure(arrives)}."
    )


def _smaller_head(profile: Profile) -> Remedy:
    head = _head(profile)
    loss = profile.task.loss
    if loss is not None and loss.kind in ("mse", "l1", "huber"):
        return edit(
            "Standardise the targets, or start the output's bias at their mean.", "y = (y - y.mean(0)) / y.std(0)"
        )
    if head is None:
        return edit("Start with a smaller scale, or keep it on purpose, as CLIP does.", _SCALE)
    if head.parameter is None:
        return initialize("Draw the weights so that the output starts small.")
    biases = [use.parameter for use in head.node.uses_of("bias")]
    return initialize("Draw the output layer so that its logits start small.", (head.parameter.path, *biases))


@rule("GS503", "Confident and wrong", of_starts=True)
def confident(profile: Profile) -> Iterator[Fault]:
    """Probabilities are near zero or one at the start, and the loss says that they are wrong.

    What it does:
    For models that return probabilities (a softmax or sigmoid at the end), looks at the extremes of the output and at
    the loss.

    Why it matters:
    A saturated output has no slope: on a probability of 1e-7 for the right class a squared error sends back nothing,
    and a logarithm sends back a huge number that single precision may not hold.

    Null hypothesis:
    At the start all probabilities are near 1/C, or 1/2 for single units, and the loss is at chance.

    Bound and where it comes from:
    Probabilities beyond 0.1 % and 99.9 % both occur and the loss is above four times chance: 0.001 is what a logit of
    7 gives, and logits start at most at about 1.

    Example:
    A sigmoid output behind a relu layer that reads raw pixels of 0 to 255.

    Remedy:
    Draw the output layer smaller, or scale the inputs if those are large:

        import gainstage as gs

        gs.initialize(model, "keep", x=x, overrides={"head": "auto"})

    Reference:
    Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    loss, output = need_loss(profile), need_output(profile)
    if output.function not in ("softmax", "sigmoid") or loss.uniform is None:
        raise Lacking("the model does not return probabilities to a loss with a chance level")
    if output.minimum is None or output.maximum is None:
        raise Lacking("the extremes of the output were not measured")
    sure = output.minimum < 1e-3 and output.maximum > 1 - 1e-3
    if not sure or not loss.value > FAR * loss.uniform:
        return
    yield Fault(
        Severity.WARNING,
        "",
        f"Probabilities reach from {figure(output.minimum)} to {figure(output.maximum)}, and the loss is "
        f"{figure(loss.value)} where chance is {figure(loss.uniform)}.",
        loss.value,
        FAR * loss.uniform,
        "What the last activation reads is too large for it.",
        _smaller_head(profile),
        output.node,
    )


@rule("GS513", "The classes are unequal and the output does not know", of_starts=True)
def prior(profile: Profile) -> Iterator[Fault]:
    """The labels are so unequal that knowing their shares alone would lower the loss by a lot.

    What it does:
    Compares the entropy of the labels of this batch with log C (log 2 for a binary loss).

    Why it matters:
    The first thing every network learns then is its output bias. Starting it at the logarithm of the shares saves
    those steps and keeps the early gradient for the features.

    Null hypothesis:
    N labels of C equally likely classes have an entropy of log C − (C − 1)/(2N) on average, so that only batches with
    ten examples a class are judged.

    Bound and where it comes from:
    Half of log C: the shares of the classes then hold as much information as is left to learn. A note.

    Example:
    One positive in a hundred: entropy 0.056 against log 2 = 0.693.

    Remedy:
    Start the output bias at the prior:

        model.head.bias.data = torch.log(shares)         # log(p / (1 - p)) for a sigmoid

    Reference:
    Lin et al. 2017, Focal Loss, section 4.1; Karpathy 2019.
    """
    loss, target = need_loss(profile), need_target(profile)
    fits = (loss.kind in CLASSES) == (target.kind == "classes")
    if loss.uniform is None or target.entropy is None or not fits:
        raise Lacking("the loss has no chance level")
    classes = round(math.exp(loss.uniform))
    labels = math.prod(target.shape)
    if labels < 10 * classes:
        raise Lacking("ten labels a class are needed")
    if target.entropy >= loss.uniform / 2 or loss.value <= (target.entropy + loss.uniform) / 2:
        return
    yield Fault(
        Severity.NOTE,
        "",
        f"The labels have an entropy of {figure(target.entropy)} nats, equal classes {figure(loss.uniform)}; the "
        "loss starts "
        f"at {figure(loss.value)}.",
        target.entropy,
        loss.uniform / 2,
        "Some classes are far more frequent than others.",
        edit("Start the output bias at the logarithm of the class shares.", phrase("an output bias of class shares")),
    )
