"""Gradients that arrive at a node: equal ones add up as amplitudes, independent ones add their second moments."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np

from gainstage.graph import Node
from gainstage.propagation.back.dependences import added, root_mean_square_dependence
from gainstage.propagation.draw_variance import NO_VARIANCE, DrawVariance
from gainstage.propagation.finite_width import FiniteWidth
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.function import IDENTITY
from gainstage.propagation.joint import term_times_function_of_sum
from gainstage.propagation.mixture import blended_edge_profiles
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.sequence_profile import SequenceProfile, blended, times
from gainstage.propagation.signal import PendingGradient, ProjectedOut, Signal
from gainstage.propagation.squared_covariance import by_chance, squares
from gainstage.theory.activations import Array

__all__ = ["BackwardPass", "Gradient", "send_to_operand", "independent", "pass_through", "scatter", "unknown"]


@dataclass(frozen=True, slots=True)
class Gradient:
    """The gradient at one node's output, evaluated.

    Args:
        extent: layout of the output.
        pairs: second moments of the gradient.
        noise: draw-to-draw variance of log E g².
        doubt: reason why the prediction is unreliable.
    """

    extent: Extent
    pairs: SecondMoments
    noise: DrawVariance = NO_VARIANCE
    doubt: str = ""


def scatter(base: SecondMoments, factor: SecondMoments, extent: Extent) -> float:
    """Return the part of the relative variance of a mean of (g·x)² that the signal adds, times the number of units.

    Squares of the signal at two observations correlate, and count for more where the gradients are similar.

    Args:
        base: second moments of the gradient.
        factor: relative covariance of squares of the signal, from ``squares``.
        extent: layout of both.
    """
    alike = base.each(lambda v: 1 + 2 * min((v / base.level) ** 2, 1.0) if base.level > 0 else 1.0)
    return (factor * alike).mean_over_observations(extent)


@dataclass
class BackwardPass:
    """One backward pass through a graph.

    Args:
        run: the forward pass.
        flows: gradients that have arrived at each node.
        gradients: evaluated gradient at each node.
        attended: products of queries and keys whose operands already have their gradients.
    """

    run: ForwardPass
    flows: dict[int, list[PendingGradient]] = field(default_factory=lambda: defaultdict(list))
    gradients: dict[int, Gradient] = field(default_factory=dict)
    attended: set[int] = field(default_factory=set)

    def send(self, node: int, flow: PendingGradient) -> None:
        """Add a gradient at a node's output."""
        if node in self.run.signals:
            self.flows[node].append(flow)

    def value(self, flow: PendingGradient) -> SecondMoments:
        """Return the second moments of a gradient."""
        base = flow.base.scaled(flow.factor**2)
        if flow.dependence is None:
            return base
        found = self.run.algebra.expectation(flow.dependence)
        source, two = (
            self.run.algebra.source(flow.dependence.source),
            self.run.algebra.expectation(flow.dependence.for_pairs),
        )
        factor = source.pairs.each(lambda v: two.pair(source.correlation(v)))
        return base * replace(factor, level=found.second)

    def times_signal(self, flow: PendingGradient, signal: Signal) -> SecondMoments:
        """Return the second moments of a gradient times a signal.

        The two are not independent: a relu passes the gradient where the signal is positive, or where a sum is positive
        of which the signal is a term. Given that sum, the signal is a regression on it plus an independent rest. Where
        the sum's other term is far from Gaussian, both terms are integrated.
        """
        algebra = self.run.algebra
        if signal.parts or signal.dependence is None or flow.dependence is None:
            return self.value(flow) * signal.pairs
        if flow.dependence.source == signal.dependence.source:
            return self.value(replace(flow, dependence=flow.dependence.times(signal.dependence.function)))
        whole = algebra.source(flow.dependence.source)
        if (both := term_times_function_of_sum(algebra, flow.dependence, whole, signal)) is not None:
            return flow.base.scaled(flow.factor**2) * both
        share = algebra.regression(signal, whole)
        explained = flow.dependence.times(IDENTITY.shifted(-whole.mean).scaled(share))
        rest = signal.pairs.zip(whole.pairs, lambda mine, pair: mine - share**2 * (pair - whole.mean**2))
        return self.value(replace(flow, dependence=explained)) + self.value(flow) * rest

    def noise(self, flow: PendingGradient) -> DrawVariance:
        """Return the draw-to-draw variance of the log second moment of a gradient."""
        if flow.dependence is None:
            return flow.noise
        found = self.run.algebra.expectation(flow.dependence)
        source = self.run.algebra.source(flow.dependence.source)
        own = (scatter(flow.base, squares(found, source), flow.extent) + by_chance(found, source)) / flow.extent.units
        return (flow.noise + source.inherited * found.response).with_cause(self.run.algebra.cause(), own)

    def with_own_cause(self, flow: PendingGradient) -> PendingGradient:
        """Return the gradient with its unshared variance as a numbered cause."""
        if not flow.unshared_variance:
            return flow
        return replace(
            flow, noise=flow.noise.with_cause(self.run.algebra.cause(), flow.unshared_variance), unshared_variance=0.0
        )

    def evaluated(self, flow: PendingGradient) -> PendingGradient:
        """Return the gradient with its dependence averaged out."""
        if flow.dependence is None and flow.factor == 1.0:
            return flow
        return replace(
            flow, base=self.value(flow), sequence=self._sequence(flow), atom=self.run.algebra.number(), factor=1.0,
            dependence=None, largest_of=1, noise=self.noise(flow), finite_width=self._finite_width(flow),
        )  # fmt: skip

    def _finite_width(self, flow: PendingGradient) -> FiniteWidth:
        """Return the fluctuations of a gradient times a function of a source, from those of both."""
        if flow.dependence is None:
            return flow.finite_width
        two, source = (
            self.run.algebra.expectation(flow.dependence.for_pairs),
            self.run.algebra.source(flow.dependence.source),
        )
        found = self.run.algebra.expectation(flow.dependence).second
        return flow.finite_width.scaled(
            two.pair(source.correlation(source.pairs.across_both)) / found if found > 0 else 0.0
        )

    def _sequence(self, flow: PendingGradient) -> SequenceProfile | None:
        """Return a gradient's profile by token position with its dependence averaged out."""
        if flow.dependence is None:
            return flow.sequence
        source = self.run.algebra.source(flow.dependence.source)
        if flow.sequence is None and source.sequence is None:
            return None
        counts = (flow.sequence or source.sequence).counts  # type: ignore[union-attr]
        base = flow.sequence or SequenceProfile.uniform(counts, flow.base)
        x = source.sequence or SequenceProfile.uniform(counts, source.pairs)
        if not x.aligned_with(base):
            return None
        found = self.run.algebra.expectation(flow.dependence)
        both = source.mean**2
        own = np.sqrt(np.maximum(source.pairs.level * x.level - both, 1e-300))
        factor = found.pairs((source.pairs.level * x.cross - both) / own[:, None] / own[None, :])
        return replace(base, cross=base.cross * factor / found.second if found.second > 0 else base.cross)

    def arrivals(self, node: int) -> list[PendingGradient]:
        """Return the independent gradients at a node; those with one atom, on several paths, are added up first."""
        groups: dict[int, list[PendingGradient]] = defaultdict(list)
        for flow in self.flows.get(node, ()):
            groups[flow.atom].append(flow)
        return self._summed([one for flows in groups.values() for one in added(flows)])

    def _summed(self, flows: list[PendingGradient]) -> list[PendingGradient]:
        """Combine products of one gradient with several signals into its product with their sum."""
        groups: dict[int, list[PendingGradient]] = defaultdict(list)
        for flow in flows:
            known = flow.product is not None and flow.product.atom == flow.atom and flow.dependence is None
            groups[flow.product.origin if known and flow.product is not None else -1 - len(groups)].append(flow)
        return [self._times_sum(of_one) if len(of_one) > 1 else of_one[0] for of_one in groups.values()]

    def _times_sum(self, flows: list[PendingGradient]) -> PendingGradient:
        algebra, first = self.run.algebra, flows[0]
        terms = [algebra.apply(IDENTITY.scaled(f.factor), f.product.by) for f in flows if f.product is not None]
        total = terms[0]
        for term in terms[1:]:
            total = algebra.add(total, term)
        assert first.product is not None
        base, sequence = times(first.product.sequence, first.product.base, total.sequence, total.pairs)
        noise = max((f.noise for f in flows), key=lambda one: one.variance)
        return replace(
            first, base=base, sequence=sequence, atom=algebra.number(), factor=1.0, noise=noise, product=None
        )


