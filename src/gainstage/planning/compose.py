"""From a graph to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from gainstage.errors import InputError, ModelError, UnknownNameError
from gainstage.graph import Parameter, SignalGraph
from gainstage.planning.assign import FROZEN, constant, kept, must_keep
from gainstage.planning.automatic import BranchStart
from gainstage.planning.overrides import LITERAL, Override, Overrides, canonical_name, resolve
from gainstage.planning.path_patterns import matching
from gainstage.planning.recipes import Recipe, recipe_entry
from gainstage.planning.standing import Standing
from gainstage.records import Assignment, Plan

__all__ = ["kept_plan", "plan"]

_SEEDS = 1 << 64


def plan(
    graph: SignalGraph,
    scheme: str = "auto",
    *,
    seed: int = 0,
    overrides: Overrides | None = None,
    only: Sequence[str] = (),
    branch_start: BranchStart = "scaled",
    standing: Standing | None = None,
) -> Plan:
    """Decide what every parameter gets. Nothing is written.

    Args:
        graph: the model, with the role of every parameter.
        scheme: ``auto`` or another recipe (``fixup``, ``t_fixup``, ``zero_branches``, ``gpt2``, ``deepnorm``,
            ``delta_orthogonal``, ``lsuv``, ``mirrored``, ``mup``), ``keep``, or a name in the table of schemes.
            A named one draws the weights; scales of normalisations, shifts, biases and embeddings get the neutral
            value that goes with it.
        seed: fixes every byte, 0 <= seed < 2**64.
        overrides: other schemes or gains for some parameters, by pattern; where several match, the last one counts.
            ``keep``, ``zeros``, ``ones`` and ``constant`` mean all parameters of the pattern, whatever their role.
        only: patterns of the parameters to touch; empty for all.
        branch_start: whether ``auto`` starts residual branches with their share of the stream's budget (``scaled``) or
            silent (``zero``).
        standing: what is known of the values that stand in the model; ``auto`` keeps those written on purpose.

    Returns:
        One assignment for every parameter, in the model's order, each with its reason.

    Raises:
        InputError: a pattern matches nothing, or an argument is of the wrong kind.
        UnknownNameError: there is no such scheme.
        ModelError: the model has no parameters.

    >>> from gainstage.graph import KernelShape, Node, Operation, Parameter, Role, SignalGraph, Use
    >>> nodes = (
    ...     Node(0, Operation.INPUT, "input", (), (32, 784)),
    ...     Node(1, Operation.LINEAR, "linear", (0,), (32, 128), uses=(Use("weight", "weight"), Use("bias", "bias"))),
    ... )
    >>> weight = Parameter("weight", (128, 784), "float32", Role.HIDDEN, KernelShape(128, 784), nodes=(1,))
    >>> bias = Parameter("bias", (128,), "float32", Role.BIAS, nodes=(1,))
    >>> for assignment in plan(SignalGraph(nodes, (weight, bias), inputs=(0,)), "he_normal"):
    ...     print(assignment.parameter, assignment.scheme, assignment.reason)
    weight he_normal he_normal (fan_in 784, fan_out 128)
    bias zero zero: the weights alone set the level
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < _SEEDS:
        raise InputError(f"The seed must be a whole number from 0 to 2**64 - 1; received {seed!r}.")
    if isinstance(only, str):
        raise InputError(f"only takes a sequence of patterns; received the string {only!r}. Write only=({only!r},).")
    if not graph.parameters:
        raise ModelError("The model has no parameters, so there is nothing to initialize.")
    scheme = canonical_name(scheme)
    chosen = _chosen(graph, only)
    asked = resolve(overrides or {}, graph.parameters)
    schemes = {p.path: _scheme(asked.get(p.path), scheme) if p.path in chosen else "keep" for p in graph.parameters}
    if branch_start not in get_args(BranchStart):
        raise UnknownNameError("branch_start", branch_start, get_args(BranchStart))
    recipes = {}
    for name in {*schemes.values()}:
        settable = frozenset(path for path, chosen_name in schemes.items() if chosen_name == name)
        recipes[name] = _recipe(graph, name, settable, branch_start, standing or {})
    assignments = []
    for parameter in graph.parameters:
        override = asked.get(parameter.path)
        if parameter.path not in chosen:
            assignments.append(kept(parameter, "not among the parameters that were chosen"))
        elif override is not None and override.scheme is not None and override.scheme in LITERAL:
            assignments.append(_literal(parameter, override.scheme, override.gain))
        else:
            gain = override.gain if override is not None else 1.0
            assignments.append(_assignment(recipes[schemes[parameter.path]], parameter, gain))
    told = tuple(dict.fromkeys(note for recipe in recipes.values() if recipe for note in recipe.notes))
    return Plan(tuple(assignments), seed, scheme, (*told, *_notes(graph, asked)))


def kept_plan(made: Plan) -> Plan:
    """A plan for the same parameters that keeps all of them."""
    lines = (
        Assignment(
            a.parameter, a.role, a.shape, "keep", kernel=a.kernel, blocks=a.blocks, layout=a.layout, reason="put back"
        ) for a in made
    )  # fmt: skip
    return replace(made, assignments=tuple(lines), notes=())


def _chosen(graph: SignalGraph, only: Sequence[str]) -> frozenset[str]:
    if not only:
        return frozenset(p.path for p in graph.parameters)
    return frozenset[str]().union(*(matching(pattern, graph.parameters, where="only") for pattern in only))


def _scheme(override: Override | None, whole: str) -> str:
    return whole if override is None or override.scheme is None else override.scheme


def _recipe(
    graph: SignalGraph, scheme: str, settable: frozenset[str], branch_start: BranchStart, standing: Standing
) -> Recipe | None:
    if scheme == "keep":
        return None
    return recipe_entry(scheme).recipe(graph, settable, branch_start, standing)


def _assignment(recipe: Recipe | None, parameter: Parameter, gain: float) -> Assignment:
    if recipe is None:
        return kept(parameter, "as asked")
    reason = must_keep(parameter)
    if reason and not (parameter.trainable and parameter.path in recipe.claims):
        return kept(parameter, reason)
    return recipe.assign(parameter, gain)


def _literal(parameter: Parameter, scheme: str, gain: float) -> Assignment:
    """A constant that an override asks for goes to whatever its pattern means, biases and scales too."""
    if not parameter.trainable:
        return kept(parameter, FROZEN)
    rule = LITERAL[scheme]
    if rule == "keep":
        return kept(parameter, "as asked")
    return constant(parameter, rule, f"{scheme}, as asked", value=gain)


def _notes(graph: SignalGraph, asked: Mapping[str, Override]) -> tuple[str, ...]:
    """What a reader of the plan should know beyond its lines."""
    notes = []
    unreached = [p.path for p in graph.unreached]
    if unreached:
        notes.append(f"No operation that was seen uses {_some(unreached)}.")
    frozen = [p.path for p in graph.parameters if p.path in asked and not p.trainable]
    if frozen:
        notes.append(f"Frozen, and kept although an override names them: {_some(frozen)}.")
    return tuple(notes)


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"
