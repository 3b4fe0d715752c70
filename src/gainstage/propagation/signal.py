"""Signal and PendingGradient: the predicted state of one tensor in the forward pass and of one gradient in the backward
pass.
"""

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
    """A tensor written as an elementwise function f of one source tensor, x = f(s).

    Args:
        source: number of the source, a nearly Gaussian tensor.
        function: f.
        pair_function: the function for pairs of elements, where it differs from f. After averaging over an independent
            r, diagonal moments use √E f² and off-diagonal moments use E f.
    """

    source: int
    function: Function = IDENTITY
    pair_function: Function | None = None

    @property
    def for_pairs(self) -> FunctionOf:
        """The function that moments of pairs of elements follow."""
        return self if self.pair_function is None else FunctionOf(self.source, self.pair_function)

    def times(self, function: Function) -> FunctionOf:
        """Return the product with another function of the same source."""
        return FunctionOf(
            self.source, self.function * function, None if self.pair_function is None else self.pair_function * function
        )


@dataclass(frozen=True, slots=True)
class SoftmaxRows:
    """Statistics of attention weights, the rows of a softmax, beyond their second moments.

    Args:
        keys: number of keys in one row.
        concentration: E Σ a² of a row: 1/keys for uniform weights, 1 for one-hot weights.
        score_variance: variance of the scores within a row.
        score_level: E s² of the scores.
        scores: index of the node that multiplied queries with keys; None where there is none.
        causal: whether a causal mask hides later keys.
        keep: keep probability of dropout on the weights.
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
    """Predicted moments of one tensor in the forward pass.

    Args:
        extent: number of units, positions and examples.
        pairs: E x·y for the same element and for pairs of elements.
        mean: E x over all elements.
        skew, excess: skewness and excess kurtosis of an element, as in ``Marginal``.
        noise: draw-to-draw variance of log E x².
        inherited: part of ``noise`` inherited from earlier layers.
        covariance_noise: draw-to-draw variance of the log covariance between positions.
        dependence: the source and the function of it that this tensor is.
        terms: this tensor as a sum Σ c·a: pairs of (number of an atom a, factor c). An atom is a tensor that is not a
            sum of others.
        parts: signals concatenated along the units.
        edge_profiles: for each axis of an image, the second moment along the axis divided by its mean (edge effect of
            padding); None where it is constant.
        rows: attention weights, where the tensor is the output of a softmax.
        zero: share of elements that are exactly zero.
        finite_width: finite-width fluctuations of the cosine similarity between two observations.
        sequence: second moment and cosine similarity as functions of token position; None where all positions are
            alike.
        doubt: reason why the prediction is unreliable; empty where it is reliable.
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
        """The variance over all elements."""
        return max(self.pairs.level - self.mean**2, 0.0)

    @property
    def mean_squared_correlation(self) -> float:
        """Mean of squared cosine similarities between two observations of a unit, finite-width fluctuations included.

        Its inverse is the effective number of independent observations.
        """
        within = None if self.sequence is None else self.sequence.mean_squared_correlation
        return min(
            self.pairs.mean_squared_correlation(self.extent, within) + self.finite_width.correlation_variance, 1.0
        )

    @property
    def marginal(self) -> Marginal:
        """The distribution of one element."""
        return Marginal(self.mean, self.variance, self.skew, self.excess)

    def correlation(self, pair: float) -> float:
        """Return the correlation (c - m²) / Var x of two elements with second moment c = ``pair`` and mean m."""
        return (pair - self.mean**2) / self.variance if self.variance > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Product:
    """A gradient written as another gradient times a signal.

    Args:
        atom: number of this gradient. The record is void as soon as the gradient has another atom.
        origin: atom of the other gradient.
        base: second moments of the other gradient.
        by: the signal that multiplies.
        sequence: the other gradient by token position.
    """

    atom: int
    origin: int
    base: SecondMoments
    by: Signal
    sequence: SequenceProfile | None = None


@dataclass(frozen=True, slots=True)
class ProjectedOut:
    """Marks a gradient from which a layer norm removed the mean and the projection on the normalized signal.

    Args:
        atom: number of the gradient. The record is void as soon as the gradient has another atom.
        node: index of the node that was normalized.
        share: share of the gradient's second moment that came through the norm.
    """

    atom: int
    node: int
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class GateResponse:
    """Correlation between a gradient and the tensor in front of a normalization, created by the activation behind the
    norm.

    Args:
        atom: number of the gradient. The record is void as soon as the gradient has another atom.
        node: index of the tensor in front of the normalization.
        pairs: E (∂g/∂x)(∂g'/∂x') of the gradients at two positions.
        bends: E (∂²g/∂x²) g' of the gradients at two positions.
        response: d log E g² / d log Var x.
    """

    atom: int
    node: int
    pairs: SecondMoments
    bends: SecondMoments
    response: float = 0.0


@dataclass(frozen=True, slots=True)
class PendingGradient:
    """A gradient on its way back: a base independent of the signal, times a function of the signal that is not averaged
    yet.

    Args:
        extent: number of units, positions and examples of the tensor.
        base: second moments of the base.
        atom: number of the base. Gradients with the same atom are the same random tensor and add up as amplitudes.
        factor: constant factor.
        dependence: function of a source that multiplies the base, usually the activation's derivative.
        largest_of: window size of a max pooling whose winner is still to be chosen by each concatenated part; 1
            otherwise.
        noise: draw-to-draw variance of log E g².
        unshared_variance: part of that variance that no other gradient shares and that has no cause number yet.
        edge_profiles: second moment along each image axis, as in ``Signal``.
        sequence: the base by token position, as in ``Signal``.
        product: the gradient as a product with a signal, so that g·h and -g·x add up to g·(h - x).
        projected_out: components that a normalization has removed already.
        gate_response: correlation with a tensor in front of a normalization and an activation.
        parts: for concatenated tensors, the second moment of each part divided by the mean; empty where all are equal.
        finite_width: finite-width fluctuations of cosine similarities of the base.
        doubt: reason why the prediction is unreliable.
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
        """Mean of squared cosine similarities of the base between two observations of a unit, fluctuations included."""
        within = None if self.sequence is None else self.sequence.mean_squared_correlation
        return min(
            self.base.mean_squared_correlation(self.extent, within) + self.finite_width.correlation_variance, 1.0
        )


def transposed_like(x: Signal, other: Extent) -> Signal:
    """Return ``x`` with units and positions exchanged where ``other`` has them exchanged.

    A transposition has no node of its own in a graph, so the extents reveal it.
    """
    mine = x.extent
    if mine.units == mine.positions or (mine.units, mine.positions) != (other.positions, other.units):
        return x
    return replace(
        x, extent=mine.transposed(), pairs=x.pairs.transposed(), sequence=None, finite_width=x.finite_width.transposed()
    )


def broadcast_to(x: Signal, other: Extent) -> Signal:
    """Return ``x`` repeated along the axes where ``x`` has size 1 and ``other`` is larger."""
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
