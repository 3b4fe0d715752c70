"""Moments of one node's weights, from planned or measured parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from gainstage.graph import DerivationStep, Node, Role, SignalGraph, Use
from gainstage.records import Assignment, Plan, WeightMoments
from gainstage.theory.activations import Array
from gainstage.theory.activations.elementary import sigmoid

__all__ = ["Mixing", "follows", "leaves_values", "mixing", "planned", "scale_of"]

_STEPS: Mapping[DerivationStep, Callable[[Array], Array]] = {
    DerivationStep.ABSOLUTE: np.abs,
    DerivationStep.EXPONENTIAL: np.exp,
    DerivationStep.NEGATE: np.negative,
    DerivationStep.RELU: lambda x: np.maximum(x, 0.0),
    DerivationStep.SIGMOID: sigmoid,
    DerivationStep.SOFTPLUS: lambda x: np.logaddexp(x, 0.0),
    DerivationStep.SQUARE: np.square,
    DerivationStep.TANH: np.tanh,
}
"""Elementwise functions of a parameter whose moments are taken over a normal distribution around its mean."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()

_UNIFORM = frozenset({"pytorch_default", "keras_default"})
"""Schemes that draw uniformly though their name does not say so."""


@dataclass(frozen=True, slots=True)
class Mixing:
    """Moments of the weights w and the bias b of one node.

    Args:
        square: Σ w² over the fan-in, mean over output units.
        row_sum_square: (Σ w)², mean over output units.
        row_sum: Σ w, mean over output units.
        weight_mean: mean of a weight.
        bias, bias_square: E b and E b².
        bias_row_sum: b · Σ w, mean over output units.
        scatter: relative variance of Σ w² between output units.
        isometric: whether the weights preserve norms (orthogonal).
        paired_outputs, paired_inputs, one_tap: as in ``WeightMoments``.
        doubt: reason why these moments are unreliable.
    """

    square: float
    row_sum_square: float
    row_sum: float
    weight_mean: float
    bias: float = 0.0
    bias_square: float = 0.0
    bias_row_sum: float = 0.0
    scatter: float = 0.0
    isometric: bool = False
    paired_outputs: bool = False
    paired_inputs: bool = False
    one_tap: bool = False
    doubt: str = ""


def mixing(graph: SignalGraph, node: Node, known: Mapping[str, WeightMoments]) -> Mixing:
    """Return the moments of a linear layer's or convolution's weights and bias."""
    kernel = node.kernel
    fan = kernel.fan_in if kernel is not None else 1.0
    uses = _without_zeros(node.uses_of("weight") or node.uses_of("operand"), graph, known)
    normed = _normalised(uses, graph)
    weights, doubt = [], ""
    for use in uses if normed is None else (normed,):
        found = known.get(graph.parameter(use.parameter).path)
        if found is None:
            doubt = doubt or f"the values of '{use.parameter}' are not known; taken to be 1/√fan_in"
            found = WeightMoments(0.0, 1 / fan)
        elif normed is not None:  # the norm is stored as a separate parameter
            found = WeightMoments(0.0, found.second_moment / fan)
        elif not leaves_values(use):
            doubt = doubt or f"'{use.parameter}' is changed ({', '.join(use.changes)}) before it is used"
        weights.append(found)
    if not weights:
        return Mixing(1.0, 1.0, 0.0, 0.0, doubt="the weight of this layer is not known; taken to keep the level")
    mean = sum(w.mean for w in weights) / len(weights)
    second = sum(w.second_moment for w in weights) / len(weights)
    variance = max(second - mean**2, 0.0)
    rows = weights[0] if len(weights) == 1 and kernel is not None else None
    if rows is not None and rows.row_sum_square and kernel is not None and kernel.overlap is not None:
        rows = None  # overlapping taps: (Σ w)² of an output is unknown
    row_square = rows.row_sum_square if rows is not None else None
    row_sum = rows.row_sum_mean if rows is not None else None
    bias, isometric = _bias(graph, node, known), all(w.isometric for w in weights)
    return Mixing(
        square=fan * second,
        row_sum_square=fan * variance + (fan * mean) ** 2 if row_square is None else row_square,
        row_sum=fan * mean if row_sum is None else row_sum,
        weight_mean=mean,
        bias=bias.mean,
        bias_square=bias.second_moment,
        bias_row_sum=bias.row_sum_product if bias.row_sum_product is not None else bias.mean * fan * mean,
        scatter=0.0 if isometric else (sum(w.kurtosis for w in weights) / len(weights) - 1) / fan,
        isometric=isometric,
        paired_outputs=all(w.paired_outputs for w in weights),
        paired_inputs=all(w.paired_inputs for w in weights),
        one_tap=all(w.one_tap for w in weights),
        doubt=doubt,
    )


