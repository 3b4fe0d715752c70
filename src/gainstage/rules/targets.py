"""GS507, GS509, GS511 and GS512: whether the output can be what the loss and the target ask for."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Operation, Role, nearest_after
from gainstage.graph.groups import COPYING
from gainstage.records import LossFacts, OutputFacts, Profile, Remedy, Severity
from gainstage.rules.need import need_loss, need_output, need_target
from gainstage.rules.outgoing import (
    PROBABILITIES,
    RANGES,
    REGRESSION,
    is_direct,
    is_plain,
    is_regression,
    last_function,
    where,
)
from gainstage.rules.remedies import edit, on_logits, phrase
from gainstage.rules.table import Fault, rule
from gainstage.rules.words import figure

__all__: list[str] = []

_LOG_PROBABILITIES = frozenset({"log_softmax", "logsigmoid", "log"})


@rule("GS507", "The output cannot reach the targets")
def out_of_range(profile: Profile) -> Iterator[Fault]:
    """The last activation is bounded, and targets lie beyond its bounds.

    What it does:
    For regression losses, and for binary losses on probabilities, compares the range of the last activation with the
    smallest and the largest target.

    Why it matters:
    Targets outside are never reached; on the way there the activation saturates (or its units die, with a relu) and
    sends no gradient back.

    Null hypothesis:
    Targets lie within the range of the output activation, or there is none.

    Bound and where it comes from:
    The bounds of the activation, with 1 % of its range for targets that touch them. An error when the mean of the
    targets is outside too.

    Example:
    A sigmoid output and targets in thousands; a relu output and standardised targets.

    Remedy:
    No activation at the output of a regression, or targets scaled into its range:

        # remove the activation behind the last nn.Linear

    Reference:
    Goodfellow, Bengio and Courville 2016, Deep Learning, section 6.2.2.1.
    """
    loss, output, target = need_loss(profile), need_output(profile), need_target(profile)
    bounded = output.function in RANGES or output.function == "clamp"
    if not (is_regression(profile, loss, target) or loss.kind == "bce") or not bounded:
        return
    if not is_direct(profile, output):
        return
    low, high = _bounds(profile, output)
    slack = 0.01 * (high - low) if math.isfinite(high - low) else 0.01 * max(target.spread, 1e-12)
    below, above = target.minimum < low - slack, target.maximum > high + slack
    if not (below or above):
        return
    path, node = where(profile, output)
    outside = target.mean < low or target.mean > high
    yield Fault(
        Severity.ERROR if outside else Severity.WARNING,
        path,
        f"The targets lie between {figure(target.minimum)} and {figure(target.maximum)}; {output.function} gives "
        "values from "
        f"{figure(low)} to {figure(high)}.",
        target.minimum if below else target.maximum,
        low if below else high,
        f"The output ends with {output.function}, whose range does not hold the targets.",
        _within_range(loss, output),
        node,
    )


def _bounds(profile: Profile, output: OutputFacts) -> tuple[float, float]:
    """Return the range of the last function: from its arguments, else from its kind."""
    node = last_function(profile, output)
    low, high = RANGES.get(output.function, (-math.inf, math.inf))
    if node is None:
        return low, high
    factor, here = 1.0, profile.graph.nodes[output.node]
    while here.index != node.index and here.inputs:  # a factor behind it
        factor *= here.setting("other", 1.0) if here.operation is Operation.SCALE else 1.0
        here = profile.graph.nodes[here.inputs[0]]
    ends = factor * node.setting("min_val", low), factor * node.setting("max_val", high)
    return min(ends), max(ends)


def _within_range(loss: LossFacts, output: OutputFacts) -> Remedy:
    if loss.kind == "bce":
        return edit(
            "A binary loss takes labels from 0 to 1: scale them, or give class numbers one unit each and a softmax.",
            on_logits(None),
        )
    return edit(
        "Take the activation off the output, or scale the targets into its range.",
        phrase("the last layer without its activation", function=output.function, units=output.units),
    )


@rule("GS509", "The loss takes the logarithm of something that is no probability")
def not_a_probability(profile: Profile) -> Iterator[Fault]:
    """A loss on (log-)probabilities gets something else.

    What it does:
    Looks at what the model ends with when the loss is nll (expects log-probabilities), a binary cross-entropy without
    sigmoid, or minus the logarithm of a probability.

    Why it matters:
    nll of plain outputs has no lower bound: the outputs run off. The logarithm of an output below zero is NaN.

    Null hypothesis:
    A log-softmax (or logarithms that are all negative) before nll; a sigmoid, a softmax or values within [0, 1] that
    come from elsewhere before a logarithm.

    Bound and where it comes from:
    None: it is a question of structure, and of the range that was measured. An error.

    Example:
    nn.NLLLoss()(self.head(x), y) without log_softmax.

    Remedy:
    Use the loss that works on logits:

        loss = torch.nn.CrossEntropyLoss()       # or torch.nn.BCEWithLogitsLoss()

    Reference:
    PyTorch, nn.NLLLoss and nn.BCELoss.
    """
    loss, output, target = need_loss(profile), need_output(profile), profile.task.target
    function, low, high = output.function, output.minimum, output.maximum
    path, node = where(profile, output)
    if loss.kind == "nll":
        negative = high is not None and high <= 0
        wrong = function not in _LOG_PROBABILITIES and (function in PROBABILITIES or not negative)
        expects, better = "log-probabilities", on_logits(target)
    elif loss.kind in ("bce", "probability_nll"):
        within = low is not None and high is not None and low >= 0 and high <= 1
        bounded = RANGES.get(function) == (0.0, 1.0) or (within and not is_plain(profile, output))
        wrong, expects = not bounded, "probabilities"
        better = phrase("a binary loss on logits") if loss.kind == "bce" else on_logits(target)
    else:
        return
    if not wrong:
        return
    shown = f"the model ends with {function}" if function else "it gets the plain output of the last layer"
    extent = (
        f" The values lie between {figure(low)} and {figure(high)}." if low is not None and high is not None else ""
    )
    yield Fault(
        Severity.ERROR,
        path,
        f"The loss expects {expects}; {shown}.{extent}",
        (high if loss.kind == "nll" else low) or 0.0,
        0.0,
        "Between the last layer and this loss an activation is missing, or the loss is the wrong one.",
        edit("Use the loss that takes logits.", better),
        node,
    )


@rule("GS511", "Several labels an example through a softmax")
def multi_label_softmax(profile: Profile) -> Iterator[Fault]:
    """Examples have several labels at once, and a softmax makes them compete.

    What it does:
    Looks at labels of zeros and ones, several a row, whose rows do not sum to one, when the model ends with a softmax
    or the loss applies one.

    Why it matters:
    Probabilities that sum to one cannot say yes twice: with k labels each gets at most 1/k, and an example without
    labels has no answer at all.

    Null hypothesis:
    Labels that do not exclude each other take one sigmoid each.

    Bound and where it comes from:
    None: it is a question of structure.

    Example:
    Tags of pictures as zeros and ones with nn.CrossEntropyLoss.

    Remedy:
    One sigmoid a label:

        loss = torch.nn.BCEWithLogitsLoss()

    Reference:
    Goodfellow, Bengio and Courville 2016, Deep Learning, section 6.2.2.
    """
    loss, output, target = need_loss(profile), need_output(profile), need_target(profile)
    competing = loss.kind in ("cross_entropy", "nll", "probability_nll", "kl") or output.function == "softmax"
    if target.kind != "multi_label" or not competing:
        return
    labels = target.mean * (target.shape[-1] if target.shape else 1)
    path, node = where(profile, output)
    yield Fault(
        Severity.WARNING,
        path,
        f"The examples have {figure(labels)} labels on average, and a softmax lets their probabilities sum to one.",
        labels,
        1.0,
        "A softmax is for classes that exclude each other.",
        edit("Give every label a sigmoid of its own.", phrase("one sigmoid a label", units=output.units)),
        node,
    )


@rule("GS512", "The sizes of output and target do not match")
def sizes(profile: Profile) -> Iterator[Fault]:
    """Output and target have shapes that broadcasting makes fit, or far more units than classes.

    What it does:
    For losses that work element by element, compares the number of terms with the sizes of output and target. For
    classes, compares the number of units with the largest label.

    Why it matters:
    (N, 1) against (N,) compares every example with every label: the loss is then least when all outputs are the mean.
    Units without a class cost little, but often mean that the wrong labels or the wrong head is in use.

    Null hypothesis:
    As many terms as elements. With C equally likely classes all of N labels are in the lower half with probability
    2^-N.

    Bound and where it comes from:
    More terms than elements of the larger of both: an error. All of at least 64 labels below half of the units: a
    note.

    Example:
    F.mse_loss(model(x), y) with an output (32, 1) and labels (32,).

    Remedy:
    Bring both into one shape:

        loss = F.mse_loss(model(x).squeeze(-1), y)

    Reference:
    PyTorch, Broadcasting semantics.
    """
    loss, output, target = need_loss(profile), need_output(profile), need_target(profile)
    most = max(math.prod(output.shape), math.prod(target.shape))
    terms = _terms(profile, output)
    if loss.kind in REGRESSION | {"bce", "bce_logits"} and terms is not None and terms > most:
        yield Fault(
            Severity.ERROR,
            "",
            f"An output of shape {output.shape} and a target of shape {target.shape} give {terms} terms.",
            float(terms),
            float(most),
            "Broadcasting compares every example with every label.",
            edit("Bring output and target into one shape.", phrase("output and target of one shape")),
            output.node,
        )
    flat = target.kind == "classes" and len(target.shape) == 1 and target.shape[0] >= 64
    if flat and loss.kind in ("cross_entropy", "nll") and target.maximum + 1 < output.units / 2:
        head = next((p.path for p in profile.graph.parameters if p.role is Role.HEAD), "")
        yield Fault(
            Severity.NOTE,
            head,
            f"The output has {output.units} units and the largest of {target.shape[0]} labels is "
            f"{figure(target.maximum)}.",
            float(output.units),
            2 * (target.maximum + 1),
            "Most units have no class in this batch.",
            edit("Give the output one unit a class.", phrase("a layer of units", units=int(target.maximum) + 1)),
            output.node,
        )


def _terms(profile: Profile, output: OutputFacts) -> int | None:
    """Count the terms of an elementwise loss: the size of the first operation that reads both output and target."""
    sizes = []
    for index in nearest_after(profile.graph, output.node, lambda n: n.operation not in COPYING, through=COPYING):
        node = profile.graph.nodes[index]
        counted = dict(node.settings).get("terms")
        if counted is not None:
            sizes.append(int(counted))
        elif node.stage == "loss" and node.shape:
            sizes.append(math.prod(node.shape))
    return max(sizes, default=None)
