"""Watch a training: one line beside a loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gainstage.backends.protocol import Attachment, Watching, backend_of, watcher_of
from gainstage.errors import InputError, TrainingError
from gainstage.records import Diagnosis, Finding, History, Rendered
from gainstage.report.codec import decode, encode
from gainstage.workflows.watching.kept import Kept
from gainstage.workflows.watching.recorder import Conduct, OnFinding, Recorder
from gainstage.workflows.watching.sinks import JsonLines, Sink, fresh_file, sink_of

__all__ = ["DEFAULT_FILE", "Watch", "watch"]

DEFAULT_FILE = "gainstage-history.jsonl"


class Watch(Rendered):
    """A watch over one training; also a context manager.

    Printing it, ``save`` and ``save_html`` show what was seen so far.

    Args:
        recorder: judges and writes down.
        attachment: sees the steps; None where the watch was read from a file or a pickle.
    """

    def __init__(self, recorder: Recorder, attachment: Attachment | None) -> None:
        self._recorder, self._attachment = recorder, attachment

    @property
    def history(self) -> History:
        """Return everything that was seen so far, as a frozen record."""
        return self._recorder.history

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return the findings so far, the most severe first."""
        return self.history.findings

    @property
    def start(self) -> Diagnosis | None:
        """Return the check of the first batch; None where it was not made yet."""
        return self.history.start

    @property
    def ok(self) -> bool:
        """Report whether no error and no warning was raised so far."""
        return self.history.ok

    @property
    def path(self) -> Path | None:
        """Return the file that the history is written to; None without one."""
        return next((sink.path for sink in self._recorder.sinks if isinstance(sink, JsonLines)), None)

    def close(self) -> History:
        """Remove everything that was attached, end the file, and return the history; a second call does nothing."""
        if self._attachment is not None and self._attachment.attached:
            try:
                self._attachment.flush()
            finally:
                self._attachment.detach()
        self._recorder.finish()
        return self.history

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._recorder.noted(f"The training ended with {type(error).__name__}: {str(error)[:200]}")
        self.close()

    def __str__(self) -> str:
        return str(self.history)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self.history._repr_mimebundle_(include, exclude)

    def save(self, path: Any) -> None:
        """Write the history so far as one JSON document, which ``gs.load`` reads.

        Raises:
            InputError: the path cannot be written.
        """
        self.history.save(path)

    def save_html(self, path: Any) -> None:
        """Write the history so far as one self-contained page.

        Raises:
            InputError: the path cannot be written.
        """
        self.history.save_html(path)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that was seen so far as plain dicts, lists, texts and numbers, for a checkpoint."""
        if self._attachment is not None and self._attachment.attached:
            self._attachment.flush()  # the last step waits for the gradient behind it
        state: dict[str, Any] = encode(self._recorder.kept(), lean=True)
        return state

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        """Return the watch of a checkpoint, for ``gs.watch(…, resume=…)``; reading it runs no code.

        Raises:
            InputError: the state is damaged.
        """
        return cls(Recorder.restored(decode(state, Kept), Conduct()), None)

    def __getstate__(self) -> dict[str, Any]:
        return self.state_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._recorder, self._attachment = Recorder.restored(decode(state, Kept), Conduct()), None


def watch(
    model: Any,
    optimizer: Any,
    *,
    loss: Any = None,
    every: int = 50,
    x: Any = None,
    y: Any = None,
    to: Any = DEFAULT_FILE,
    on_finding: OnFinding = "warn",
    check: bool = True,
    refuse: bool = False,
    ignore: Sequence[str] = (),
    resume: Watch | None = None,
) -> Watch:
    """Watch a training while it runs, and say what goes wrong, where, why, and what cures it.

    The first batch is checked before the first step. At every step the norms of gradients, weights and updates are
    measured; in the first steps and then every ``every`` steps all layers are looked at. Weights, gradients and random
    states are left as they are: a training gives the same bytes with and without a watch. Close it at the end, or use
    it in a ``with`` statement.

    Args:
        model: the PyTorch module that the loop calls, compiled or wrapped as it is there.
        optimizer: the optimizer that steps it, or several in a list.
        loss: a loss as in ``check``; one that is a module shows the labels of the first batch, so that rules about
            losses are judged.
        every: steps between looks at every layer.
        x, y: a first batch for the check before the first step; by default the first one that the model is called with.
        to: where the history is written: a path of a file of JSON lines, a ``SummaryWriter`` of TensorBoard, anything
            with ``log(values, step)``, such a function, or a list of these; None writes nothing. A file that exists
            gets a number behind its name.
        on_finding: ``warn`` prints one line, ``raise`` ends the training with a ``TrainingError``, ``collect`` prints
            nothing.
        check: whether the first batch is checked.
        refuse: whether a first batch with an error ends the training before its first step.
        ignore: codes of rules, or their beginnings, that are left out.
        resume: a watch of an earlier part of the same training, from a checkpoint; it goes on.

    Raises:
        InputError: the model has nothing to train, something is no optimizer, or a file cannot be written.
        TrainingError: later, in the loop, where that was asked for.

    >>> import torch
    >>> import gainstage as gs
    >>> model = torch.nn.Linear(8, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with gs.watch(model, optimizer, to=None) as watching:
    ...     for _ in range(3):
    ...         optimizer.zero_grad()
    ...         model(torch.ones(4, 8)).square().mean().backward()
    ...         optimizer.step()
    >>> [step.step for step in watching.history.steps]
    [1, 2, 3]
    """
    optimizers = tuple(optimizer) if isinstance(optimizer, list | tuple) else (optimizer,)
    _validate(every, on_finding)
    watcher = watcher_of(model)
    standing = watcher.watched(model, optimizers)
    if isinstance(standing, Recorder) and standing.handle is not None:
        handle: Watch = standing.handle
        return handle
    conduct = Conduct(every, on_finding, refuse, check, tuple(ignore), backend_of(model).words())
    sinks = _sinks(to)
    recorder = Recorder(conduct, sinks) if resume is None else resume._recorder.resumed(conduct, sinks)
    attachment = watcher.attach(model, optimizers, Watching(recorder, loss, x, y, intended=(TrainingError,)))
    made = Watch(recorder, attachment)
    recorder.handle = made
    return made


def _validate(every: int, on_finding: str) -> None:
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise InputError(f"every is a number of steps, at least 1; received {every!r}.")
    if on_finding not in ("warn", "raise", "collect"):
        raise InputError(f"on_finding is 'warn', 'raise' or 'collect'; received {on_finding!r}.")


def _sinks(to: Any) -> tuple[Sink, ...]:
    targets = [] if to is None else list(to) if isinstance(to, list | tuple) else [to]
    return tuple(fresh_file(t) if isinstance(t, str | Path) else sink_of(t) for t in targets)
