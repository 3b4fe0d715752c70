"""What is predicted of one tensor on the way forward, and of a gradient on the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gainstage.propagation.draw_variance import NO_VARIANCE, DrawVariance
from gainstage.propagation.expectation import Marginal
from gainstage.propagation.finite_width import INFINITE_WIDTH, FiniteWidth
from gainstage.propagation.function import IDENTITY, Function
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.sequence_profile import SequenceProfile
from gainstage.theory.activations import Array

__all__ = [
    "GateResponse",
    "PendingGradient",
    "FunctionOf",
    "Product",
    "SoftmaxRows",
    "ProjectedOut",
    "Signal",
    "broadcast_to",
    "transposed_like",
]


@dataclass(frozen=True, slots=True)
class FunctionOf:
    """A tensor as a function of one source, element by element.

    Args:
        source: the number of a nearly Gaussian tensor.
        function: of its elements.
        pair_function: the function for pairs of elements, where it differs: after averaging over an independent r, one
            element has √E f², and two elements that do not share r have E f.
    """

    source: int
    function: Function = IDENTITY
    pair_function: Function | None = None

    @property
    def for_pairs(self) -> FunctionOf:
        """The law that pairs of elements follow."""
        return self if self.pair_function is None else FunctionOf(self.source, self.pair_function)

    def times(self, function: Function) -> FunctionOf:
        """Multiplied by another function of the source."""
        return FunctionOf(
            self.source, self.function * function, None if self.pair_function is None else self.pair_function * function
        )


@dataclass(frozen=True, slots=True)
class SoftmaxRows:
    """What is known of softmax's output beyond its moments.

    Args:
        keys: how many numbers share one row.
        concentration: E Σ a² of a row.
        score_variance: of the scores, within a row.
        score_level: E s² of the scores.
        scores: the node that multiplied queries with keys; None where none did.
        causal: whether rows look back alone.
        keep: the share of them that dropout kept.
    """

    keys: int
    concentration: float
    score_variance: float
    score_level: float = 0.0
    scores: int | None = None
    causal: bool = False
    keep: float = 1.0


@dataclass(frozen=True, slots=True)
class Signal:
    """One tensor.

    Args:
        extent: how many units, positions and examples.
        pairs: second moments of elements and of pairs.
        mean: of all elements.
        skew, excess: of an element, as in ``Marginal``.
        noise: how the log of the level scatters between draws of the weights.
        carried: the part of it that was there before this tensor's own weights were drawn.
        bond: the same of what two positions have in common.
        law: which source it is a function of.
        terms: the sum it is: (number of an atom, factor), where an atom is a tensor that is no sum of others.
        parts: signals side by side along the units, after a concatenation.
        borders: for each axis of an image, how the level varies along it (mean one); None where it does not.
        rows: of a softmax.
        zero: share of elements that are exactly zero.
        chance: how unlike the pairs are.
        course: how level and likeness run along the tokens of a sequence; None where these are alike.
        doubt: why the figures are doubtful; empty where they are not.
    """

    extent: Extent
    pairs: SecondMoments
    mean: float = 0.0
    skew: float = 0.0
    excess: float = 0.0
    noise: DrawVariance = NO_VARIANCE
    inherited: DrawVariance = NO_VARIANCE
    covariance_noise: DrawVariance = NO_VARIANCE
    dependence: FunctionOf | None = None
    terms: tuple[tuple[int, float], ...] = ()
    parts: tuple[Signal, ...] = ()
    edge_profiles: tuple[Array | None, ...] = ()
    rows: SoftmaxRows | None = None
    zero: float = 0.0
    finite_width: FiniteWidth = INFINITE_WIDTH
    sequence: SequenceProfile | None = None
    doubt: str = ""

    @property
    def variance(self) -> float:
        """Over all elements."""
        return max(self.pairs.level - self.mean**2, 0.0)

    @property
    def mean_squared_correlation(self) -> float:
        """Mean squared correlation of two observations of a unit, with what they have by chance."""
        within = None if self.sequence is None else self.sequence.mean_squared_correlation
        return min(
            self.pairs.mean_squared_correlation(self.extent, within) + self.finite_width.correlation_variance, 1.0
        )

    @property
    def marginal(self) -> Marginal:
        """The distribution of one element."""
        return Marginal(self.mean, self.variance, self.skew, self.excess)

    def correlation(self, pair: float) -> float:
        """Of two elements with that second moment, their mean taken off."""
        return (pair - self.mean**2) / self.variance if self.variance > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Product:
    """That a gradient is another one times a signal.

    Args:
        atom: of this gradient; it is no product any more when it has got another.
        origin: the other gradient's atom.
        base: second moments of that.
        by: the signal.
        course: of the other gradient.
    """

    atom: int
    origin: int
    base: SecondMoments
    by: Signal
    sequence: SequenceProfile | None = None


@dataclass(frozen=True, slots=True)
class ProjectedOut:
    """A gradient from which a normalisation over units took its mean and its projection on the signal.

    Args:
        atom: of the gradient; a factor that is put to it makes another one of it.
        node: the signal that was normalised.
        share: of the gradient's level.
    """

    atom: int
    node: int
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class GateResponse:
    """How a gradient answers to the tensor that it belongs to, where a function of that gates it.

    Args:
        atom: of the gradient; a factor that is put to it makes another one of it.
        node: the tensor.
        pairs: E of the derivative of the gradient at one place by the tensor there, times that at another place.
        bends: E of the second derivative at one place, times the gradient at another.
        response: where the tensor is normalised, how the gradient's level answers to its own: d log E g² / d log Var x.
    """

    atom: int
    node: int
    pairs: SecondMoments
    bends: SecondMoments
    response: float = 0.0


@dataclass(frozen=True, slots=True)
class PendingGradient:
    """One gradient, by a tensor: a base that is independent of the signal, times a function of it.

    Args:
        extent: of the tensor.
        base: second moments of the base and of pairs.
        atom: its number; the same base may arrive on two ways.
        factor: a number that it is multiplied by.
        law: the function of a source that it is multiplied by.
        largest_of: behind max pooling of parts side by side, which know better what wins: of how many places.
        noise: how the log of the level scatters between draws.
        alone: variance of that logarithm that no other gradient shares; it has no number among the causes of
            ``noise`` before the gradient is summed or handed on.
        borders: as in ``Signal``.
        course: of the base, as in ``Signal``.
        product: what it is a product of, where that is known: g·h and -g·x are g·(h - x).
        settled: what a normalisation has taken off it already.
        answer: how it answers to a tensor behind which a normalisation and a gate stand.
        parts: of tensors side by side, how large the gradient is at each, relative to the mean; empty where alike.
        chance: how unlike the pairs of the base are.
        doubt: why the figures are doubtful.
    """

    extent: Extent
    base: SecondMoments
    atom: int
    factor: float = 1.0
    dependence: FunctionOf | None = None
    largest_of: int = 1
    noise: DrawVariance = NO_VARIANCE
    unshared_variance: float = 0.0
    edge_profiles: tuple[Array | None, ...] = ()
    sequence: SequenceProfile | None = None
    product: Product | None = None
    projected_out: ProjectedOut | None = None
    gate_response: GateResponse | None = None
    parts: tuple[float, ...] = ()
    finite_width: FiniteWidth = INFINITE_WIDTH
    doubt: str = ""

    @property
    def mean_squared_correlation(self) -> float:
        """Mean squared correlation of the base at two observations of a unit, with what they have by chance."""
        within = None if self.sequence is None else self.sequence.mean_squared_correlation
        return min(
            self.base.mean_squared_correlation(self.extent, within) + self.finite_width.correlation_variance, 1.0
        )


def transposed_like(x: Signal, other: Extent) -> Signal:
    """A signal with units and positions as another one has them: a transposition has no node of its own."""
    mine = x.extent
    if mine.units == mine.positions or (mine.units, mine.positions) != (other.positions, other.units):
        return x
    return replace(
        x, extent=mine.transposed(), pairs=x.pairs.transposed(), sequence=None, finite_width=x.finite_width.transposed()
    )


def broadcast_to(x: Signal, other: Extent) -> Signal:
    """A signal that is repeated along what it lacks, as broadcasting does."""
    if (turned := transposed_like(x, other)) is not x:
        return turned
    extent, pairs = x.extent, x.pairs
    if extent.units == 1 < other.units:
        extent, pairs = replace(extent, units=other.units), replace(pairs, units=pairs.level)
    if extent.positions == 1 < other.positions:
        extent, pairs = (
            replace(extent, positions=other.positions),
            replace(pairs, positions=pairs.level, neighbour=pairs.level, across_both=pairs.examples),
        )
    if extent.examples == 1 < other.examples:
        extent = replace(extent, examples=other.examples)
        pairs = replace(pairs, examples=pairs.level, across_both=pairs.positions)
    return x if extent == x.extent else replace(x, extent=extent, pairs=pairs)
