"""The same model under other names: every submodule and every parameter of a module that is not PyTorch's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["renamed"]

_BY_KEY = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Containers that look their members up by key: a key is no name."""


def renamed(model: nn.Module) -> Mapping[str, str]:
    """Rename in place: the model's code still says the old names, and finds what it asks for under new ones.

    Returns:
        the old path of every parameter by its new one.
    """
    old = [path for path, _ in model.named_parameters(remove_duplicate=False)]
    for module in list(model.modules()):
        _rename(module)
    new = [path for path, _ in model.named_parameters(remove_duplicate=False)]
    return dict(zip(new, old, strict=True))


def _rename(module: nn.Module) -> None:
    if isinstance(module, _BY_KEY):
        return
    names = {name: f"bias_backward_{place}" for place, name in enumerate(module._modules)}
    if not _of_torch(module):  # what PyTorch's own layers call their weights belongs to their kind
        names |= {name: f"weight_hh_reverse_{place}_g" for place, name in enumerate(module._parameters)}
    for table in (module._modules, module._parameters):
        members = [(names.get(name, name), member) for name, member in table.items()]
        table.clear()
        table.update(members)
    module.__dict__["_new_names"] = names
    module.__class__ = _answering(type(module))


def _of_torch(module: nn.Module) -> bool:
    """Whether a module is of one of PyTorch's own kinds, or of a kind made from one."""
    return any(kind.__module__.startswith("torch.") for kind in type(module).__mro__ if kind not in (nn.Module, object))


def _answering(kind: type[nn.Module]) -> type[nn.Module]:
    """The same class, whose instances answer to old names."""

    def get(self: nn.Module, name: str) -> Any:
        names = self.__dict__.get("_new_names", {})
        return kind.__getattr__(self, names.get(name, name))

    def put(self: nn.Module, name: str, value: Any) -> None:
        kind.__setattr__(self, self.__dict__.get("_new_names", {}).get(name, name), value)

    space = {"__getattr__": get, "__setattr__": put, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), space)
