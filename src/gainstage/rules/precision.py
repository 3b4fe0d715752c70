"""GS802 to GS804: what half precision does to signal, gradient and step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from gainstage.records import NodeProfile, Profile, Severity
from gainstage.rules.need import need_backward, need_optimizer
from gainstage.rules.remedies import edit, initialize, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure, place

__all__: list[str] = []

LARGEST_HALF = 65504.0
SMALLEST_HALF = 2.0**-24
_DIGITS = {"float16": 11, "bfloat16": 8}  # bits of the mantissa, the hidden one included


@rule("GS802", "Half precision is about to overflow")
def near_overflow(profile: Profile) -> Iterator[Fault]:
    """Values come near the largest number that float16 can hold.

    What it does:
    Compares the extremes of every measured output that was computed in float16 with 65504, also where autocast
    computes only a part of the network in it.

    Why it matters:
    One value beyond is infinite, and the loss is NaN a few steps later. Levels grow during training by more than what
    is left here.

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
    half = _in_half(profile)
    if not half:
        return
    extremes = [
        (max(abs(at.forward.minimum), abs(at.forward.maximum)), at.node)
        for at in half
        if at.forward.finite and at.forward.minimum is not None and at.forward.maximum is not None
    ]
    if not extremes:
        raise Lacking("the extremes were not measured")
    largest, index = max(extremes)
    if largest > LARGEST_HALF / 10:
        yield Fault(
            Severity.WARNING,
            place(profile.graph.nodes[index]),
            f"The largest value computed in float16 is {figure(largest)}; the format ends at 65504.",
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
    Compares the root mean square of the gradient at every measured output that was computed in float16 with 2^-24,
    also where autocast computes only a part of the network in it. A gradient of exactly zero counts as well where the
    one that it is made of, or that of the loss by the output, is within four octaves of that.

    Why it matters:
    What is below half of that is zero, and the layers before get nothing.

    Null hypothesis:
    A mean over N examples of losses of order 1 gives gradients of order 1/(N √n) at n units, well above 6e-8 for
    batches below a million elements; otherwise the loss is to be scaled.

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
    small = [at for at in _in_half(profile) if _underflows(profile, at)]
    if small:
        worst = min(small, key=_gradient_rms)
        rms = _gradient_rms(worst)
        yield Fault(
            Severity.WARNING,
            place(profile.node(worst)),
            f"At {len(small)} places in float16 the gradient's root mean square is below 6e-8, the smallest number; "
            f"here it is {figure(rms)}.",
            rms,
            SMALLEST_HALF,
            "The loss is not scaled up, and most elements of the gradient round to zero.",
            edit("Scale the loss.", phrase("a scaled loss")),
            worst.node,
        )


def _in_half(profile: Profile) -> list[NodeProfile]:
    """The measured nodes that were computed in float16."""
    return [at for at in profile.nodes if profile.dtype(at) == "float16"]


def _gradient_rms(at: NodeProfile) -> float:
    return at.backward.rms if at.backward is not None and at.backward.finite else math.inf


def _underflows(profile: Profile, at: NodeProfile) -> bool:
    rms = _gradient_rms(at)
    if rms > 0:
        return rms < SMALLEST_HALF
    readers = [n.index for n in profile.graph.nodes if at.node in n.inputs and n.stage == "model"]
    sizes = [_gradient_rms(profile.by_node[index]) for index in readers if index in profile.by_node]
    return any(0 < size < 16 * SMALLEST_HALF for size in sizes or [_output_gradient(profile)])


def _output_gradient(profile: Profile) -> float:
    """Root mean square of the gradient of the loss by the output, before any cast; zero where it is not known."""
    shape, output = profile.task.loss_shape, profile.task.output
    return 0.0 if shape is None or output is None else shape.slope / max(math.prod(output.shape), 1)


@rule("GS804", "The step is lost in rounding")
def lost_step(profile: Profile) -> Iterator[Fault]:
    """Weights are kept in half precision, and the step is smaller than the distance to the next number.

    What it does:
    For weights in float16 or bfloat16, compares ‖step‖ / ‖weight‖ with half the distance between neighbouring numbers.

    Why it matters:
    A change below half of that distance rounds to nothing: most weights stay where they are, however many steps are
    made.

    Null hypothesis:
    Weights are kept in single precision, with copies in half precision for the products.

    Bound and where it comes from:
    Half a unit in the last place: 2^-9 = 0.002 of the weight in bfloat16, 2^-12 = 0.00024 in float16, for the median
    weight.

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
                f"The typical step is {figure(median(updates))} of the weight; {dtype} rounds changes below "
                f"{figure(bound)} "
                "to nothing.",
                median(updates),
                bound,
                f"The weights are kept in {dtype}.",
                edit(
                    "Keep the weights in single precision and compute in half.",
                    phrase("half precision for computing alone", dtype=dtype),
                ),
            )
