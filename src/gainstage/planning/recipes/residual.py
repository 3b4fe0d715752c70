"""Recipes for residual nets: Fixup, and branches that start at zero."""

from __future__ import annotations

from collections.abc import Container

from gainstage.errors import InputError
from gainstage.graph import Operation, Parameter, Role, SignalGraph
from gainstage.planning.assign import drawn
from gainstage.planning.automatic import Automatic
from gainstage.planning.branches import branches, innermost
from gainstage.planning.context import weight_nodes
from gainstage.planning.mirroring import UNMIRRORED
from gainstage.planning.recipes.recipe import RuleBased
from gainstage.records import Assignment

__all__ = ["fixup", "zero_branches"]


def fixup(graph: SignalGraph, settable: Container[str]) -> RuleBased:  # noqa: ARG001
    """Fixup (Zhang, Dauphin and Ma, arXiv:1901.09321): residual nets without normalisation.

    The last weight of every branch and the classifier start at zero; the others on a branch of m weights at He's spread
    times L^(-1/(2m-2)), L branches in all.

    Raises:
        InputError: there is no residual branch.
    """
    found = branches(graph)
    if not found:
        raise InputError("The recipe 'fixup' is for residual branches, and this model has none. Use 'auto'.")
    inside, total = innermost(found), len(found)
    last = {index for branch in found for index in branch.last}

    def rule(parameter: Parameter) -> Assignment | None:
        nodes = {node.index for node in weight_nodes(graph, parameter)}
        if parameter.kernel is None or not parameter.role.is_kernel:
            return None
        if parameter.role is Role.HEAD:
            return drawn(parameter, "zeros", "fixup: the classifier starts at zero")
        if nodes & last:
            return drawn(parameter, "zeros", "fixup: the last weight of a branch starts at zero")
        on = [inside[index] for index in nodes if index in inside]
        if not on:
            return drawn(parameter, "he_normal", "fixup: He's rule outside of the branches")
        count = len(on[0].weights)
        gain = total ** (-1 / (2 * count - 2))
        reason = f"fixup: He times {total}^(-1/{2 * count - 2}), on one of {total} branches of {count} weights"
        return drawn(parameter, "he_normal", reason, gain=gain)

    notes = ["Fixup also wants a scalar multiplier on every branch and scalar biases before its weights."]
    norms = sum(n.operation is Operation.NORMALIZATION and n.part_of is None for n in graph.nodes)
    if norms:
        notes.append(f"Fixup replaces normalisation, and this model has {norms} of them: it gains nothing here.")
    return RuleBased(graph, rule, "he_normal", tuple(notes))


def zero_branches(graph: SignalGraph, settable: Container[str]) -> Automatic:
    """SkipInit (De and Smith, arXiv:2002.10444), ReZero (Bachlechner et al., arXiv:2003.04887): branches at zero.

    A learned multiplier at the end of a branch is set to zero; where there is none, the scale of a normalisation that
    ends it, or its last weight (Goyal et al., arXiv:1706.02677). Everything else is automatic.

    Raises:
        InputError: there is no residual branch.
    """
    if not branches(graph):
        raise InputError("The recipe 'zero_branches' is for residual branches, and this model has none. Use 'auto'.")
    return Automatic.with_pairs(graph, settable, UNMIRRORED, branch_start="zero")
