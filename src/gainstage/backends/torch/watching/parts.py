"""Follow the children of a module that is never called itself, as in the training step of a trainer's module."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

__all__ = ["Chained", "Parts"]


class _Begin(Protocol):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, first: bool) -> bool: ...


class _Leave(Protocol):
    def __call__(self, output: Any) -> None: ...


class Chained(nn.Module):
    """Children of a module, each called with the output of the one before; their parameters keep their paths.

    Args:
        parts: the children by name, in the order of the calls.
    """

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the first part with the arguments, and every other part with the output of the one before."""
        first, *rest = self._modules.values()
        assert first is not None
        output = first(*args, **kwargs)
        for part in rest:
            assert part is not None
            output = part(output)
        return output


class Parts:
    """Hooks on those children of a module that have something to train, until the module itself is called.

    The calls between two backward passes are a network where each takes the very tensor that the one before returned.
    With anything between them (a sample from a latent distribution, two losses) they are not, and there is no network.

    Args:
        root: the module.
        begin: receives the calls, ``first`` for the first one of a batch; returns whether the call is to be followed.
        leave: receives the output of every call that is followed.
    """

    def __init__(self, root: nn.Module, begin: _Begin, leave: _Leave) -> None:
        self._begin, self._leave = begin, leave
        self._called: dict[str, nn.Module] = {}
        self._output: Tensor | None = None
        self._depth = 0
        self._broken = False
        self._network: Chained | None = None
        compiled = hasattr(root, "_orig_mod") or getattr(root, "_compiled_call_impl", None) is not None
        trained = [] if compiled else [
            (name, child) for name, child in root.named_children() if any(p.requires_grad for p in child.parameters())
        ]  # fmt: skip
        self._names = {child: name for name, child in trained}
        self._hooks = [
            hook
            for name, child in trained
            for hook in (
                child.register_forward_pre_hook(self._entering(name), with_kwargs=True),
                child.register_forward_hook(self._leaving),
            )
        ]

    def network(self, root: nn.Module) -> nn.Module | None:
        """The root where it is called itself; else the parts as one network, or None where they are no chain."""
        if not self._hooks or not (self._called or self._broken):
            return root
        if self._broken:
            return None
        if self._network is None or list(self._network._modules) != list(self._called):
            self._network = Chained(self._called)
        return self._network

    def entered(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A call of a part had begun before the hooks were in place; other modules are none of the parts."""
        if module in self._names:
            self._entering(self._names[module])(module, args, kwargs)

    def passed(self) -> None:
        """Begin with the next call anew."""
        self._output, self._depth = None, -1

    def remove(self) -> None:
        """Remove every hook."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._called, self._output, self._network = [], {}, None, None

    def _entering(self, name: str) -> Any:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            first = self._depth < 0 or not self._called
            if not self._begin(module, args, kwargs, first=first):
                return
            if first:
                self._called, self._broken, self._depth = {}, False, 0
            elif not self._depth and not (len(args) == 1 and not kwargs and args[0] is self._output):
                self._broken = True
            if not self._depth:
                self._broken = self._broken or name in self._called
                self._called[name] = module
            self._depth += 1

        return enter

    def _leaving(self, _module: nn.Module, _args: Any, output: Any) -> None:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled() or self._depth < 1:
            return
        self._depth -= 1
        if not self._depth:
            self._output = output if isinstance(output, Tensor) else None
            self._leave(output)
