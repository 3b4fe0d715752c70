"""GT2xx: units that die or saturate, examples that become alike, and attention that narrows to one key."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gainstage.records import LayerReading, Look, Severity
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking
from gainstage.rules.training.table import training_rule
from gainstage.rules.training.window import Window
from gainstage.rules.words import figure

__all__: list[str] = []

MORE, SHARE = 0.25, 0.3  # of a layer's units
FEWEST = 16  # examples
SATURATED, BECAME = 0.6, 0.4  # of a layer's elements
COLLAPSED = 0.1  # of the first spread across examples
ONE_KEY, SEVERAL = 1.5, 3.0  # effective keys
KEYS = 8


def _pairs(window: Window) -> list[tuple[LayerReading, LayerReading]]:
    """Every layer at the first look and at the last one.

    Raises:
        Lacking: there is one look only, or too few examples.
    """
    if len(window.looks) < 2:
        raise Lacking("two looks at the layers")
    first, last = window.looks[0], window.looks[-1]
    if min(first.examples, last.examples) < FEWEST:
        raise Lacking(f"a batch of at least {FEWEST} examples")
    before = _by_place(first)
    return [(before[key], layer) for key, layer in _by_place(last).items() if key in before]


def _by_place(look: Look) -> dict[tuple[str, str, int], LayerReading]:
    """Layers by path, function and how often both have occurred."""
    found: dict[tuple[str, str, int], LayerReading] = {}
    for layer in look.layers:
        count = sum(key[:2] == (layer.path, layer.function) for key in found)
        found[layer.path, layer.function, count] = layer
    return found


def _worst(
    pairs: list[tuple[LayerReading, LayerReading]], read: Callable[[LayerReading], float | None]
) -> tuple[LayerReading, float, float] | None:
    """The layer whose share rose most above the bounds: the layer, its share before and now."""
    found = [(now, read(before) or 0.0, read(now) or 0.0) for before, now in pairs if read(now) is not None]
    over = [(n, a, b) for n, a, b in found if b >= SHARE and b - a >= MORE and (b - a) * max(n.units, 1) >= 4]
    return max(over, key=lambda row: row[2] - row[1], default=None)


@training_rule("GT201", "Units have died", cause="units die", times=2, of=2, looks=True)
def dying(window: Window) -> Iterator[Fault]:
    """A layer's units have become zero for every example of the batch.

    What it does:
    Compares, for every rectifier, the share of units that are zero for all examples and positions with that at the
    first look.

    Why it matters:
    Such a unit passes no gradient, so that only a change of its inputs could revive it.

    Null hypothesis:
    Units at work are zero for some examples and not for others. Training makes codes sparser, but a unit that helps is
    not zero on a whole batch.

    Bound and where it comes from:
    A quarter of the units (and four at least) more than at the start, and three in ten in all, at two looks in a row,
    over 16 examples or more: a warning; above nine in ten an error.

    Example:
    A step of a large rate that pushes all biases below zero.

    Remedy:
    Lower the rate, and start anew; or an activation without a flat side:

        nn.GELU()

    Reference:
    Lu et al. 2019, Dying ReLU and initialization.
    """
    worst = _worst(_pairs(window), lambda layer: layer.dead)
    if worst is None:
        return
    layer, before, now = worst
    yield Fault(
        Severity.ERROR if now > 0.9 else Severity.WARNING, layer.path,
        f"{figure(100 * now)} % of {layer.units} units are zero for every example, against {figure(100 * before)} % at "
        "the start.",
        now, before + MORE, "Steps have moved biases or weights so far that the inputs of these units stay below zero.",
        edit("Lower the rate, or use an activation without a flat side.", phrase("an activation without a flat side")),
    )  # fmt: skip


@training_rule("GT202", "Units have saturated", cause="units saturate", times=2, of=2, looks=True)
def saturating(window: Window) -> Iterator[Fault]:
    """A layer's bounded units have moved to their bounds, where their slope is zero.

    What it does:
    Compares, for every bounded activation, the share of units that are saturated for all examples, and the share of
    saturated elements, with those at the first look.

    Why it matters:
    The gradient through such units is zero: layers below them stop learning.

    Null hypothesis:
    Units at work take values between their bounds for most examples, or the loss falls.

    Bound and where it comes from:
    A quarter of the units more than at the start; or three in five of all elements, two in five more than at the start,
    while the loss keeps half of its first value; at two looks in a row: a warning.

    Example:
    tanh under Adam at a rate of 0.1.

    Remedy:
    Lower the rate, and start at a level at which the units are in their linear part:

        gs.initialize(model, x=x)

    Reference:
    Glorot and Bengio 2010, section 3.
    """
    pairs = _pairs(window)
    worst = _worst(pairs, lambda layer: layer.stuck)
    if worst is None and not window.improves:
        risen = [
            (now, before.saturated or 0.0, now.saturated)
            for before, now in pairs
            if now.saturated is not None and now.saturated >= SATURATED
            if now.saturated - (before.saturated or 0.0) >= BECAME
        ]
        worst = max(risen, key=lambda row: row[2], default=None)
    if worst is None or (window.improves and worst[2] < 0.5):
        return
    layer, before, now = worst
    yield Fault(
        Severity.WARNING, layer.path,
        f"{figure(100 * now)} % of the units or their values are at a bound of {layer.function or 'the activation'}, "
        f"against {figure(100 * before)} % at the start.",
        now, before + MORE, "Weights have grown until the units' inputs lie beyond the linear part.",
        edit("Lower the rate and start from levels that hold.", phrase("a start at the right level")),
    )  # fmt: skip


@training_rule("GT203", "Examples have become alike", cause="examples collapse", times=2, of=2, looks=True)
def collapsing(window: Window) -> Iterator[Fault]:
    """The outputs of different examples have become the same.

    What it does:
    Compares the standard deviation across examples of the last layer, and of the layer before it, with those at the
    first look.

    Why it matters:
    A network that returns one vector for every example has nothing left that a loss could tell apart.

    Null hypothesis:
    Training makes outputs of different examples differ more, or brings them to the spread of the targets while the
    layers before keep theirs.

    Bound and where it comes from:
    A tenth of the first spread across examples at the last layer, and less than a third at the weighted layer before
    it, at two looks in a row: a warning.

    Example:
    Two views pulled together with nothing that holds different examples apart.

    Remedy:
    Give the objective a term that keeps examples apart, or stop the gradient on one side:

        target = projector(other_view).detach()

    Reference:
    Chen and He 2021, Exploring simple Siamese representation learning; Bardes, Ponce and LeCun 2022 (VICReg).
    """
    pairs = [(a, b) for a, b in _pairs(window) if not b.keys and a.spread and b.spread is not None]
    weighted = [(a, b) for a, b in pairs if not b.function]
    if len(weighted) < 2:
        raise Lacking("two weighted layers whose examples are known")
    falls = [b.spread / a.spread for a, b in weighted if a.spread and b.spread is not None]
    if not falls[-1] < COLLAPSED or not falls[-2] < 1 / 3:
        return
    layer = weighted[-1][1]
    yield Fault(
        Severity.WARNING, layer.path,
        f"The outputs' standard deviation across examples is {figure(layer.spread or 0.0)}, {figure(falls[-1])} of "
        f"that at the start; one layer before, {figure(falls[-2])}.",
        falls[-1], COLLAPSED, "The objective is met by outputs that do not depend on the example.",
        edit("Give the objective something that keeps examples apart.", phrase("a target without a gradient")),
    )  # fmt: skip


@training_rule("GT204", "Attention has narrowed to one key", cause="attention sharpens", times=2, of=2, looks=True)
def sharpening(window: Window) -> Iterator[Fault]:
    """The attention weights have become nearly one-hot while the loss stays high.

    What it does:
    Takes the sum of squared attention weights of a query, averaged over queries; its inverse is the effective number of
    keys. Compares with the first look.

    Why it matters:
    The slope of a softmax at 0 and 1 is zero: queries and keys get no gradient that could choose other keys.

    Null hypothesis:
    Attention sharpens where that helps, and the loss falls with it.

    Bound and where it comes from:
    Fewer than 1.5 effective keys in at least half of the attentions of eight keys or more, from more than three at the
    start or with scores that were sharp before, while the loss keeps half of its first value, at two looks in a row: a
    warning.

    Example:
    Scores that are not divided by √d, at a high rate.

    Remedy:
    Normalise queries and keys, or divide the scores by √d:

        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])

    Reference:
    Dehghani et al. 2023, Scaling vision transformers to 22 billion parameters, section 3.1; Zhai et al. 2023,
    Stabilizing transformer training by preventing attention entropy collapse.
    """
    pairs = [(a, b) for a, b in _pairs(window) if b.sharpness is not None and a.sharpness and b.keys >= KEYS]
    if not pairs:
        raise Lacking(f"attention weights over at least {KEYS} keys")
    sharp = [(a, b) for a, b in pairs if b.sharpness and 1 / b.sharpness < ONE_KEY]
    if len(sharp) < len(pairs) / 2 or window.improves:
        return
    before, layer = sharp[0]
    assert layer.sharpness
    assert before.sharpness
    yield Fault(
        Severity.WARNING, layer.path,
        f"{len(sharp)} of {len(pairs)} attentions look at one key: {figure(1 / layer.sharpness)} effective keys of "
        f"{layer.keys}, against {figure(1 / before.sharpness)} at the start.",
        1 / layer.sharpness, ONE_KEY, "The scores have grown until the softmax is saturated.",
        edit("Normalise queries and keys.", phrase("scores over the root of their length")),
    )  # fmt: skip