def independent(back: BackwardPass, flows: list[PendingGradient]) -> PendingGradient:
    """Return the sum of independent gradients as one gradient.

    Where all depend on one source, the sum keeps that dependence; otherwise dependences are averaged out first.
    """
    if len(flows) == 1:
        return back.with_own_cause(flows[0])
    sources = {f.dependence.source for f in flows if f.dependence is not None}
    together = len(sources) == 1
    if not together:
        flows = [back.evaluated(f) for f in flows]
    values = [back.value(f).level for f in flows]
    whole = sum(values)
    shares = [v / whole if whole > 0 else 1 / len(flows) for v in values]
    noise = NO_VARIANCE
    for share, one in zip(shares, flows, strict=True):
        noise = noise + one.noise * share
    unshared_variance = sum(share**2 * one.unshared_variance for share, one in zip(shares, flows, strict=True))
    noise = noise.with_cause(back.run.algebra.cause(), _cross_term_variance(back, flows, shares) + unshared_variance)
    doubt = next((f.doubt for f in flows if f.doubt), "")
    base = flows[0].base.scaled(flows[0].factor ** 2)
    for other in flows[1:]:
        base = base + other.base.scaled(other.factor**2)
    dependence = None
    if together and base.level > 0:
        dependence = root_mean_square_dependence(sources.pop(), flows)
    count = max(len(f.parts) for f in flows)
    parts = tuple(sum(s * (f.parts[i] if f.parts else 1.0) for s, f in zip(shares, flows, strict=True))
                  for i in range(count))  # fmt: skip
    sequence, level, finite_width = flows[0].sequence, flows[0].base.level * flows[0].factor ** 2, flows[0].finite_width
    for f in flows[1:]:
        more = f.base.level * f.factor**2
        share = level / (level + more) if level + more > 0 else 0.5
        finite_width = finite_width.summed_with(f.finite_width, share)
        sequence, level = blended(sequence, f.sequence, share, (flows[0].base, f.base)), level + more
    atom = back.run.algebra.number()
    projected_out = _projected_out(flows, shares, atom) if dependence is None else None
    return PendingGradient(
        flows[0].extent,
        base,
        atom,
        dependence=dependence,
        noise=noise,
        edge_profiles=_edge_profiles(flows, values),
        parts=parts,
        sequence=sequence,
        projected_out=projected_out,
        finite_width=finite_width,
        doubt=doubt,
    )


