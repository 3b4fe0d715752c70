"""GS8xx: what the number format does to the signal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from gainstage.graph import Node, Operation
from gainstage.records import Profile, Severity
from gainstage.rules.need import need_backward, need_optimizer
from gainstage.rules.remedies import edit, initialize
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure, place

__all__: list[str] = []

LARGEST_HALF = 65504.0
SMALLEST_HALF = 2.0**-24
_DIGITS = {"float16": 11, "bfloat16": 8}  # bits of the mantissa, the hidden one included


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


_REASONS = {
    "log": ("The logarithm of zero is −inf, that of a negative number NaN.", "torch.log(x.clamp(min=1e-12))"),
    "exp": ("The exponential overflows beyond 88 in single precision.", "torch.exp(x.clamp(max=80))"),
    "sqrt": ("The root of a negative number is NaN.", "torch.sqrt(x.clamp(min=1e-12))"),
    "rsqrt": ("The inverse root of zero is infinite.", "torch.rsqrt(x + 1e-6)"),
    "reciprocal": ("The reciprocal of zero is infinite.", "1 / x.clamp(min=1e-12)"),
    "div": ("A division by zero gives an infinity, and 0/0 NaN.", "x / (y + 1e-12)"),
    "pow": ("A negative base with a fractional exponent is NaN; large ones overflow.", "x.clamp(min=1e-12).pow(p)"),
    "softmax": ("A row that is masked as a whole has a softmax of 0/0.", "# let every row see at least one position"),
}


def _reason(node: Node | None) -> tuple[str, str] | None:
    if node is None:
        return None
    name = "softmax" if node.operation in (Operation.SOFTMAX, Operation.ATTENTION) else node.function or node.name
    return _REASONS.get(name, _REASONS.get(node.name))


def _why_not_finite(node: Node | None) -> str:
    found = _reason(node)
    if found is not None:
        return found[0]
    if node is not None and node.operation.weighted:
        return "Its weights or what it reads are so large that the sum overflows, or a weight is not a number."
    return "What arrives is beyond the range of this operation or of the number format."


def _guard(node: Node | None) -> str:
    found = _reason(node)
    return found[1] if found is not None else "torch.autograd.set_detect_anomaly(True)  # names the line"


@rule("GS802", "Half precision is about to overflow")
def near_overflow(profile: Profile) -> Iterator[Fault]:
    """Values come near the largest number that float16 can hold.

    What it does:
    In float16, compares the extremes of every measured output with 65504.

    Why it matters:
    One value beyond is infinite, and the loss is NaN a few steps later. Levels grow during training by more than what is
    left here.

    Null hypothesis:
    Levels are of the order of 1, extremes below 100.

    Bound and where it comes from:
    A tenth of 65504: training moves levels by that much.

    Example:
    Attention scores that are not divided by the root of their dimension.

    Remedy:
    bfloat16 has the range of single precision:

        model.to(torch.bfloat16)

    Reference:
    Micikevicius et al. 2018, Mixed Precision Training.
    """
    if profile.source.dtype != "float16":
        return
    extremes = [
        (max(abs(at.forward.minimum), abs(at.forward.maximum)), at.node)
        for at in profile.nodes
        if at.forward.finite and at.forward.minimum is not None and at.forward.maximum is not None
    ]
    if not extremes:
        raise Lacking("the extremes were not measured")
    largest, index = max(extremes)
    if largest > LARGEST_HALF / 10:
        yield Fault(
            Severity.WARNING,
            place(profile.graph.nodes[index]),
            f"The largest value is {figure(largest)}; float16 ends at 65504.",
            largest,
            LARGEST_HALF / 10,
            "The level of the signal is too large for this number format.",
            initialize("Draw the weights so that the level stays of the order of 1, or use bfloat16."),
            index,
        )


@rule("GS803", "The gradient underflows in half precision")
def gradient_underflow(profile: Profile) -> Iterator[Fault]:
    """Gradients are smaller than the smallest number of float16 and become zero.

    What it does:
    In float16, compares the root mean square of the gradient at every measured output with 2^-24.

    Why it matters:
    What is below half of that is zero, and the layers before get nothing.

    Null hypothesis:
    A mean over N examples of losses of order 1 gives gradients of order 1/(N √n) at n units, well above 6e-8 for batches
    below a million elements; otherwise the loss is to be scaled.

    Bound and where it comes from:
    2^-24 = 6e-8, the smallest positive float16.

    Example:
    A loss averaged over 512 × 512 pixels and a batch of 64, without loss scaling.

    Remedy:
    Scale the loss, or use bfloat16:

        scaler = torch.amp.GradScaler("cuda")

    Reference:
    Micikevicius et al. 2018, section 3.2.
    """
    need_backward(profile)
    if profile.source.dtype != "float16":
        return
    small = [
        at
        for at in profile.nodes
        if at.backward is not None and at.backward.finite and 0 < at.backward.rms < SMALLEST_HALF
    ]
    if small:
        worst = min(small, key=lambda at: at.backward.rms if at.backward is not None else math.inf)
        rms = worst.backward.rms if worst.backward is not None else 0.0
        yield Fault(
            Severity.WARNING,
            place(profile.node(worst)),
            f"The gradient has root mean square {figure(rms)} at {len(small)} places or below; float16 ends at 6e-8.",
            rms,
            SMALLEST_HALF,
            "The loss is not scaled up, and most elements of the gradient round to zero.",
            edit("Scale the loss.", 'scaler = torch.amp.GradScaler("cuda")'),
            worst.node,
        )


@rule("GS804", "The step is lost in rounding")
def lost_step(profile: Profile) -> Iterator[Fault]:
    """Weights are kept in half precision, and the step is smaller than the distance to the next number.

    What it does:
    For weights in float16 or bfloat16, compares ‖step‖ / ‖weight‖ with half the distance between neighbouring numbers.

    Why it matters:
    A change below half of that distance rounds to nothing: most weights stay where they are, however many steps are made.

    Null hypothesis:
    Weights are kept in single precision, with copies in half precision for the products.

    Bound and where it comes from:
    Half a unit in the last place: 2^-9 = 0.002 of the weight in bfloat16, 2^-12 = 0.00024 in float16, for the median weight.

    Example:
    model.to(torch.bfloat16) and a plain SGD at a learning rate of 1e-3.

    Remedy:
    Keep the weights in single precision:

        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = criterion(model(x), y)

    Reference:
    Micikevicius et al. 2018, section 3.1; Zamirai et al. 2020, Revisiting BFloat16 Training.
    """
    need_optimizer(profile)
    half = [(p.update, profile.parameter(p).dtype) for p in profile.parameters if profile.parameter(p).role.is_kernel]
    for dtype, bits in _DIGITS.items():
        updates = [u for u, kind in half if kind == dtype and u is not None and math.isfinite(u)]
        bound = 2.0 ** -(bits + 1)
        if updates and median(updates) < bound:
            yield Fault(
                Severity.WARNING,
                "",
                f"The typical step is {figure(median(updates))} of the weight; {dtype} rounds changes below {figure(bound)} "
                "to nothing.",
                median(updates),
                bound,
                f"The weights are kept in {dtype}.",
                edit(
                    "Keep the weights in single precision and compute in half.", "model.float()  # and torch.autocast"
                ),
            )


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


def _edge(node: Node) -> bool:
    """Whether an operation has an infinite slope somewhere."""
    return {node.function, node.name} & {"sqrt", "rsqrt", "log", "pow", "div", "reciprocal", "norm", "linalg_vector_norm",
                                         "acos", "asin", "std", "composite"} != set()  # fmt: skip
