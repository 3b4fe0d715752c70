"""GS504 to GS506, GS508 and GS510: an activation between the output layer and its loss."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Operation
from gainstage.records import LossFacts, OutputFacts, Profile, Severity
from gainstage.rules.need import need_loss, need_output
from gainstage.rules.outgoing import PROBABILITIES, RANGES, is_direct, last_function, where
from gainstage.rules.remedies import Phrase, edit, phrase
from gainstage.rules.table import Fault, rule
from gainstage.rules.words import figure

__all__: list[str] = []

_ON_LOGITS = frozenset({"relu", "relu6", "tanh", "hardtanh", "softplus", "softsign", "erf", "exp"})


@rule("GS504", "Softmax before a loss that applies it itself")
def double_softmax(profile: Profile) -> Iterator[Fault]:
    """The model returns probabilities to a cross-entropy that expects logits and takes their softmax again.

    What it does:
    Looks for a softmax or log-softmax at the end of the model when the loss runs a log-softmax of its own.

    Why it matters:
    Numbers between 0 and 1 are nearly equal logits: with C classes the loss cannot fall below log(1 + (C − 1)/e),
    which is 1.46 for 10 classes and 5.9 for 1000, and the gradient has to pass two softmaxes. A log-softmax twice
    changes nothing and is a note.

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
    path, node = where(profile, output)
    if output.function == "log_softmax":
        yield Fault(
            Severity.NOTE, path, "The model returns log-probabilities, and the loss takes their log-softmax again.",
            1.0, 0.0, "The second log-softmax changes nothing: it costs time alone.",
            edit("Return logits, or use the loss for log-probabilities.", phrase("a loss of log-probabilities")), node,
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
            "Return logits: the loss applies the softmax.",
            phrase("no softmax before a loss that applies it", units=output.units),
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
    node = last_function(profile, output)
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
            edit("Use a binary loss on the one logit, or one unit a class.", phrase("one unit with a sigmoid")),
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
    averaged = not is_direct(profile, output)
    if averaged and not is_direct(profile, output, Operation.POOLING, Operation.REDUCTION):
        return  # scaled up again: a soft cap
    path, node = where(profile, output)
    low, high = RANGES.get(output.function, (-math.inf, math.inf))
    yield Fault(
        Severity.NOTE if averaged else Severity.WARNING,
        path,
        f"The logits pass {output.function} and lie between {figure(low)} and {figure(high)}.",
        1.0,
        0.0,
        f"{output.function} belongs between layers; the loss expects logits of either sign and any size.",
        edit(
            "Take the activation off the output.",
            phrase("the last layer without its activation", function=output.function, units=output.units),
        ),
        node,
    )


@rule("GS508", "A sigmoid with a loss over classes")
def sigmoid_with_classes(profile: Profile) -> Iterator[Fault]:
    """The logits of exclusive classes pass a sigmoid before a cross-entropy.

    What it does:
    Looks for a sigmoid at the output when the loss takes a log-softmax over several classes.

    Why it matters:
    The softmax sees numbers between 0 and 1: the loss cannot fall below log(1 + (C − 1)/e), and the sigmoid takes
    three quarters of the gradient and more.

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
    if not classes or output.function not in ("sigmoid", "hardsigmoid") or not is_direct(profile, output):
        return
    path, node = where(profile, output)
    floor = math.log(1 + (output.units - 1) / math.e)
    yield Fault(
        Severity.WARNING,
        path,
        f"A sigmoid stands between the output layer and a loss over {output.units} exclusive classes; as logits its "
        f"values keep the loss above {figure(floor)}.",
        floor,
        0.0,
        "A sigmoid treats every unit on its own; the loss compares the units of one example.",
        edit("Let the classes share a softmax, in the model or in the loss.", _no_sigmoid(loss, output)),
        node,
    )


def _no_sigmoid(loss: LossFacts, output: OutputFacts) -> Phrase:
    meaning = "no sigmoid before a softmax" if loss.kind == "cross_entropy" else "a softmax instead of a sigmoid"
    return phrase(meaning, units=output.units)


@rule("GS510", "A sigmoid before a loss that applies it itself")
def double_sigmoid(profile: Profile) -> Iterator[Fault]:
    """The model returns probabilities to a binary loss that expects logits.

    What it does:
    Looks for a sigmoid (or softmax) at the end of the model when the loss applies a sigmoid of its own.

    Why it matters:
    The second sigmoid sees numbers between 0 and 1 and gives probabilities between 0.5 and 0.73: no negative example
    is ever recognised, and the loss of a negative label cannot fall below log 2.

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
    if loss.kind != "bce_logits" or output.function not in PROBABILITIES or not is_direct(profile, output):
        return
    path, node = where(profile, output)
    yield Fault(
        Severity.WARNING,
        path,
        f"The model ends with {output.function} and the loss applies a sigmoid to that: the probabilities it sees "
        "lie between "
        "0.5 and 0.73.",
        0.5,
        0.0,
        "The loss expects logits of any size and gets numbers between 0 and 1.",
        edit(
            "Return logits: the loss applies the sigmoid.",
            phrase("no sigmoid before a loss that applies it", units=output.units),
        ),
        node,
    )
