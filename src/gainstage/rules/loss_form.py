"""GS514 to GS516: the loss as a function of the outputs alone, whatever it is called."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.records import LossShape, OutputFacts, Profile, Remedy, Severity, TargetFacts
from gainstage.rules.need import need_loss, need_output, need_target
from gainstage.rules.outgoing import FOLLOWED, PROBABILITIES, where
from gainstage.rules.remedies import edit, on_logits, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure

__all__: list[str] = []

SQUARE = 1.5  # power of the distance between a fall in proportion and one as a square
NEARLY_ALL = 0.9  # of the examples are pushed one way
UNMOVED = 0.05  # of the distance moved: so little do the ends of different targets differ
LOWER = 0.05  # of the way from the start to the lowest loss
APART = 0.5  # standard deviations of the targets
FLAT = 1e-3  # of the steepest slope on the way
WORTH = 0.1  # of the loss at the start could be gained


_UNREAD = "the loss does not change when examples exchange their labels: it is no comparison with them"


def _probed(profile: Profile) -> LossShape:
    need_loss(profile)
    need_target(profile)
    shape = profile.task.loss_shape
    if shape is None:
        raise Lacking("the loss alone could not be probed (several outputs or labels, or an output function not known)")
    return shape


def _shape(profile: Profile) -> LossShape:
    shape = _probed(profile)
    if not shape.reads_target:
        raise Lacking(_UNREAD)
    return shape


@rule("GS514", "The loss has no lower bound")
def bottomless(profile: Profile) -> Iterator[Fault]:
    """The loss falls for ever as the outputs grow.

    What it does:
    Takes the outputs of a few examples as free variables and moves them along the steepest descent of the loss, over
    four decades of distance. No model is run. A last sigmoid, tanh or softmax is kept: what moves is its argument.

    Why it matters:
    Training then has no end but overflow: the outputs run off, and the loss says nothing about the task.

    Null hypothesis:
    A loss that compares outputs with targets is lowest at the targets, or, on logits, approaches a bound. Its fall
    along a ray ends within a decade or becomes slower than the distance. The negative log-likelihood of a density with
    a learned variance is unbounded as well, and rightly: but only where the residual is exactly zero, never along a
    ray. Losses weighted by a signed advantage push some examples towards their label and others away, and are not
    judged.

    Of several outputs together only a fall faster than in proportion is judged: no signed weight brings it about.

    Bound and where it comes from:
    A fall in proportion to the distance, or faster: three times as far a decade, and at least a hundredth of what the
    slope at the start promises. With class labels, nine examples of ten are pushed the same way. An error; a note where
    one output enters with the same slope wherever it is: the critic of a Wasserstein GAN is trained so, and a missing
    bend (a hinge without its maximum, a square forgotten) looks the same.

    Example:
    nn.NLLLoss on logits; binary cross-entropy with masks of 0 and 255; minus the cross-entropy.

    Remedy:
    Bring targets into the range that the loss is defined on, use the loss on logits, or mend its sign:

        loss = torch.nn.functional.cross_entropy(logits, labels)

    Reference:
    Arjovsky, Chintala and Bottou 2017 for critics; Williams 1992 for signed weights.
    """
    joint = profile.task.joint_shape
    if joint is not None and profile.task.loss_shape is None:
        yield from _bottomless_together(joint)
        return
    shape = _shape(profile)
    if not shape.unbounded:
        return
    target, output = need_target(profile), need_output(profile)
    if shape.towards is None:
        raise Lacking("the labels cannot be compared with the outputs")
    mixed = 1 - NEARLY_ALL < shape.towards < NEARLY_ALL
    if mixed and (target.kind == "classes" or (shape.growth or 0.0) > SQUARE):
        raise Lacking("the loss pushes some examples towards their label and others away, as a signed weight does")
    away = shape.towards <= 1 - NEARLY_ALL
    critic = output.units == 1 and shape.linear
    path, node = where(profile, output)
    yield Fault(
        Severity.NOTE if critic else Severity.ERROR,
        path,
        f"Moving the outputs of {shape.examples} examples along the steepest descent takes the loss from "
        f"{figure(shape.start)} to {figure(shape.lowest)}, and on in proportion to the distance.",
        shape.lowest,
        shape.start,
        _why_bottomless(profile, target, output, away),
        _mend(target, away),
        node,
    )


def _bottomless_together(shape: LossShape) -> Iterator[Fault]:
    """The finding for a loss of several outputs."""
    if shape.growth is None:
        return
    if shape.growth <= SQUARE:
        raise Lacking("the loss falls in proportion to several outputs, as one with a signed weight does")
    yield Fault(
        Severity.ERROR,
        "",
        f"Moving all outputs of {shape.examples} examples along the steepest descent takes the loss down without end, "
        "ever faster.",
        shape.growth,
        SQUARE,
        "A term of the loss rewards large outputs more than in proportion: its sign is turned.",
        edit("Turn the sign of the term.", "loss = error + divergence"),
    )


def _why_bottomless(profile: Profile, target: TargetFacts, output: OutputFacts, away: bool) -> str:
    if away:
        return "The descent moves outputs away from their targets: the sign of the loss, or of a term in it, is turned."
    if profile.task.loss is not None and profile.task.loss.kind in ("bce", "bce_logits") and target.maximum > 1:
        return (
            f"The loss is defined for targets from 0 to 1; these lie between {figure(target.minimum)} and "
            f"{figure(target.maximum)}, so that growing outputs are rewarded without end."
        )
    if target.kind == "classes" and not output.function:
        return "The outputs enter as they are, without the log-softmax that would bound them."
    return "The outputs enter in proportion: nothing in the loss, and no function of the model, bounds them."


def _mend(target: TargetFacts, away: bool) -> Remedy:
    if away:
        return edit("Turn the sign of the loss.", "loss = -loss")
    if target.kind == "classes":
        return edit("Use the loss that takes logits.", on_logits(target))
    if target.minimum >= 0:
        return edit("Bring the targets into [0, 1].", "target = target / target.max()")
    return edit("Use a loss with a minimum at the target.", phrase("a squared error"))


@rule("GS515", "The loss is lowest elsewhere than at the target")
def lowest_elsewhere(profile: Profile) -> Iterator[Fault]:
    """Outputs that are free to move end where the loss is lowest, and that is not at their targets.

    What it does:
    Moves the outputs of a few examples, as free variables, to the lowest loss. Compares the ends with the targets:
    whether different targets lead to different ends; whether ends and targets run against each other; whether a last
    sigmoid or softmax could give the targets themselves, and the loss there is higher; whether a label's class ends
    lowest; whether equal logits have as low a loss as any.

    Why it matters:
    A perfect optimizer then reaches the wrong answer.

    Null hypothesis:
    Ends follow targets. Label smoothing and margins move the ends a little, and to the right side.

    Bound and where it comes from:
    Different targets lead to ends that differ by less than 5 % of the distance moved, and correlate with the targets
    below 0.9; or ends and targets correlate below -0.9; or the targets can be given, cost at least 5 % more than the
    ends, and lie half a standard deviation of the targets away from them; or, behind a softmax, the own class ends
    lowest for nine examples of ten; or a loss on classes gains less than 5 % of its value beyond equal logits; or the
    units of one example end at one value, to 5 % of the spread of its targets. An error.

    Example:
    F.kl_div of probabilities instead of log-probabilities; (N, 1) outputs against (N,) targets.

    Remedy:
    Give the loss what it is defined for:

        loss = F.kl_div(F.log_softmax(logits, dim=1), target, reduction="batchmean")

    Reference:
    Gneiting and Raftery 2007, Strictly proper scoring rules, prediction, and estimation.
    """
    shape, output = _probed(profile), need_output(profile)
    if shape.unbounded:
        return
    found = _uninformed(profile, shape) or (_elsewhere(shape, output) if shape.reads_target else None)
    if found is None and not shape.reads_target:
        raise Lacking(_UNREAD)
    if found is None:
        return
    evidence, measured, bound, cause = found
    path, node = where(profile, output)
    code = phrase("a divergence of probabilities") if output.function == "softmax" else phrase("a loss of equal shapes")
    yield Fault(
        Severity.ERROR,
        path,
        evidence,
        measured,
        bound,
        cause,
        edit("Give the loss what it is defined for.", code),
        node,
    )


def _elsewhere(shape: LossShape, output: OutputFacts) -> tuple[str, float, float, str] | None:
    """Evidence, figure, bound and cause of the first sign that outputs do not end at their targets."""
    follows = shape.correlation is not None and shape.correlation >= FOLLOWED
    if shape.responds is not None and shape.responds < UNMOVED and not follows:
        return (
            f"Outputs of {shape.examples} examples with different targets all end at the same values: their spread is "
            f"{figure(shape.responds)} of the distance moved.",
            shape.responds,
            UNMOVED,
            "The loss compares every output with every target, or does not read the targets.",
        )
    if shape.at_target is not None and shape.distance is not None and shape.distance > APART:
        gained = shape.at_target - shape.lowest
        if gained > LOWER * (max(shape.start, shape.at_target) - shape.lowest):
            return (
                f"The loss is {figure(shape.at_target)} where the outputs equal the targets, and "
                f"{figure(shape.lowest)} elsewhere, {figure(shape.distance)} standard deviations of the targets away.",
                shape.at_target,
                shape.lowest,
                f"The loss takes something else than the {output.function or 'values'} that the model returns.",
            )
    if shape.alike is not None and shape.alike < UNMOVED:
        return (
            "Where the loss is lowest, all outputs of one example have the same value, and its targets have not: the "
            f"spread of the ones is {figure(shape.alike)} of that of the others.",
            shape.alike,
            UNMOVED,
            "The loss compares every output of an example with all of its targets.",
        )
    if shape.correlation is not None and shape.correlation <= -FOLLOWED:
        return (
            f"Where the loss is lowest, outputs and targets have a correlation of {figure(shape.correlation)}.",
            shape.correlation,
            FOLLOWED,
            "The sign of the loss, or of a similarity in it, is turned.",
        )
    exclusive = output.function in ("softmax", "log_softmax")
    if exclusive and output.units > 2 and shape.own_rank is not None and shape.own_rank < 1 - NEARLY_ALL:
        return (
            "Where the loss is lowest, the class of the label has the smallest probability of all.",
            shape.own_rank,
            1 - NEARLY_ALL,
            "The sign of the loss is turned.",
        )
    return None


def _uninformed(profile: Profile, shape: LossShape) -> tuple[str, float, float, str] | None:
    """Evidence that outputs which know nothing of the example are as good as any, for class labels of several kinds."""
    loss, target = need_loss(profile), need_target(profile)
    several = target.kind == "classes" and (target.classes or 0) > 1 and loss.kind == "cross_entropy"
    if not several or shape.uninformed is None or not shape.uninformed > 0:
        return None
    gained = shape.uninformed - shape.lowest
    if gained > LOWER * shape.uninformed:
        return None
    return (
        f"Equal logits have a loss of {figure(shape.uninformed)}, and moving the outputs freely leads to "
        f"{figure(shape.lowest)} at the lowest.",
        shape.lowest,
        shape.uninformed,
        "Labels are smoothed away, weighted by zero, or masked: no output is better than one that knows nothing.",
    )


@rule("GS516", "The loss is flat where the outputs are")
def plateau(profile: Profile) -> Iterator[Fault]:
    """The outputs start on a plateau of the loss, far above its lowest value.

    What it does:
    Takes the slope of the loss by the outputs at the start, and the steepest slope on the way to the lowest loss.

    Why it matters:
    Every gradient of the network carries this factor: the whole network learns as much more slowly, although each layer
    passes its gradient on.

    Null hypothesis:
    The loss is steepest where the error is largest, or nearly so: cross-entropy on logits, squared and absolute errors.

    Bound and where it comes from:
    A thousandth of the steepest slope, while a tenth of the loss could be gained: a warning. A factor of 1000 is the
    window of useful relative steps above their usual size.

    Example:
    A squared error behind a sigmoid whose argument is -20 for all examples.

    Remedy:
    Use the loss that is steep where the error is large, on logits:

        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)

    Reference:
    Solla, Levin and Fleisher 1988, Accelerated learning in layered neural networks.
    """
    shape = _shape(profile)
    gain = shape.start - shape.lowest
    comparable = shape.towards is not None or shape.slope == 0
    if shape.unbounded or not comparable or gain <= WORTH * abs(shape.start) or shape.slope >= FLAT * shape.steepest:
        return
    output = need_output(profile)
    path, node = where(profile, output)
    saturated = output.function in PROBABILITIES | {"tanh"}
    cause = (
        f"The {output.function} at the output is saturated, and this loss does not undo its slope."
        if saturated
        else "The loss gives up where the error is large, and the outputs start there."
    )
    yield Fault(
        Severity.WARNING,
        path,
        f"The slope of the loss by the outputs is {figure(shape.slope)}; on the way from {figure(shape.start)} to "
        f"{figure(shape.lowest)} it reaches {figure(shape.steepest)}.",
        shape.slope / shape.steepest,
        FLAT,
        cause,
        edit(
            "Use the loss on logits, or scale outputs and targets to where the loss is steep.",
            phrase("a binary loss on logits") if saturated else "target = (target - target.mean()) / target.std()",
        ),
        node,
    )