def _without_zeros(uses: tuple[Use, ...], graph: SignalGraph, known: Mapping[str, WeightMoments]) -> tuple[Use, ...]:
    """Drop products of weights with a zero factor next to a weight they are added to (LoRA merged into a weight)."""
    factors = [use for use in uses if {DerivationStep.SUM, DerivationStep.PRODUCT} <= set(use.derivation)]
    found = [known.get(graph.parameter(use.parameter).path) for use in factors]
    if len(factors) == len(uses) or not any(f is not None and f.second_moment == 0 for f in found):
        return uses
    rest = tuple(use for use in uses if use not in factors)
    return tuple(replace(u, derivation=tuple(s for s in u.derivation if s != DerivationStep.SUM)) for u in rest)


def leaves_values(use: Use) -> bool:
    """Report whether an operation multiplies by the parameter's own values."""
    return not use.changes


def _normalised(uses: tuple[Use, ...], graph: SignalGraph) -> Use | None:
    """Return the use of the magnitude of a weight-normalized weight; None where there is none."""
    normed = (use for use in uses if DerivationStep.WEIGHT_NORM in use.derivation)
    return next((use for use in normed if graph.parameter(use.parameter).magnitude_of is not None), None)


def _bias(graph: SignalGraph, node: Node, known: Mapping[str, WeightMoments]) -> WeightMoments:
    uses = node.uses_of("bias")
    if not uses:
        return WeightMoments(0.0, 0.0)
    found = known.get(graph.parameter(uses[0].parameter).path)
    return found if found is not None else WeightMoments(0.0, 0.0)


def scale_of(graph: SignalGraph, use: Use, known: Mapping[str, WeightMoments]) -> WeightMoments:
    """Return the moments of a vector that multiplies or is added; a scale stored around zero (``1 + w``) gains 1."""
    found = known.get(graph.parameter(use.parameter).path)
    slot_one = use.slot == "scale"
    if found is None:
        return WeightMoments(1.0, 1.0) if slot_one else WeightMoments(0.0, 0.0)
    if slot_one and DerivationStep.SUM in use.derivation:
        return WeightMoments(1 + found.mean, 1 + 2 * found.mean + found.second_moment)
    return _through(found, use) or found


def follows(use: Use) -> bool:
    """Report whether the moments of a vector are known where it is used: unchanged, plus one, or through known
    functions.
    """
    return all(step in _STEPS or (step is DerivationStep.SUM and use.slot == "scale") for step in use.changes)


def _through(found: WeightMoments, use: Use) -> WeightMoments | None:
    """Apply elementwise functions to values taken as normal around their mean; None where a function is unknown."""
    steps = [step for step in use.derivation if not step.moves]
    if not steps or any(step not in _STEPS for step in steps):
        return None
    values = found.mean + math.sqrt(max(found.variance, 0.0)) * _NODES
    for step in steps:
        values = _STEPS[step](values)
    mean, second = float(_WEIGHTS @ values), float(_WEIGHTS @ values**2)
    return WeightMoments(mean, second) if math.isfinite(second) else None


