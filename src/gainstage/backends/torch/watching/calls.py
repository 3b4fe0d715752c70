"""The last call of a model in training: its arguments, its mode, and the gradient that reached its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.backends.torch.models.batch import only_numbers, outputs_of, own_loss
from gainstage.backends.torch.watching.parts import Parts

__all__ = ["Calls"]


class Calls:
    """Hooks on the root module that keep its last batch by reference.

    A trainer's module may never be called itself: its training step calls the submodules. Until the root is called for
    the first time, its children are followed too (see ``Parts``).

    Args:
        model: the module that the training calls.
        criterion: a loss that is a module, whose arguments show the labels; None without one.
        wanted: whether the gradient by the output of the coming step is needed.
        busy: whether the watch itself is running the model.
    """

    def __init__(
        self, model: nn.Module, criterion: nn.Module | None, wanted: Callable[[], bool], busy: Callable[[], bool]
    ) -> None:
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.training = True
        self.seen = False
        self.target: Any = None
        self.gradients: list[Tensor | None] = []
        self._model, self._wanted, self._busy = model, wanted, busy
        self._autocast: tuple[str, torch.dtype] | None = None
        self._tensor_hooks: list[Any] = []
        self._has_modes = any(_has_modes(module) for module in model.modules())
        self._parts = Parts(model, self._begin, self._keep_gradients)
        self._hooks: list[Any] = []
        if getattr(model, "_compiled_call_impl", None) is not None:
            self._hooks.append(_Around(model, self._enter, self._leave))
        else:
            self._hooks.append(model.register_forward_pre_hook(self._enter, with_kwargs=True))
            self._hooks.append(model.register_forward_hook(self._leave))
        if criterion is not None:
            self._hooks.append(criterion.register_forward_pre_hook(self._compare))

    def forget(self) -> None:
        """Let go of the batch and of gradients."""
        self.args, self.kwargs, self.target, self.gradients = (), {}, None, []
        self.seen = False
        self._drop_tensor_hooks()

    def _drop_tensor_hooks(self) -> None:
        for hook in self._tensor_hooks:
            hook.remove()
        self._tensor_hooks = []

    def network(self, root: nn.Module) -> nn.Module | None:
        """The module that the last call went through: the root, or its parts as one; None where they are no chain."""
        return self._parts.network(root)

    def entered(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A call of the root or of a part of it had begun before the hooks were in place."""
        if module is self._model:
            self._enter(module, args, kwargs)
        else:
            self._parts.entered(module, args, kwargs)

    def passed(self) -> None:
        """A backward pass has ended: what is called next belongs to another batch."""
        self._parts.passed()

    def remove(self) -> None:
        """Remove every hook."""
        self.forget()
        self._parts.remove()
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    @property
    def first_input(self) -> Tensor | None:
        """Return the first floating tensor with an axis among the arguments."""
        arguments = (*self.args, *self.kwargs.values())
        return next((a for a in arguments if isinstance(a, Tensor) and a.is_floating_point() and a.dim()), None)

    @contextmanager
    def numbers(self) -> Iterator[None]:
        """Compute in the number formats of the call."""
        if self._autocast is None:
            yield
            return
        device, dtype = self._autocast
        with torch.autocast(device, dtype):
            yield

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._begin(module, args, kwargs, first=True):
            self._parts.remove()  # the root itself is called, so its children need not be followed

    def _begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, first: bool) -> bool:
        """Keep the arguments of the first module that a batch reaches; return whether the call belongs to training."""
        if torch.compiler.is_compiling() or self._busy() or not torch.is_grad_enabled():
            return False
        if not first:
            return True
        self.forget()
        self.args, self.kwargs, self.seen = args, kwargs, True
        self.training = module.training or not self._has_modes
        device = next((a.device.type for a in (*args, *kwargs.values()) if isinstance(a, Tensor)), "cpu")
        on = torch.is_autocast_enabled(device)
        self._autocast = (device, torch.get_autocast_dtype(device)) if on else None
        return True

    def _leave(self, _module: nn.Module, _args: Any, output: Any) -> None:
        if torch.compiler.is_compiling() or self._busy() or not torch.is_grad_enabled():
            return
        self._keep_gradients(output)

    def _keep_gradients(self, output: Any) -> None:
        """Keep the gradients by an output that the backward pass will bring, where they are wanted."""
        if not self._wanted():
            return
        value = own_loss(output)
        try:
            tensors = (value,) if only_numbers(output) and value is not None else outputs_of(output)
        except Exception:  # the model returns no floating tensor
            return
        self._drop_tensor_hooks()
        self.gradients = [None] * len(tensors)
        for place, tensor in enumerate(tensors):
            if tensor.requires_grad:
                hook = tensor.register_hook(self._keeper(place))  # type: ignore[no-untyped-call]
                self._tensor_hooks.append(hook)

    def _keeper(self, place: int) -> Callable[[Tensor], None]:
        gradients = self.gradients

        def keep(gradient: Tensor) -> None:
            before = gradients[place]
            gradients[place] = gradient.detach() if before is None else before + gradient.detach()

        return keep

    def _compare(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        if len(args) == 2 and not self._busy() and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self.target = args[1]


class _Around:
    """Sees the calls of a module that ``module.compile()`` has compiled in place, whose hooks are compiled with it."""

    def __init__(self, module: nn.Module, enter: Callable[..., None], leave: Callable[..., None]) -> None:
        self._module, self._compiled = module, module._compiled_call_impl
        compiled: Any = self._compiled

        def call(*args: Any, **kwargs: Any) -> Any:
            enter(module, args, kwargs)
            output = compiled(*args, **kwargs)
            leave(module, args, output)
            return output

        self._call = module._compiled_call_impl = call

    def remove(self) -> None:
        """Put the compiled call back, where nobody else has replaced it since."""
        if self._module._compiled_call_impl is self._call:
            self._module._compiled_call_impl = self._compiled


def _has_modes(module: nn.Module) -> bool:
    """Report whether a module computes something else in evaluation mode."""
    rate = getattr(module, "dropout", 0.0)
    dropping = isinstance(module, nn.modules.dropout._DropoutNd) or (isinstance(rate, float) and rate > 0)
    return dropping or isinstance(module, nn.modules.batchnorm._NormBase)
