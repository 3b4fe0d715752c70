"""Delta-orthogonal convolutions."""

from __future__ import annotations

import math
from collections.abc import Container

from gainstage.graph import Parameter, Role, SignalGraph
from gainstage.planning.assign import drawn
from gainstage.planning.automatic import Automatic
from gainstage.planning.mirroring import UNMIRRORED
from gainstage.planning.named import Named
from gainstage.planning.recipes.recipe import RuleBased
from gainstage.records import Assignment

__all__ = ["delta_orthogonal"]


def delta_orthogonal(graph: SignalGraph, settable: Container[str]) -> RuleBased | Named:
    """Delta-orthogonal convolutions (Xiao et al., arXiv:1806.05393), with the spread that the signal asks for.

    Only the centre tap is not zero, and it is orthogonal. A kernel with fewer outputs than inputs cannot keep norms and
    is orthogonal as a whole, as matrices are.
    Without convolutions, or without a batch to see them at work, it is the scheme of that name on every weight.
    """
    kernels = [p.kernel for p in graph.parameters if p.role.is_kernel and p.kernel is not None]
    if not graph.inputs or all(kernel.receptive == 1 for kernel in kernels):
        return Named.of(graph, "delta_orthogonal")
    automatic = Automatic.with_pairs(graph, settable, UNMIRRORED)

    def rule(parameter: Parameter) -> Assignment | None:
        kernel = parameter.kernel
        wanted = automatic.assign(parameter)
        if kernel is None or wanted.spread is None or not parameter.role.is_kernel or parameter.role is Role.HEAD:
            return wanted
        if kernel.receptive > 1 and kernel.out >= kernel.in_:
            reason = f"delta-orthogonal: the centre tap alone, orthogonal; {wanted.reason}"
            gain = wanted.spread * math.sqrt(kernel.fan_in)
            return drawn(parameter, "delta_orthogonal", reason, gain=gain)
        why = "" if kernel.receptive == 1 else ": fewer outputs than inputs"
        return drawn(parameter, "orthogonal", f"orthogonal{why}; {wanted.reason}", spread=wanted.spread)

    return RuleBased(graph, rule, "orthogonal")
