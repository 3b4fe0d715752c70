"""Find the models that a program trains, from the optimizers it makes, before they are called for the first time.

An optimizer knows its parameters and not the module that they belong to. So when one is made, the modules of the
process are searched for them. The first call of such a module in training tells that everything is in place.
"""

from __future__ import annotations

import functools
import gc
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import torch
from torch import nn
from torch.optim import Optimizer

from gainstage.backends.torch.watching import interception
from gainstage.backends.torch.watching.attached import Attached

__all__ = ["Discovery", "Together"]

Trained = tuple[nn.Module, list[Optimizer]]
Found = Callable[[nn.Module, Sequence[Optimizer]], None]


class Together(nn.Module):
    """Modules that one optimizer trains and that no module holds together.

    Args:
        parts: the modules by name.
    """

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class Discovery:
    """Waits for optimizers and for the first call of what they train; a context manager.

    Args:
        found: receives every model, and the optimizers that step its parameters, when the model is called for the
            first time with gradients.
    """

    def __init__(self, found: Found) -> None:
        self._found = found
        self._made: list[weakref.ref[Optimizer]] = []
        self._armed: list[Any] = []
        self._original: Any = None

    def __enter__(self) -> Self:
        self._original = original = Optimizer.__init__

        @functools.wraps(original)
        def make(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
            original(optimizer, *args, **kwargs)
            self._made.append(weakref.ref(optimizer))
            self._arm()

        Optimizer.__init__ = self._replacement = make  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_error: object) -> None:
        if Optimizer.__init__ is self._replacement:
            Optimizer.__init__ = self._original  # type: ignore[method-assign]
        self._disarm()

    @property
    def optimizers(self) -> tuple[Optimizer, ...]:
        """Return the optimizers whose model was not called yet."""
        return tuple(optimizer for reference in self._made if (optimizer := reference()) is not None)

    # -- the first call ------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Let every module that may be called first report its call."""
        self._disarm()
        held = {id(p) for optimizer in self.optimizers for p in _parameters(optimizer)}
        for top in _tops(held):
            compiled = hasattr(top, "_orig_mod")
            for module in (top,) if compiled else top.modules():
                self._armed.append(module.register_forward_pre_hook(self._called, with_kwargs=True))

    def _disarm(self) -> None:
        for hook in self._armed:
            hook.remove()
        self._armed = []

    def _called(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return
        met = _met(module, self._models())
        if not met:
            return
        seen = {id(optimizer) for _, optimizers in met for optimizer in optimizers}
        self._made = [reference for reference in self._made if id(reference()) not in seen]
        self._arm()
        for model, optimizers in met:
            self._found(model, optimizers)
            for watch in interception.present():
                if isinstance(watch, Attached) and watch.sees(model, optimizers):
                    watch.entered(module, args, kwargs)

    def _models(self) -> list[Trained]:
        """The models of all optimizers that wait, each with its optimizers."""
        optimizers = self.optimizers
        held = {id(p) for optimizer in optimizers for p in _parameters(optimizer)}
        tops = _tops(held)
        found: dict[int, Trained] = {}
        for optimizer in optimizers:
            own = {id(p) for p in _parameters(optimizer)}
            model = _model_of(own, held - own, tops)
            if model is not None:
                key = id(model) if not isinstance(model, Together) else id(optimizer)
                found.setdefault(key, (model, []))[1].append(optimizer)
        return list(found.values())


def _met(module: nn.Module, trained: Sequence[Trained]) -> list[Trained]:
    """Those that the call of a module belongs to; parts that are called as one are one."""
    around = [(model, optimizers) for model, optimizers in trained if module in set(model.modules())]
    within = set(module.modules()) - {module}
    parts = [(model, optimizers) for model, optimizers in trained if model in within]
    if len(parts) > 1:
        parts = [(module, [optimizer for _, optimizers in parts for optimizer in optimizers])]
    return [*around, *parts]


def _parameters(optimizer: Optimizer) -> Iterable[torch.Tensor]:
    return (p for group in optimizer.param_groups for p in group["params"])


def _tops(held: set[int]) -> list[nn.Module]:
    """The modules of the process that hold some of the parameters and that belong to no other such module."""
    modules = [m for m in gc.get_objects() if issubclass(type(m), nn.Module) and "_modules" in m.__dict__]
    holding = [m for m in modules if any(id(p) in held for p in m.parameters())]
    inner = {id(child) for m in holding for child in m.modules() if child is not m}
    return [m for m in holding if id(m) not in inner]


def _model_of(own: set[int], others: set[int], tops: Sequence[nn.Module]) -> nn.Module | None:
    """The module that an optimizer trains.

    Args:
        own: identities of its parameters.
        others: those of other optimizers alone.
        tops: modules that belong to no other.
    """
    holding = [top for top in tops if any(id(p) in own for p in top.parameters())]
    whole = [top for top in holding if own <= {id(p) for p in top.parameters()}]
    if whole:
        # A wrapper hides what it wraps, which is its child. Two that hold all are copies that share weights.
        return _part_of(whole[0], own, others)
    if not holding:
        return None
    parts = [_part_of(top, own & {id(p) for p in top.parameters()}, others) for top in holding]
    return Together(dict(zip(_names(parts), parts, strict=True)))


def _part_of(model: nn.Module, own: set[int], others: set[int]) -> nn.Module:
    """The part of a module that an optimizer has to itself, where other optimizers train the rest."""
    while any(id(p) in others for p in model.parameters()):
        child = next((c for c in model.children() if own <= {id(p) for p in c.parameters()}), None)
        if child is None:
            break
        model = child
    return model


def _names(modules: Sequence[nn.Module]) -> list[str]:
    """The variables of the program that hold the modules, else the names of their classes; all different."""
    variables = {id(v): name for name, v in vars(sys.modules["__main__"]).items() if isinstance(v, nn.Module)}
    names: list[str] = []
    for module in modules:
        name = variables.get(id(module), type(module).__name__.lower())
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names