def _edge_profiles(flows: list[PendingGradient], levels: list[float]) -> tuple[Array | None, ...]:
    """Return the edge profiles of a sum; a gradient without profiles counts as flat."""
    axes = max(len(f.edge_profiles) for f in flows)
    found: tuple[Array | None, ...] = (None,) * axes
    total = 0.0
    for flow, level in zip(flows, levels, strict=True):
        total += level
        mine = flow.edge_profiles if len(flow.edge_profiles) == axes else (None,) * axes
        found = blended_edge_profiles(found, mine, 1 - level / total if total > 0 else 0.5)
    return found


def _projected_out(flows: list[PendingGradient], shares: list[float], atom: int) -> ProjectedOut | None:
    """Return, of the arriving gradients, the largest that comes straight from a normalization."""
    known = (
        (share, f.projected_out)
        for share, f in zip(shares, flows, strict=True)
        if f.projected_out and f.projected_out.atom == f.atom
    )
    share, found = max(known, key=lambda one: one[0], default=(0.0, None))
    return None if found is None else ProjectedOut(atom, found.node, share * found.share)


def _cross_term_variance(back: BackwardPass, flows: list[PendingGradient], shares: list[float]) -> float:
    """Return the variance that products of independent gradients add to their sum; these vanish on average only."""
    pairs, total = [back.value(f) for f in flows], 0.0
    kinds = np.array([[p.level, p.positions, p.examples, p.across_both] for p in pairs])
    lengths = np.array([math.nan if f.sequence is None else f.sequence.mean_squared_correlation for f in flows])
    origins = np.array([f.finite_width.basis.origin for f in flows])
    weights = np.array(shares)
    for i, flow in enumerate(flows[1:], start=1):
        extent = flow.extent
        alike = _mean_squared_correlation(
            np.sqrt(np.maximum(kinds[i] * kinds[:i], 0.0)), extent, np.sqrt(lengths[i] * lengths[:i])
        )
        alike /= extent.units
        same = np.flatnonzero((origins[:i] == origins[i]) & (origins[i] >= 0))
        for j in same:
            along = _position_correlation(pairs[i], extent.positions) * _position_correlation(
                pairs[j], extent.positions
            )
            alike[j] = max(alike[j], along)
        total += 4 * shares[i] * float(weights[:i] @ alike)
    return total