# -- planned weights -------------------------------------------------------------------------------------------------


def planned(
    graph: SignalGraph, plan: Plan, present: Mapping[str, WeightMoments] | None = None
) -> dict[str, WeightMoments]:
    """Return the moments of all parameters after a plan is applied.

    Args:
        graph: the model.
        plan: its assignments.
        present: moments of the current values, for parameters that the plan keeps.
    """
    present = present or {}
    found: dict[str, WeightMoments] = {}
    for line in plan:
        moments = _assigned(line, plan) or present.get(line.parameter) or _neutral(line)
        if moments is not None:
            found[line.parameter] = moments
    for parameter in graph.parameters:
        if parameter.path not in found and parameter.path in present:
            found[parameter.path] = present[parameter.path]
    return found


def _assigned(line: Assignment, plan: Plan) -> WeightMoments | None:
    """Return the moments that an assignment produces; None where the values stay as they are."""
    if line.bias is not None:
        return _bias_rule(line, plan)
    kernel = line.kernel
    match line.scheme:
        case "keep" | "match_norm":
            return None
        case "zeros":
            return WeightMoments(0.0, 0.0)
        case "ones" | "constant":
            value = line.gain * line.scale
            return WeightMoments(value, value**2)
        case "identity" if kernel is not None:
            share = 1 / kernel.shape[1] / kernel.receptive
            value = line.gain * line.scale
            return WeightMoments(value * share, value**2 * share, value**2, row_sum_mean=value)
    if line.spread is None:
        return None
    level = (line.spread * line.scale) ** 2
    mirror = line.mirror
    centred = line.scheme in ("centred_normal", "centred_orthogonal") or (
        mirror is not None and mirror.inputs is not None
    )
    table = centred if line.role is Role.EMBEDDING else line.scheme == "centred_outputs"
    kurtosis = 1.8 if line.scheme.endswith("uniform") or line.scheme in _UNIFORM else 3.0
    return WeightMoments(
        0.0, level, row_sum_square=0.0 if centred else None, row_sum_mean=0.0 if centred else None,
        table_mean_square=0.0 if table else None, isometric="orthogonal" in line.scheme, kurtosis=kurtosis,
        paired_outputs=mirror is not None and mirror.outputs is not None,
        paired_inputs=mirror is not None and mirror.inputs is not None, one_tap=line.scheme == "delta_orthogonal",
    )  # fmt: skip


def _bias_rule(line: Assignment, plan: Plan) -> WeightMoments | None:
    owner = next((a for a in plan if a.parameter == line.weight), None)
    kernel = owner.kernel if owner is not None else None
    match line.bias:
        case "zero":
            return WeightMoments(0.0, 0.0)
        case "one" | "forget_one":
            share = 1.0 if line.bias == "one" else 0.25
            return WeightMoments(share, share)
        case "constant":
            return WeightMoments(line.value, line.value**2)
        case "uniform_fan_in" if kernel is not None:
            return WeightMoments(0.0, line.gain**2 / (3 * kernel.fan_in))
        case "measured" if line.values:
            count = len(line.values)
            return WeightMoments(sum(line.values) / count, math.fsum(v * v for v in line.values) / count)
        case "centre" if kernel is not None and owner is not None and owner.spread is not None:
            rows = kernel.fan_in * (owner.spread * owner.scale) ** 2
            return WeightMoments(0.0, line.value**2 * rows, row_sum_product=-line.value * rows)
    return None


def _neutral(line: Assignment) -> WeightMoments | None:
    """Return the usual moments of a parameter that is kept and whose values are unknown."""
    match line.role:
        case Role.NORM_SCALE:
            return WeightMoments(1.0, 1.0)
        case Role.NORM_SHIFT | Role.BIAS | Role.RECURRENT_BIAS:
            return WeightMoments(0.0, 0.0)
    return None
