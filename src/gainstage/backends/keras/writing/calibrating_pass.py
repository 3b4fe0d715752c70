"""One replay in which the output of every weight is brought to its level as the replay reaches it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

from gainstage.backends.keras.measuring.gradients import compiled
from gainstage.backends.keras.measuring.replay import replay
from gainstage.backends.keras.models.batch import as_array, values_of
from gainstage.backends.keras.tracing.call import Draft
from gainstage.backends.keras.tracing.trace import Program
from gainstage.backends.keras.writing.write import rescale
from gainstage.backends.shared.calibration import (
    TOO_FAR,
    Calibration,
    degree,
    is_assembled,
    is_usable,
    largest_factor,
    measured_where_filled,
    not_amplified,
    obstacle,
    too_weak,
)
from gainstage.graph import Operation, Use
from gainstage.graph.groups import LEVEL_KEEPING
from gainstage.records import Assignment, Plan

__all__ = ["CalibratingPass", "Site", "levels_at"]

_PLAIN = frozenset({Operation.INPUT, Operation.EMBEDDING})
_AGAIN = "used again later in the pass, and left as its first use set it"


@dataclass(frozen=True, slots=True)
class Site:
    """One node whose weight may be rescaled.

    Args:
        draft: the node.
        assignment: of its weight, or of the first parameter that the weight is made of.
        uses: of all parameters that make up the weight.
        biases: paths of the biases that its output holds.
        centred: the one that is to take off the mean of every unit, if any.
        limit: the largest factor on the weight.
        reads_plain: whether it reads the input, or rows of a table, as they are.
    """

    draft: Draft
    assignment: Assignment
    uses: tuple[Use, ...]
    biases: tuple[str, ...]
    centred: str | None
    limit: float = math.inf
    reads_plain: bool = True

    @staticmethod
    def fits(draft: Draft) -> bool:
        """Report whether a node multiplies by a weight, inside the model."""
        return draft.stage == "model" and draft.operation in (Operation.LINEAR, Operation.CONVOLUTION)

    @classmethod
    def of(
        cls, draft: Draft, assignment: Assignment, plan: Mapping[str, Assignment], *, limit: float = math.inf,
        reads_plain: bool = True,
    ) -> Site:  # fmt: skip
        """Look up the biases of a node."""
        biases = tuple(
            u.parameter for u in draft.uses if u.slot == "bias" and all(step.rescales for step in u.derivation)
        )
        centred = next((b for b in biases if b in plan and plan[b].bias == "centre"), None)
        uses = tuple(u for u in draft.uses if u.slot == "weight")
        return cls(draft, assignment, uses, biases, centred, limit, reads_plain)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the parameters that make up the weight."""
        return tuple(dict.fromkeys(use.parameter for use in self.uses))

    @property
    def is_assembled(self) -> bool:
        """Report whether the weight is computed from parameters before its use."""
        return is_assembled(self.uses)


