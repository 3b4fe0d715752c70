"""Models of the zoo in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from golden_house.asked import Subject
from zoo.awkward import AWKWARD
from zoo.case import Case
from zoo.faults import FAULTS
from zoo.fields import FIELDS, Field
from zoo.healthy import HEALTHY
from zoo.hf import HUGGING_FACE
from zoo.invented import INVENTED, Invented

__all__ = ["subjects"]

LIBRARY = ("llama", "mixtral", "mamba", "swin")
TOO_LONG = (
    "chaotic tanh network of forty layers", "batch norm and relu sixty times without a skip",
    "residual stream of thirty branches without a norm",
)  # fmt: skip


def subjects() -> Iterator[Subject]:
    """All of them, one after another."""
    torch.set_num_threads(1)
    yield from (_case("healthy", case) for case in HEALTHY)
    yield from (_case("fault", fault.case) for fault in FAULTS if fault.case.name not in TOO_LONG)
    yield from (_case("awkward", case) for case in AWKWARD)
    yield from (_field(field) for field in FIELDS)
    yield from (_invented(one) for one in INVENTED)
    yield from (_case("library", case) for case in HUGGING_FACE if case.name in LIBRARY)


def _case(table: str, case: Case) -> Subject:
    build = partial(_fresh, case.model)
    return Subject(f"{table}: {case.name}", build, case.batch, _weights, case.loss, case.optimizer)


def _field(field: Field) -> Subject:
    return Subject(
        f"field: {field.name}",
        partial(_fresh, field.build),
        lambda: _seeded(1000, lambda: (field.inputs(), field.labels())),
        _weights,
        field.loss,
    )


def _invented(one: Invented) -> Subject:
    return Subject(f"invented: {one.name}", partial(_fresh, one.build), lambda: (one.inputs(), None), _weights)


def _fresh(build: Callable[[], nn.Module]) -> nn.Module:
    """A model in a known random state, from which lazy layers take their weights later."""
    model = _seeded(0, build)
    torch.manual_seed(0)
    return model


def _seeded(seed: int, make: Callable[[], Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def _weights(model: nn.Module) -> dict[str, Any]:
    """As arrays whose bytes are those of the tensors; half precision that NumPy lacks as single precision."""
    found = {}
    for path, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter) or parameter.is_meta:
            continue
        values = parameter.detach()
        found[path] = (values.float() if values.dtype is torch.bfloat16 else values).numpy()
    return found
