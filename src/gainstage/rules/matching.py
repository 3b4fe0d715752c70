"""GS504 to GS512: whether what the model returns is what the loss expects and the target allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from gainstage.graph import Node, Operation, Role, nearest_before
from gainstage.records import OutputFacts, Profile, Severity
from gainstage.rules.flow import CARRIERS
from gainstage.rules.need import need_loss, need_output, need_target
from gainstage.rules.remedies import edit
from gainstage.rules.table import Fault, rule
from gainstage.rules.words import figure

__all__: list[str] = []

_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "sigmoid": (0.0, 1.0),
        "hardsigmoid": (0.0, 1.0),
        "softmax": (0.0, 1.0),
        "tanh": (-1.0, 1.0),
        "hardtanh": (-1.0, 1.0),
        "erf": (-1.0, 1.0),
        "softsign": (-1.0, 1.0),
        "relu": (0.0, math.inf),
        "relu6": (0.0, 6.0),
        "softplus": (0.0, math.inf),
        "exp": (0.0, math.inf),
        "square": (0.0, math.inf),
        "log_softmax": (-math.inf, 0.0),
        "logsigmoid": (-math.inf, 0.0),
    }
)
"""Where the values of an output activation lie."""
_PROBABILITIES = frozenset({"softmax", "sigmoid", "hardsigmoid"})
_LOG_PROBABILITIES = frozenset({"log_softmax", "logsigmoid", "log", "log_sigmoid"})
_ON_LOGITS = frozenset({"relu", "relu6", "tanh", "hardtanh", "softplus", "softsign", "erf", "exp"})
_REGRESSION = frozenset({"mse", "l1", "huber"})


def _last(profile: Profile, output: OutputFacts) -> Node | None:
    """The last activation or softmax on the way out."""
    found = nearest_before(profile.graph, output.node, _shapes, through=CARRIERS)
    return profile.graph.nodes[found[0]] if len(found) == 1 else None


def _shapes(node: Node) -> bool:
    return node.operation in (Operation.ACTIVATION, Operation.SOFTMAX)


def _direct(profile: Profile, output: OutputFacts, *also: Operation) -> bool:
    """Whether nothing but shaping (and what is named) lies behind the last activation."""
    through = frozenset({Operation.RESHAPE, Operation.DROPOUT, *also})
    return bool(nearest_before(profile.graph, output.node, _shapes, through=through))


def _where(profile: Profile, output: OutputFacts) -> tuple[str, int]:
    node = _last(profile, output)
    return (node.path, node.index) if node is not None else ("", output.node)


@rule("GS504", "Softmax before a loss that applies it itself")
def double_softmax(profile: Profile) -> Iterator[Fault]:
    """The model returns probabilities to a cross-entropy that expects logits and takes their softmax again.

    What it does:
    Looks for a softmax or log-softmax at the end of the model when the loss runs a log-softmax of its own.

    Why it matters:
    Numbers between 0 and 1 are nearly equal logits: with C classes the loss cannot fall below log(1 + (C − 1)/e), which is
    1.46 for 10 classes and 5.9 for 1000, and the gradient has to pass two softmaxes. A log-softmax twice changes nothing
    and is a note.

    Null hypothesis:
    A cross-entropy works on unbounded logits. A softmax whose loss takes the logarithm of probabilities is right.

    Bound and where it comes from:
    None: it is a question of structure. The floor of the loss is given as evidence.

    Example:
    nn.Sequential(..., nn.Linear(128, 10), nn.Softmax(dim=1)) with nn.CrossEntropyLoss.

    Remedy:
    Return logits:

        # remove nn.Softmax(dim=1) at the end: nn.CrossEntropyLoss applies it

    Reference:
    PyTorch, nn.CrossEntropyLoss: "the input is expected to contain the unnormalized logits".
    """
    loss, output = need_loss(profile), need_output(profile)
    if loss.kind != "cross_entropy" or output.function not in ("softmax", "log_softmax") or output.units < 2:
        return
    path, node = _where(profile, output)
    if output.function == "log_softmax":
        yield Fault(
            Severity.NOTE, path, "The model returns log-probabilities, and the loss takes their log-softmax again.",
            1.0, 0.0, "The second log-softmax changes nothing: it costs time alone.",
            edit("Return logits, or use the loss for log-probabilities.", "torch.nn.NLLLoss()"), node,
        )  # fmt: skip
        return
    floor = math.log(1 + (output.units - 1) / math.e)
    yield Fault(
        Severity.WARNING,
        path,
        f"The model ends with a softmax and the loss applies another: with {output.units} classes it cannot fall below "
        f"{figure(floor)} (it starts at {figure(loss.value)}).",
        floor,
        0.0,
        "The loss expects logits of any size and gets numbers between 0 and 1.",
        edit(
            "Return logits: the loss applies the softmax.", "# remove nn.Softmax(dim=1): nn.CrossEntropyLoss applies it"
        ),
        node,
    )


@rule("GS505", "A softmax over a single unit")
def softmax_of_one(profile: Profile) -> Iterator[Fault]:
    """The output has one unit and a softmax is taken over it, which is always one.

    What it does:
    Looks for a softmax over an axis of size one at the output, and for a softmax loss on an output of one unit.

    Why it matters:
    The result is 1 whatever the input; the loss is constant and every gradient exactly zero.

    Null hypothesis:
    A softmax chooses between at least two units; one unit takes a sigmoid.

    Bound and where it comes from:
    One unit. It cannot train.

    Example:
    nn.Linear(64, 1) followed by nn.Softmax(dim=1) for two classes.

    Remedy:
    One unit with a binary loss on logits, or two units:

        loss = torch.nn.BCEWithLogitsLoss()      # on the output of nn.Linear(64, 1)

    Reference:
    Goodfellow, Bengio and Courville 2016, Deep Learning, section 6.2.2.2.
    """
    output = need_output(profile)
    loss = profile.task.loss
    node = _last(profile, output)
    alone = False
    if node is not None and node.operation is Operation.SOFTMAX:
        axis = int(dict(node.settings).get("axis", len(node.shape) - 1))
        alone = 0 <= axis < len(node.shape) and node.shape[axis] == 1
    if loss is not None and loss.kind in ("cross_entropy", "nll") and output.units == 1:
        alone = True
    if alone:
        yield Fault(
            Severity.ERROR,
            node.path if node is not None else "",
            "A softmax is taken over one unit, so that the output is 1 and the gradient zero whatever the input.",
            1.0,
            2.0,
            "One number has nothing to be compared with.",
            edit("Use a binary loss on the one logit, or one unit a class.", "loss = torch.nn.BCEWithLogitsLoss()"),
            node.index if node is not None else output.node,
        )


@rule("GS506", "An activation on the logits")
def activation_on_logits(profile: Profile) -> Iterator[Fault]:
    """Logits pass an activation that takes away part of their range.

    What it does:
    Looks for relu, tanh and their like between the output layer and a loss that expects logits.

    Why it matters:
    A relu gives every class it dislikes the same logit 0 and no gradient to any class that is below it; a tanh keeps
    logits within ±1, and with them the probabilities near 1/C.

    Null hypothesis:
    Logits are the plain output of the last layer. Where a mean over positions lies between, a relu only shifts them: a
    note. A tanh that is scaled up again caps them softly, which is meant.

    Bound and where it comes from:
    None: it is a question of structure.

    Example:
    nn.Sequential(..., nn.Linear(128, 10), nn.ReLU()) with nn.CrossEntropyLoss.

    Remedy:
    Take it away:

        # remove the activation behind the last nn.Linear

    Reference:
    Goodfellow, Bengio and Courville 2016, Deep Learning, section 6.2.2.
    """
    loss, output = need_loss(profile), need_output(profile)
    if loss.kind not in ("cross_entropy", "bce_logits") or output.function not in _ON_LOGITS:
        return
    averaged = not _direct(profile, output)
    if averaged and not _direct(profile, output, Operation.POOLING, Operation.REDUCTION):
        return  # scaled up again: a soft cap
    path, node = _where(profile, output)
    low, high = _RANGES.get(output.function, (-math.inf, math.inf))
    yield Fault(
        Severity.NOTE if averaged else Severity.WARNING,
        path,
        f"The logits pass {output.function} and lie between {figure(low)} and {figure(high)}.",
        1.0,
        0.0,
        f"{output.function} belongs between layers; the loss expects logits of either sign and any size.",
        edit("Take the activation off the output.", f"# remove the {output.function} behind the last layer"),
        node,
    )


@rule("GS507", "The output cannot reach the targets")
def out_of_range(profile: Profile) -> Iterator[Fault]:
    """The last activation is bounded, and targets lie beyond its bounds.

    What it does:
    For regression losses, compares the range of the last activation with the smallest and the largest target.

    Why it matters:
    Targets outside are never reached; on the way there the activation saturates (or its units die, with a relu) and sends
    no gradient back.

    Null hypothesis:
    Targets lie within the range of the output activation, or there is none.

    Bound and where it comes from:
    The bounds of the activation, with 1 % of its range for targets that touch them. An error when the mean of the targets
    is outside too.

    Example:
    A sigmoid output and targets in thousands; a relu output and standardised targets.

    Remedy:
    No activation at the output of a regression, or targets scaled into its range:

        # remove the activation behind the last nn.Linear

    Reference:
    Goodfellow, Bengio and Courville 2016, Deep Learning, section 6.2.2.1.
    """
    loss, output, target = need_loss(profile), need_output(profile), need_target(profile)
    if loss.kind not in _REGRESSION or output.function not in _RANGES or not _direct(profile, output):
        return
    low, high = _RANGES[output.function]
    slack = 0.01 * (high - low) if math.isfinite(high - low) else 0.01 * max(target.spread, 1e-12)
    below, above = target.minimum < low - slack, target.maximum > high + slack
    if not (below or above):
        return
    path, node = _where(profile, output)
    outside = target.mean < low or target.mean > high
    yield Fault(
        Severity.ERROR if outside else Severity.WARNING,
        path,
        f"The targets lie between {figure(target.minimum)} and {figure(target.maximum)}; {output.function} gives values from "
        f"{figure(low)} to {figure(high)}.",
        target.minimum if below else target.maximum,
        low if below else high,
        f"The output ends with {output.function}, whose range does not hold the targets.",
        edit(
            "Take the activation off the output, or scale the targets into its range.",
            f"# remove the {output.function} behind the last layer",
        ),
        node,
    )


@rule("GS508", "A sigmoid with a loss over classes")
def sigmoid_with_classes(profile: Profile) -> Iterator[Fault]:
    """The logits of exclusive classes pass a sigmoid before a cross-entropy.

    What it does:
    Looks for a sigmoid at the output when the loss takes a log-softmax over several classes.

    Why it matters:
    The softmax sees numbers between 0 and 1: the loss cannot fall below log(1 + (C − 1)/e), and the sigmoid takes three
    quarters of the gradient and more.

    Null hypothesis:
    Exclusive classes take logits and a cross-entropy; independent labels take a sigmoid and a binary loss.

    Bound and where it comes from:
    None: it is a question of structure. The floor of the loss is given as evidence.

    Example:
    return torch.sigmoid(self.head(x)) with nn.CrossEntropyLoss.

    Remedy:
    Return logits:

        # remove the sigmoid: nn.CrossEntropyLoss takes logits

    Reference:
    PyTorch, nn.CrossEntropyLoss.
    """
    loss, output = need_loss(profile), need_output(profile)
    classes = loss.kind in ("cross_entropy", "nll", "probability_nll") and output.units > 1
    if not classes or output.function not in ("sigmoid", "hardsigmoid") or not _direct(profile, output):
        return
    path, node = _where(profile, output)
    floor = math.log(1 + (output.units - 1) / math.e)
    yield Fault(
        Severity.WARNING,
        path,
        f"A sigmoid stands between the output layer and a loss over {output.units} exclusive classes; as logits its values "
        f"keep the loss above {figure(floor)}.",
        floor,
        0.0,
        "A sigmoid treats every unit on its own; the loss compares the units of one example.",
        edit("Return logits to the cross-entropy.", "# remove the sigmoid: nn.CrossEntropyLoss takes logits"),
        node,
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
    A log-softmax (or logarithms that are all negative) before nll; a sigmoid, a softmax or values within [0, 1] that come
    from elsewhere before a logarithm.

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
    loss, output = need_loss(profile), need_output(profile)
    function, low, high = output.function, output.minimum, output.maximum
    path, node = _where(profile, output)
    if loss.kind == "nll":
        negative = high is not None and high <= 0
        wrong = function not in _LOG_PROBABILITIES and (function in _PROBABILITIES or not negative)
        expects, better = "log-probabilities", "torch.nn.CrossEntropyLoss()"
    elif loss.kind in ("bce", "probability_nll"):
        within = low is not None and high is not None and low >= 0 and high <= 1
        bounded = _RANGES.get(function) == (0.0, 1.0) or (within and not _plain(profile, output))
        wrong, expects = not bounded, "probabilities"
        better = "torch.nn.BCEWithLogitsLoss()" if loss.kind == "bce" else "torch.nn.CrossEntropyLoss()"
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
        edit("Use the loss that takes logits.", f"loss = {better}"),
        node,
    )


def _plain(profile: Profile, output: OutputFacts) -> bool:
    """Whether the output is that of a weighted layer, up to shape."""
    graph = profile.graph
    found = nearest_before(graph, output.node, lambda n: n.operation not in CARRIERS, through=CARRIERS)
    return bool(found) and all(graph.nodes[i].operation.weighted for i in found)


@rule("GS510", "A sigmoid before a loss that applies it itself")
def double_sigmoid(profile: Profile) -> Iterator[Fault]:
    """The model returns probabilities to a binary loss that expects logits.

    What it does:
    Looks for a sigmoid (or softmax) at the end of the model when the loss applies a sigmoid of its own.

    Why it matters:
    The second sigmoid sees numbers between 0 and 1 and gives probabilities between 0.5 and 0.73: no negative example is
    ever recognised, and the loss of a negative label cannot fall below log 2.

    Null hypothesis:
    A binary loss on logits gets logits.

    Bound and where it comes from:
    None: it is a question of structure.

    Example:
    return torch.sigmoid(self.head(x)) with nn.BCEWithLogitsLoss.

    Remedy:
    Return logits:

        # remove the sigmoid: nn.BCEWithLogitsLoss applies it

    Reference:
    PyTorch, nn.BCEWithLogitsLoss.
    """
    loss, output = need_loss(profile), need_output(profile)
    if loss.kind != "bce_logits" or output.function not in _PROBABILITIES or not _direct(profile, output):
        return
    path, node = _where(profile, output)
    yield Fault(
        Severity.WARNING,
        path,
        f"The model ends with {output.function} and the loss applies a sigmoid to that: the probabilities it sees lie between "
        "0.5 and 0.73.",
        0.5,
        0.0,
        "The loss expects logits of any size and gets numbers between 0 and 1.",
        edit("Return logits: the loss applies the sigmoid.", "# remove the sigmoid: nn.BCEWithLogitsLoss applies it"),
        node,
    )


@rule("GS511", "Several labels an example through a softmax")
def multi_label_softmax(profile: Profile) -> Iterator[Fault]:
    """Examples have several labels at once, and a softmax makes them compete.

    What it does:
    Looks at labels of zeros and ones, several a row, whose rows do not sum to one, when the model ends with a softmax or
    the loss applies one.

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
    path, node = _where(profile, output)
    yield Fault(
        Severity.WARNING,
        path,
        f"The examples have {figure(labels)} labels on average, and a softmax lets their probabilities sum to one.",
        labels,
        1.0,
        "A softmax is for classes that exclude each other.",
        edit("Give every label a sigmoid of its own.", "loss = torch.nn.BCEWithLogitsLoss()"),
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
    More terms than elements of the larger of both: an error. All of at least 64 labels below half of the units: a note.

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
    terms = _terms(profile)
    if loss.kind in _REGRESSION | {"bce", "bce_logits"} and terms is not None and terms > most:
        yield Fault(
            Severity.ERROR,
            "",
            f"An output of shape {output.shape} and a target of shape {target.shape} give {terms} terms.",
            float(terms),
            float(most),
            "Broadcasting compares every example with every label.",
            edit("Bring output and target into one shape.", "output = output.squeeze(-1)"),
            output.node,
        )
    flat = target.kind == "classes" and len(target.shape) == 1 and target.shape[0] >= 64
    if flat and loss.kind in ("cross_entropy", "nll") and target.maximum + 1 < output.units / 2:
        head = next((p.path for p in profile.graph.parameters if p.role is Role.HEAD), "")
        yield Fault(
            Severity.NOTE,
            head,
            f"The output has {output.units} units and the largest of {target.shape[0]} labels is {figure(target.maximum)}.",
            float(output.units),
            2 * (target.maximum + 1),
            "Most units have no class in this batch.",
            edit("Give the output one unit a class.", f"nn.Linear(features, {int(target.maximum) + 1})"),
            output.node,
        )


def _terms(profile: Profile) -> int | None:
    """How many terms an elementwise loss sums."""
    sizes = []
    for node in profile.graph.nodes:
        counted = dict(node.settings).get("terms")
        if counted is not None:
            sizes.append(int(counted))
        elif node.stage == "loss" and node.shape:
            sizes.append(math.prod(node.shape))
    return max(sizes, default=None)
