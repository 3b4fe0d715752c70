"""GS801 and GS805: what is not a number."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Node, Operation
from gainstage.records import Profile, Severity
from gainstage.rules.need import need_backward
from gainstage.rules.remedies import Phrase, edit, phrase
from gainstage.rules.table import Fault, rule
from gainstage.rules.words import place

__all__: list[str] = []

_REASONS: dict[str, tuple[str, str | Phrase]] = {
    "log": ("The logarithm of zero is −inf, that of a negative number NaN.", phrase("a guarded logarithm")),
    "exp": ("The exponential overflows beyond 88 in single precision.", phrase("a guarded exponential")),
    "sqrt": ("The root of a negative number is NaN.", phrase("a guarded root")),
    "rsqrt": ("The inverse root of zero is infinite.", phrase("a guarded inverse root")),
    "reciprocal": ("The reciprocal of zero is infinite.", phrase("a guarded reciprocal")),
    "quotient": ("A division by zero gives an infinity, and 0/0 NaN.", "x / (y + 1e-12)"),
    "pow": ("A negative base with a fractional exponent is NaN; large ones overflow.", phrase("a guarded power")),
    "softmax": ("A row that is masked as a whole has a softmax of 0/0.", "# let every row see at least one position"),
}


@rule("GS801", "NaN or infinity")
def not_finite(profile: Profile) -> Iterator[Fault]:
    """An operation makes a NaN or an infinity out of finite numbers.

    What it does:
    Names the first operation whose output has a non-finite element that its inputs had not.

    Why it matters:
    One NaN reaches the loss and from there, on the way back, every weight.

    Null hypothesis:
    Every intermediate value of a healthy network is finite. The −inf of a mask is, since a softmax takes it.

    Bound and where it comes from:
    A single element. An error.

    Example:
    The logarithm of a probability that rounds to zero; a division by a standard deviation of zero.

    Remedy:
    Guard the operation, or use the one that is stable by construction:

        torch.nn.functional.log_softmax(x, dim=-1)       # instead of softmax(x).log()

    Reference:
    Goldberg 1991, What Every Computer Scientist Should Know About Floating-Point Arithmetic.
    """
    loss = profile.task.loss
    bad_loss = loss is not None and not math.isfinite(loss.value)
    if profile.first_nonfinite is None:
        bad = next((at for at in profile.nodes if not at.forward.finite), None)
        if bad is None and not bad_loss:
            return
        index = bad.node if bad is not None else (loss.node if loss is not None else None)
    else:
        index = profile.first_nonfinite
    node = profile.graph.nodes[index] if index is not None else None
    at = profile.by_node.get(index) if index is not None else None
    count = at.forward.nonfinite if at is not None else 1
    what = f"'{place(node)}' ({node.function or node.name})" if node is not None else "the loss"
    yield Fault(
        Severity.ERROR,
        place(node) if node is not None else "",
        f"The first NaN or infinity comes out of {what}"
        + (f": {count} of {at.forward.count} elements." if at is not None and count else "."),
        float(max(count, 1)),
        0.0,
        _why_not_finite(node),
        edit("Guard this operation.", _guard(node)),
        index,
    )


def _reason(node: Node | None) -> tuple[str, str | Phrase] | None:
    if node is None:
        return None
    name = "softmax" if node.operation in (Operation.SOFTMAX, Operation.ATTENTION) else node.function
    return _REASONS.get(name) or (_REASONS["quotient"] if node.divides else None)


def _why_not_finite(node: Node | None) -> str:
    found = _reason(node)
    if found is not None:
        return found[0]
    if node is not None and node.operation.weighted:
        return "Its weights or what it reads are so large that the sum overflows, or a weight is not a number."
    return "What arrives is beyond the range of this operation or of the number format."


def _guard(node: Node | None) -> str | Phrase:
    found = _reason(node)
    return found[1] if found is not None else phrase("a search for the line")


@rule("GS805", "The gradient is NaN or infinite")
def gradient_not_finite(profile: Profile) -> Iterator[Fault]:
    """The forward pass is finite and the way back is not.

    What it does:
    When the loss and every measured output are finite, looks for the place nearest to the loss whose gradient is not.

    Why it matters:
    One step with it and every weight before that place is NaN, while the loss of the first batch looked right.

    Null hypothesis:
    Gradients are sums of finite products, and finite where the slopes are.

    Bound and where it comes from:
    A single element. An error.

    Example:
    torch.sqrt(torch.relu(x)): at zero the slope of the root is infinite, that of the relu zero, and their product NaN.
    torch.where does not help, since both of its branches are differentiated.

    Remedy:
    Keep the argument away from the edge before the operation:

        torch.sqrt(torch.relu(x) + 1e-12)

    Reference:
    JAX documentation, FAQ, Gradients contain NaN where using where.
    """
    need_backward(profile)
    loss = profile.task.loss
    if (loss is not None and not math.isfinite(loss.value)) or any(not at.forward.finite for at in profile.nodes):
        return
    bad = [at for at in profile.nodes if at.backward is not None and not at.backward.finite]
    weights = [p for p in profile.parameters if p.gradient is not None and not p.gradient.finite]
    if not bad and not weights:
        return
    graph = profile.graph
    index = max((at.node for at in bad), default=-1)
    index = max([index, *(i for p in weights for i in profile.parameter(p).nodes[-1:])])
    culprit = next((n for n in graph.nodes[index + 1 :] if _edge(n)), None)
    count = sum(p.gradient.nonfinite for p in weights if p.gradient is not None)
    node = graph.nodes[index]
    behind = (
        f"'{place(culprit)}' ({culprit.function or culprit.name})" if culprit is not None else "what lies behind it"
    )
    yield Fault(
        Severity.ERROR,
        place(culprit if culprit is not None else node),
        f"The gradient at '{place(node)}' and of {len(weights)} parameters before it is not finite ({count} elements).",
        float(max(count, 1)),
        0.0,
        f"Forward everything is finite, so a slope is not: that of {behind}.",
        edit("Keep the argument away from where the slope is infinite.", _guard(culprit)),
        culprit.index if culprit is not None else index,
    )


_EDGES = frozenset("sqrt rsqrt log pow quotient reciprocal norm acos asin std composite".split())
"""Functions that have an infinite slope somewhere."""


def _edge(node: Node) -> bool:
    return node.function in _EDGES or node.divides
