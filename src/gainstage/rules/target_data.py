"""GS605 and GS608: targets that hold nothing to learn, or that the input holds already."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.records import Profile, Severity
from gainstage.rules.need import need_examples, need_loss, need_output, need_target
from gainstage.rules.outgoing import is_direct, is_plain
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure

__all__: list[str] = []

ENOUGH = 16  # examples: two equally likely classes are one class so often by chance with probability 2^-15
DISTANCES = frozenset({"mse", "l1", "huber"})
SAME = 0.95  # of the labels


@rule("GS605", "All targets are the same")
def constant_targets(profile: Profile) -> Iterator[Fault]:
    """Every example of the batch has the same target.

    What it does:
    Compares the targets of a batch of at least 16 examples.

    Why it matters:
    A constant output is a perfect answer: the network learns its last bias, and nothing about the input.

    Null hypothesis:
    Sixteen examples of two equally likely classes are all of one class with a probability of 1 / 32,768; measured
    values never coincide. Logits that were compared beforehand may have the right one in a fixed place, and are not
    those of a layer. A constant is meant where something else than the target judges the output: a critic that is
    frozen, or a derivative of the model that an equation sets to zero. One output that is to be one everywhere is half
    of an adversary's step.

    Bound and where it comes from:
    Exactly equal. A warning for classes and for distances of several outputs; a note for one output.

    Example:
    A data set sorted by class that is not shuffled; boxes that were lost while loading.

    Remedy:
    Look at the labels of one batch, and shuffle the training set:

        loader = DataLoader(data, batch_size=64, shuffle=True)

    Reference:
    Karpathy 2019, A Recipe for Training Neural Networks ("become one with the data").
    """
    need_examples(profile, ENOUGH)
    loss, output, target = need_loss(profile), need_output(profile), need_target(profile)
    classes = target.kind == "classes"
    compared = (classes and output.units > 1) or (loss.kind in DISTANCES and target.shape == output.shape)
    if target.minimum != target.maximum or not compared or profile.task.joint_shape is not None:
        return
    frozen = any(not p.trainable for p in profile.graph.parameters)
    own = is_plain(profile, output) or (output.function and is_direct(profile, output))
    if frozen or not own:
        raise Lacking("something else than the target may judge the output: frozen weights, or a derivative")
    yield Fault(
        Severity.WARNING if classes or output.units > 1 else Severity.NOTE,
        "",
        f"All targets of {profile.task.examples} examples are {figure(target.minimum)}.",
        0.0,
        0.0,
        "The data are sorted by their targets, or the targets were lost.",
        edit("Look at the targets of one batch, and shuffle the training set.", phrase("a shuffled data set")),
    )


@rule("GS608", "The target can be read off the input")
def leaked(profile: Profile) -> Iterator[Fault]:
    """The output of a position sees the very token that is its label.

    What it does:
    Looks for labels that are the tokens of the input, shifted by one position or not at all. Finds the output that a
    label is compared with (whose gradient changes with that label), changes the token that the label equals, and looks
    whether that output changes.

    Why it matters:
    The loss falls to zero by copying. In use, where the next token is not known, nothing has been learned.

    Null hypothesis:
    Next tokens are told from the ones before. Masked tokens are replaced in the input, so that labels and input differ.
    A sequence that is rebuilt from a code of the whole of it depends on every token at every position, and is not
    judged; a token that is asked for later than it was shown is no leak.

    Bound and where it comes from:
    95 % of the labels are such tokens, and the output changes by more than a thousandth: a warning, since the loss
    falls, and to no use.

    Example:
    Attention without a causal mask; labels = tokens where nothing shifts them.

    Remedy:
    Hide what comes later, and shift the labels:

        loss = cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:])

    Reference:
    Kaufman et al. 2012, Leakage in Data Mining.
    """
    need_loss(profile)
    if profile.reactions is None or profile.reactions.copies is None:
        raise Lacking("the labels are no tokens of the input")
    copies = profile.reactions.copies
    if copies < SAME:
        return
    yield Fault(
        Severity.WARNING,
        "",
        f"{copies:.0%} of the labels are tokens of the input which the output beside them depends on.",
        copies,
        SAME,
        "A causal mask is missing, or nothing shifts the labels against the tokens.",
        edit("Hide later tokens from the model, and shift the labels by one.", phrase("labels that are shifted")),
    )