class CalibratingPass:
    """The state of one calibrating pass.

    Args:
        program: the replay of the model.
        arrays: the batch.
        plan: whose assignments carry the level of the output they aim at.
        seed: random state of the pass.
        found: what earlier passes have done; this one goes on with it.
        skip: paths of the weights that this pass leaves alone.
    """

    def __init__(
        self, program: Program, arrays: Sequence[Any], plan: Plan | Mapping[str, Assignment], seed: int, *,
        found: Calibration | None = None, skip: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self.program, self.arrays, self.seed = program, arrays, seed
        self.plan = plan if isinstance(plan, Mapping) else {a.parameter: a for a in plan}
        self.found, self.skip = found or Calibration(), skip
        self.taken: set[str] = set()
        self.again: set[str] = set()
        self.assembled: list[Site] = []

    def followed(self, *, skip: frozenset[str]) -> CalibratingPass:
        """A further pass that goes on with what this one has found."""
        return CalibratingPass(self.program, self.arrays, self.plan, self.seed, found=self.found, skip=skip)

    def run(self) -> None:
        """Replay the model, and rescale every weight by what it was measured to need."""
        sites = self._sites()
        measured = _measured(self.program, self.arrays, sites, self.seed, _corrected)
        for node, (level, wanted, mean, filled) in measured.items():
            site = sites[node]
            factor, share = float(as_array(wanted)), float(as_array(filled))
            if not is_usable(factor):
                self.found.left.update(dict.fromkeys(site.paths, too_weak(float(as_array(level)))))
                continue
            if share < 1:
                self.found.notes[site.paths[0]] = measured_where_filled(share)
            factor = self._restrained(site, factor)
            self._rescale(site, factor)
            if site.centred is not None:
                bias = self.program.parameters[site.centred]
                bias.assign(ops.reshape(-factor * mean, bias.shape))
                self.found.biases[site.centred] = tuple(float(v) for v in values_of(bias).reshape(-1))

    def _restrained(self, site: Site, factor: float) -> float:
        """The factor, or the largest one that the weight may get."""
        if factor > site.limit:
            self.found.notes[site.paths[0]] = not_amplified(factor, site.limit)
        return min(factor, site.limit)

    def _rescale(self, site: Site, factor: float) -> None:
        """Multiply what a weight is made of, so that the weight is multiplied by the factor."""
        own = factor ** (1 / degree(site.uses))
        for path in site.paths:
            rescale(self.program.parameters[path], own)
            self.found.rescaled(path, own)
        if site.is_assembled:
            self.assembled.append(site)
            what = "all that its weight is made of" if len(site.paths) > 1 else "through the changes before its use"
            told = f"with {what}" if len(site.paths) > 1 else f"measured {what}"
            self.found.notes.setdefault(site.paths[0], told)

    def _sites(self) -> dict[int, Site]:
        """The nodes at which the pass rescales, by index; for the others a note gives the reason."""
        sites: dict[int, Site] = {}
        plain: set[int] = set()
        for draft in self.program.drafts:
            reads_plain = plain.issuperset(draft.inputs)
            if draft.operation in _PLAIN or (draft.operation in LEVEL_KEEPING and reads_plain):
                plain.add(draft.index)
            uses = tuple(u for u in draft.uses if u.slot == "weight")
            planned = [a for u in uses if (a := self.plan.get(u.parameter)) is not None and a.level is not None]
            if not Site.fits(draft) or not planned or self.skip.intersection(u.parameter for u in uses):
                continue
            self.again.update(a.parameter for a in planned if a.parameter in self.taken and len(uses) == 1)
            assignment = self._adjustable(uses, planned)
            if assignment is not None:
                self.taken.update(use.parameter for use in uses)
                limit = math.inf if is_assembled(uses) else largest_factor(assignment, reads_plain=reads_plain)
                sites[draft.index] = Site.of(draft, assignment, self.plan, limit=limit, reads_plain=reads_plain)
        return sites

    def _adjustable(self, uses: Sequence[Use], planned: Sequence[Assignment]) -> Assignment | None:
        """The assignment that states the level of a weight; None, with the reason noted, where it is left."""
        made = is_assembled(uses) and len({a.parameter for a in planned}) == len({u.parameter for u in uses})
        for use in uses:
            again = _AGAIN if use.parameter in self.taken else ""
            if reason := again if made else obstacle(use, uses, self.taken):
                self.found.left.setdefault(use.parameter, reason)
        return None if any(use.parameter in self.found.left for use in uses) else planned[0]


def levels_at(program: Program, arrays: Sequence[Any], sites: Sequence[Site], seed: int) -> dict[int, float]:
    """The second moments of the outputs of some nodes, their biases taken off, by node."""
    by_node = {site.draft.index: site for site in sites}
    seen = _measured(program, arrays, by_node, seed, _looked_at)
    return {node: float(as_array(level)) for node, (level, *_) in seen.items()}


_Eye = Callable[[Site, Any, Program], tuple[Any, tuple[Any, ...]]]
"""A function of a site and its output that returns the corrected output and the measurement."""


def _measured(
    program: Program, arrays: Sequence[Any], sites: Mapping[int, Site], seed: int, eye: _Eye
) -> dict[int, tuple[Any, ...]]:
    """Replay a program once under an eye."""

    def measure(given: list[Any]) -> dict[int, tuple[Any, ...]]:
        seen: dict[int, tuple[Any, ...]] = {}

        def tap(node: int, output: Any) -> Any:
            if node not in sites:
                return output
            goes_on, seen[node] = eye(sites[node], output, program)
            return goes_on

        replay(program, given, {}, seed=seed, tap=tap)
        return seen

    found: dict[int, tuple[Any, ...]] = compiled(measure)([ops.convert_to_tensor(a) for a in arrays])
    return found


def _looked_at(site: Site, output: Any, program: Program) -> tuple[Any, tuple[Any, ...]]:
    """The output as it is, and its level without bias."""
    return output, (ops.mean(ops.square(_without_bias(site, output, program)[0])),)


def _without_bias(site: Site, output: Any, program: Program) -> tuple[Any, Any]:
    """An output less its biases, and the biases."""
    shape = tuple(output.shape)
    bias: Any = 0.0
    for path in site.biases:
        bias = bias + _along_units(site, ops.cast(program.parameters[path], "float32"), shape)
    return ops.cast(output, "float32") - bias, bias


def _corrected(site: Site, output: Any, program: Program) -> tuple[Any, tuple[Any, ...]]:
    """The output at its level, and what was measured.

    Returns:
        the output that goes on; and the level found, the factor on it, the mean of every unit, and the share of places
        that hold a signal.
    """
    dtype, shape = output.dtype, tuple(output.shape)
    plain, bias = _without_bias(site, output, program)
    others = [axis for axis in range(len(shape)) if axis not in _unit_axes(site, program, shape)]
    mean = ops.mean(plain, axis=others, keepdims=True)
    filled = ops.ones(()) if site.reads_plain else _filled(plain, _unit_axes(site, program, shape))
    if site.centred is not None:
        plain = plain - mean
    level = ops.mean(ops.square(plain)) / ops.maximum(filled, 1e-9)
    factor = ops.sqrt((site.assignment.level or 0.0) / ops.maximum(level, 1e-37))
    usable = ops.logical_and(ops.greater(factor, 1 / TOO_FAR), ops.less(factor, TOO_FAR))
    limited = ops.minimum(factor, site.limit) if site.limit < math.inf else factor
    scaled = plain * limited + (0.0 if site.centred is not None else bias)
    corrected = ops.where(usable, ops.cast(scaled, dtype), output)
    return corrected, (level, ops.where(usable, factor, math.nan), mean, filled)


def _filled(output: Any, units: tuple[int, ...]) -> Any:
    """Share of the places that hold a signal: padded places and silent time steps are zero in every unit."""
    return ops.mean(ops.cast(ops.any(ops.not_equal(output, 0), axis=units), "float32"))


def _along_units(site: Site, vector: Any, shape: tuple[int, ...]) -> Any:
    """A bias shaped to be added to the output: along the last axes, or along channels."""
    if len(vector.shape) > 1:
        return vector
    axis = site.draft.unit_axis if site.draft.unit_axis is not None else len(shape) - 1
    return ops.reshape(vector, [-1 if i == axis else 1 for i in range(len(shape))])


def _unit_axes(site: Site, program: Program, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that a centred bias runs over."""
    rank = len(program.parameters[site.centred].shape) if site.centred is not None else 1
    if rank > 1:
        return tuple(range(len(shape) - rank, len(shape)))
    return (site.draft.unit_axis if site.draft.unit_axis is not None else len(shape) - 1,)