def _mean_squared_correlation(kinds: Array, extent: Extent, within: Array) -> Array:
    """Return ``SecondMoments.mean_squared_correlation`` for many records at once.

    Args:
        kinds: rows of level, positions, examples and across_both.
        extent: layout of all of them.
        within: for every row the mean over positions of one example; NaN where all positions are alike.
    """
    level = kinds[:, :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        alike = np.minimum((kinds / level) ** 2, 1.0)
    places, examples = extent.positions, extent.examples
    inside = np.where(np.isnan(within), alike[:, 0] / places + (1 - 1 / places) * alike[:, 1], within)
    between = alike[:, 2] / places + (1 - 1 / places) * alike[:, 3]
    return np.where(level[:, 0] > 0, inside / examples + (1 - 1 / examples) * between, 1.0)


def _position_correlation(pairs: SecondMoments, places: int) -> float:
    """Return the mean squared correlation of two positions of one example.

    Where positions were mixed and units were not, gradients at new positions are combinations of the old ones.
    """
    alike = min((pairs.positions / pairs.level) ** 2, 1.0) if pairs.level > 0 else 0.0
    return SecondMoments(1.0, positions=alike).position_mean_square(places)


def send_to_operand(back: BackwardPass, index: int, flow: PendingGradient) -> None:
    """Send a gradient to an operand; sums over broadcast axes."""
    signal = back.run.signals[index]
    flow = _transposed(back, flow, signal.extent)
    ratio = flow.extent.count / max(signal.extent.count, 1)
    if ratio > 1.001 and signal.extent.units <= flow.extent.units:
        plain = back.evaluated(flow)
        k, shared = plain.base, plain.base
        if signal.extent.positions == 1 < flow.extent.positions:
            shared = replace(shared, level=k.positions)
        elif signal.extent.units == 1 < flow.extent.units:
            shared = replace(shared, level=k.units)
        elif signal.extent.examples == 1 < flow.extent.examples:
            shared = replace(shared, level=k.examples)
        else:
            shared = replace(shared, level=0.0)
        level = ratio * k.level + ratio * (ratio - 1) * shared.level
        grown = SecondMoments(level, ratio * k.units, ratio * k.positions, ratio * k.examples)
        flow = replace(plain, base=grown, atom=back.run.algebra.number(), edge_profiles=())
    elif ratio < 0.999:  # a slice of the operand; the other elements receive no gradient here
        plain = back.evaluated(flow)
        flow = replace(plain, base=plain.base.scaled(ratio), atom=back.run.algebra.number(), edge_profiles=())
    back.send(index, replace(flow, extent=signal.extent))


def _transposed(back: BackwardPass, flow: PendingGradient, extent: Extent) -> PendingGradient:
    """Return the gradient with units and positions exchanged, where a transposition without a node exchanged them."""
    mine = flow.extent
    if mine.units == mine.positions or (mine.units, mine.positions) != (extent.positions, extent.units):
        return flow
    plain = back.evaluated(flow)
    return replace(
        plain,
        base=plain.base.transposed(),
        extent=mine.transposed(),
        edge_profiles=(),
        sequence=None,
        finite_width=plain.finite_width.transposed(),
    )


def pass_through(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send a gradient to all operands unchanged."""
    for index in node.inputs:
        if index in back.run.signals:
            send_to_operand(back, index, flow)


def unknown(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send a gradient to all operands unchanged, with a reason for doubt."""
    doubt = flow.doubt or f"{node.label}: there is no rule for this operation"
    pass_through(back, node, replace(back.evaluated(flow), doubt=doubt))
