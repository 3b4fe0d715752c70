"""The same model under other names: every submodule and every parameter of a module that is not PyTorch's own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["renamed"]

_BY_KEY = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Containers that look their members up by key: a key is no name."""


def renamed(model: nn.Module) -> tuple[nn.Module, Mapping[str, str]]:
    """A copy whose code still says the old names, and finds what it asks for under new ones.

    Returns:
        the copy with the same weights, and the old path of every parameter by its new one.
    """
    twin = copy.deepcopy(model)
    for module in list(twin.modules()):
        _rename(module)
    old = [path for path, _ in model.named_parameters(remove_duplicate=False)]
    new = [path for path, _ in twin.named_parameters(remove_duplicate=False)]
    assert len(old) == len(new)
    return twin, dict(zip(new, old, strict=True))


def _rename(module: nn.Module) -> None:
    if isinstance(module, _BY_KEY):
        return
    names = {name: f"part_{place}" for place, name in enumerate(module._modules)}
    if not type(module).__module__.startswith("torch."):  # what PyTorch's own layers call their weights is their kind
        names |= {name: f"array_{place}" for place, name in enumerate(module._parameters)}
    for table in (module._modules, module._parameters):
        members = [(names.get(name, name), member) for name, member in table.items()]
        table.clear()
        table.update(members)
    module.__dict__["_new_names"] = names
    module.__class__ = _answering(type(module))


def _answering(kind: type[nn.Module]) -> type[nn.Module]:
    """The same class, whose instances answer to old names."""

    def get(self: nn.Module, name: str) -> Any:
        names = self.__dict__.get("_new_names", {})
        return kind.__getattr__(self, names.get(name, name))

    def put(self: nn.Module, name: str, value: Any) -> None:
        kind.__setattr__(self, self.__dict__.get("_new_names", {}).get(name, name), value)

    space = {"__getattr__": get, "__setattr__": put, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), space)
