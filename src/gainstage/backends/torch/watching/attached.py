"""Attach a watch to a model and its optimizers: norms at every step, looks at some."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.backends.protocol.watching import Listener, Watching
from gainstage.backends.torch.measuring.record import record
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.backends.torch.training.given import loss_of
from gainstage.backends.torch.watching import interception
from gainstage.backends.torch.watching.calls import Calls
from gainstage.backends.torch.watching.looking import layers_of
from gainstage.backends.torch.watching.origin import origin_of
from gainstage.backends.torch.watching.readings import Readings
from gainstage.errors import InputError
from gainstage.records import Look, WatchedParameter

__all__ = ["Attached", "attach", "watched"]

_PARALLEL = (nn.parallel.DistributedDataParallel, nn.DataParallel)

NO_CHAIN = (
    "The training calls parts of the model one by one, with something between them, so the first batch was not checked "
    "and the layers were not looked at."
)


def attach(model: Any, optimizers: Sequence[Any], watching: Watching) -> Attached:
    """Attach a watch.

    Args:
        model: the module that the training calls, a compiled or wrapped one included.
        optimizers: those that step its parameters; one that accelerate has prepared is unwrapped.
        watching: the choices of the watch.

    Raises:
        InputError: something is no optimizer, or nothing is trainable.
    """
    bare = tuple(_bare(optimizer) for optimizer in optimizers)
    for optimizer in bare:
        if not hasattr(optimizer, "register_step_post_hook"):
            raise InputError(
                f"Expected a torch.optim.Optimizer, received {type(optimizer).__name__}. Pass the optimizer whose "
                "step() the loop calls."
            )
    return Attached(model, bare, watching)


def _bare(optimizer: Any) -> Any:
    """The optimizer of PyTorch inside of one that only passes calls on, and that has no hooks of its own."""
    inner = getattr(optimizer, "optimizer", None)
    return inner if isinstance(inner, torch.optim.Optimizer) else optimizer


def _plain(model: Any) -> nn.Module:
    """The module itself, without the wrappers of ``torch.compile`` and of data-parallel training."""
    model = unwrap(model)
    return unwrap(model.module) if isinstance(model, _PARALLEL) else model


def watched(model: Any, optimizers: Sequence[Any]) -> Listener | None:
    """The listener of a watch that is attached to that model and those optimizers; None without one."""
    for watch in interception.present():
        if isinstance(watch, Attached) and watch.sees(model, optimizers):
            return watch.listener
    return None


class Attached:
    """Hooks on a root module and its optimizers, and the numbers of the step that is under way."""

    def __init__(self, model: nn.Module, optimizers: tuple[Any, ...], watching: Watching) -> None:
        self._model, self._plain, self._watching = model, _plain(model), watching
        self._listener, self._optimizers = watching.listener, optimizers
        named = [(path, p) for path, p in self._plain.named_parameters() if p.requires_grad and p.numel()]
        if not named:
            raise InputError("The model has no trainable parameter, so there is nothing to watch.")
        held = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
        self._watched = tuple(
            WatchedParameter(path, p.numel(), p.dim() > 1, id(p) in held or not optimizers) for path, p in named
        )
        self._step = watching.listener.made + 1
        self._busy = False
        self._looked = 0
        criterion = watching.loss if isinstance(watching.loss, nn.Module) else None
        self._calls = Calls(model, criterion, lambda: self._listener.wants_look(self._step), lambda: self._busy)
        self._readings = Readings([p for _, p in named], self._listener)
        self._hooks: list[Any] = []
        for optimizer in optimizers:
            self._hooks.append(optimizer.register_step_pre_hook(self._before_step))
            self._hooks.append(optimizer.register_step_post_hook(self._after_step))
        names = " and ".join(dict.fromkeys(type(o).__name__ for o in optimizers))
        self._listener.begin(type(self._plain).__name__, names, self._watched)
        self._note_what_is_local([p for _, p in named])
        interception.start(self)
        self._attached = True

    @property
    def listener(self) -> Listener:
        """Return whom it tells."""
        return self._listener

    def sees(self, model: Any, optimizers: Sequence[Any]) -> bool:
        """Report whether it is attached to that model, wrapped or not, and to those optimizers."""
        same = [id(_bare(optimizer)) for optimizer in optimizers] == list(map(id, self._optimizers))
        return same and _plain(model) is self._plain

    @property
    def attached(self) -> bool:
        """Report whether hooks are in place."""
        return self._attached

    def entered(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Receive a call that had begun before the hooks were in place.

        Args:
            module: the root or a part of it.
            args, kwargs: of the call.
        """
        self._calls.entered(module, args, kwargs)

    def flush(self) -> None:
        """Hand over the steps that are still on the device, the last one included."""
        self._readings.close()

    def detach(self) -> None:
        """Remove every hook and put PyTorch's own functions back; a second call does nothing."""
        if not self._attached:
            return
        self._attached = False
        interception.stop(self)
        for hook in self._hooks:
            hook.remove()
        self._calls.remove()

    # -- backward passes -----------------------------------------------------------------------------------------------

    def before_backward(self) -> Any:
        """Mark every gradient, so that those that the pass adds to are known."""
        return self._readings.before()

    def after_backward(self, roots: Any, before: Any) -> None:
        """Measure gradients, look at the layers where it is time, and find the origin of what is not finite."""
        self._guarded(lambda: self._read_gradients(roots, before))

    def _read_gradients(self, roots: Any, before: Any) -> None:
        if self._busy or not self._readings.touched(before):
            return
        following = self._readings.backward(roots, before, self._calls.first_input, self._calls.training)
        if following.first and self._looked != self._step:
            self._look_if_wanted()
        if following.broken:
            self._find_origin(loss_is_finite=False)
        self._calls.passed()

    def _look_if_wanted(self) -> None:
        self._looked = self._step
        if self._step == 1 and self._listener.wants_start():
            self._check()
        if not self._listener.wants_look(self._step):
            return
        if not self._calls.seen:
            self._listener.noted("No call of the model was seen, so its layers were not looked at.")
            return
        network = self._calls.network(self._plain)
        if network is None:
            self._listener.noted(NO_CHAIN)
            return
        gradients, weights, updates = self._readings.exact()
        layers, examples = self._alone(
            lambda: layers_of(network, self._calls, self._watching.probe, self._readings.scale), ((), 0)
        )
        self._calls.gradients = []
        self._listener.looked(Look(self._step, examples, layers, gradients, weights, updates))

    def _check(self) -> None:
        """Measure the first batch before the first step, with its labels where they are known."""
        x, y, given = self._watching.x, self._watching.y, self._watching.loss
        if x is None:
            if not self._calls.seen or (self._calls.args and self._calls.kwargs):
                return
            x, y = self._calls.args or self._calls.kwargs, self._calls.target
        network = self._calls.network(self._plain) if self._watching.x is None else self._plain
        if network is None:
            self._listener.noted(NO_CHAIN)
            return
        loss = loss_of(given, labelled=y is not None) if y is not None else None
        optimizer = self._optimizers[0] if len(self._optimizers) == 1 else None

        def measure() -> Any:
            with self._calls.numbers():
                return record(network, x, y, loss=loss, optimizer=optimizer)

        profile = self._alone(measure, None)
        if profile is not None:
            self._listener.started(profile)

    def _find_origin(self, *, loss_is_finite: bool) -> None:
        origin = self._alone(
            lambda: origin_of(
                self._calls.network(self._plain) or self._plain, self._calls, self._step, loss_is_finite=loss_is_finite
            ),
            None,
        )
        if origin is not None:
            self._readings.flush()
            self._listener.broke(origin)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _before_step(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        def read() -> None:
            self._readings.before_step(optimizer)
            if self._readings.has_broken_gradient():
                self._find_origin(loss_is_finite=True)

        self._guarded(read)

    def _after_step(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        def read() -> None:
            if self._readings.after_step(self._step, optimizer, self._rate()):
                self._step += 1

        self._guarded(read)

    def before_scaled(self, scaler: Any, optimizer: Any) -> None:
        """A loss scaler is about to step one of the optimizers: its scale belongs to the gradients."""
        if optimizer in self._optimizers:
            self._readings.scaler = scaler
            self._readings.took_step = False

    def after_scaled(self, scaler: Any, optimizer: Any) -> None:
        """The scaler has stepped or skipped; a skipped step is a step that changed nothing."""
        if optimizer not in self._optimizers:
            return

        def read() -> None:
            if self._readings.after_scaled(self._step, scaler, optimizer, self._rate()):
                self._step += 1

        self._guarded(read)

    def _rate(self) -> float:
        rates = [float(group["lr"]) for o in self._optimizers for group in o.param_groups if "lr" in group]
        return max(rates, default=math.nan)

    # -- conduct -------------------------------------------------------------------------------------------------------

    def _alone(self, run: Callable[[], Any], otherwise: Any) -> Any:
        """Run the model for the watch itself; what its code raises is noted and ends nothing."""
        self._busy = True
        try:
            return run()
        except self._watching.intended:
            raise
        except Exception as error:
            self._listener.noted(f"A look failed: {type(error).__name__}: {str(error)[:200]}")
            return otherwise
        finally:
            self._busy = False

    def _guarded(self, run: Callable[[], None]) -> None:
        """Run a part of the watch; a failure of its own ends the watch and not the training."""
        if not self._attached:
            return
        try:
            with torch.no_grad():
                run()
        except self._watching.intended:
            raise
        except Exception as error:
            self._listener.noted(f"The watch ended itself: {type(error).__name__}: {str(error)[:200]}")
            self.detach()

    def _note_what_is_local(self, parameters: Sequence[Tensor]) -> None:
        if any(hasattr(p, "to_local") for p in parameters):
            self._listener.noted("Parameters are sharded: all norms are of the part that this process holds.")
        spread = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, count = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if spread else (0, 1)
        if count > 1:
            self._listener.noted(
                f"Process {rank} of {count}: losses and layers are local, of the examples that this process gets. "
                "Gradients are read behind the backward pass, where "
                "DistributedDataParallel has averaged them over all processes."
            )
