"""Normalizations: which units and positions share a mean and a variance."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from gainstage.backends.torch.tracing import operations as table
from gainstage.backends.torch.tracing.call import Call, Draft, draft_of, uses_of
from gainstage.graph import Operation, Slot, Use

__all__ = ["normalization"]

Settings = tuple[tuple[str, float], ...]


def normalization(call: Call) -> Draft | None:
    """Batch, layer, group, instance and root-mean-square normalization."""
    function = table.NORMALIZATIONS.get(call.name)
    if function is None:
        return None
    uses: tuple[Use, ...] = ()
    slots: tuple[tuple[str, Slot], ...] = (("weight", "scale"), ("bias", "shift"))
    for formal, slot in slots:
        tensor = call.argument(formal)
        if tensor is not None:
            uses += uses_of(call.of(tensor), slot)
    eps: Settings = (("eps", call.number("eps", 1e-5)),)
    draft = draft_of(call, Operation.NORMALIZATION, uses=uses, function=function, settings=eps)
    if function == "batch_norm":
        training = call.argument("training", call.argument("train", call.name != _FROZEN))
        frozen = replace(draft, settings=(*eps, ("training", float(bool(training)))))
        return (_of_single_examples(call, draft) if training else None) or frozen
    return replace(draft, settings=(*eps, *_shared(call, function)))


_FROZEN = "_native_batch_norm_legit_no_training"


def _of_single_examples(call: Call, draft: Draft) -> Draft | None:
    """Instance normalization, which PyTorch runs as a batch norm with the examples beside the channels.

    Its input has the shape ``(1, examples · channels, *places)``.
    """
    shape, stride = draft.shape, call.values[0].example_stride
    count = prod(shape)
    if stride is None or len(shape) < 3 or shape[0] != 1 or not 0 < stride < count or count % stride:
        return None
    examples = count // stride
    if shape[1] % examples:
        return None
    channels = shape[1] // examples
    settings = (*draft.settings, ("groups", float(channels)), ("over_positions", 1.0))
    logical = (examples, channels, *shape[2:])
    return replace(draft, function="instance_norm", settings=settings, shape=logical, unit_axis=1)


def _shared(call: Call, function: str) -> Settings:
    """Into how many groups the units are parted, and whether positions share a statistic too."""
    if function == "group_norm":
        groups = call.number("group", call.number("num_groups", 1.0))
        return ("groups", groups), ("over_positions", 1.0)
    rank, unit = call.tensors[0].dim(), call.values[0].unit_axis
    last = len(call.argument("normalized_shape", ()))
    axes = range(rank - last, rank)
    shared = unit in axes and any(axis != unit and call.tensors[0].shape[axis] > 1 for axis in axes)
    return (("over_positions", 1.0),) if shared else ()
