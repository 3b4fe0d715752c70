"""A table of losses in number formats, made from a profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gainstage.records import Formats, FormatShares, Magnitudes, Profile, TensorFormats, TensorMagnitudes
from gainstage.rules.expected_magnitudes import FirstUpdate, expected_magnitudes
from gainstage.statistics import FORMATS, NumberFormat, loss_scale, lost_updates, number_format, shares_in

__all__ = ["formats_of"]


def formats_of(profile: Profile, formats: Sequence[str] = (), *, update: FirstUpdate | None = None) -> Formats:
    """Return what number formats would do to every tensor of a profile.

    Args:
        profile: measured with its magnitudes; or predicted, or measured without them: then the distributions are those
            that theory expects from the moments.
        formats: names of the formats; by default all of ``FORMATS``.
        update: name of an optimizer and its learning rate, for first updates that were not measured.

    Raises:
        UnknownNameError: there is no format of that name.

    >>> from gainstage.graph import Node, Operation, SignalGraph
    >>> from gainstage.records import Moments, NodeProfile, Profile, Source, Task
    >>> graph = SignalGraph((Node(0, Operation.LINEAR, "linear", (), (64, 1024)),), ())
    >>> at = NodeProfile(0, Moments(65536, 0.0, 1.0, 1.0), Moments(65536, 0.0, 1e-16, 1e-16))
    >>> found = formats_of(Profile(graph, (at,), (), Task(), Source("predicted", "")), ["float16"])
    >>> [(tensor.kind, round(tensor.of("float16").underflow, 3)) for tensor in found.tensors]
    [('output', 0.0), ('gradient', 0.997)]
    >>> found.loss_scale("float16").advised
    8192.0
    """
    forms = [number_format(name) for name in formats] or [*FORMATS.values()]
    every = profile.magnitudes or tuple(expected_magnitudes(profile, update))
    steps = {found.path: found.magnitudes for found in every if found.kind == "step"}
    tensors = tuple(_tensor(found, forms, steps.get(found.path)) for found in every if found.kind != "step")
    gradients = [found.magnitudes for found in every if found.kind in ("gradient", "weight_gradient")]
    scales = (loss_scale(gradients, form) for form in forms)
    return Formats(
        tensors, tuple(form.name for form in forms), tuple(s for s in scales if s is not None), profile.source,
        profile.notes,
    )  # fmt: skip


def _tensor(found: TensorMagnitudes, forms: Sequence[NumberFormat], steps: Magnitudes | None) -> TensorFormats:
    values = found.magnitudes
    shares = tuple(_shares(found, form, steps) for form in forms)
    return TensorFormats(
        found.kind, found.path, found.dtype, values.count, values.zeros, values.quantile(0.01), values.quantile(0.5),
        values.largest, shares, found.node,
    )  # fmt: skip


def _shares(found: TensorMagnitudes, form: NumberFormat, steps: Magnitudes | None) -> FormatShares:
    shares = shares_in(found.magnitudes, form)
    return replace(shares, lost=lost_updates(steps, form)) if steps is not None and found.kind == "weight" else shares
