"""Run a program as ``python`` would, and watch what it trains."""

from __future__ import annotations

import importlib
import importlib.util
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from gainstage.errors import InputError, TrainingError
from gainstage.records import History
from gainstage.workflows.watching import Watch, watch

__all__ = ["Run", "run"]


@dataclass(frozen=True, slots=True)
class Run:
    """A program that has ended.

    Args:
        histories: of the trainings that were seen, in the order in which they began.
        paths: of the files they were written to; None without one.
        status: what the program would have returned to the shell: 0, the number it exited with, or 1 behind an
            exception, whose traceback was printed.
        refused: whether a watch has ended the program, as it was told to.
    """

    histories: tuple[History, ...]
    paths: tuple[Path | None, ...]
    status: int
    refused: bool = False


def run(program: str, arguments: Sequence[str] = (), *, as_module: bool = False, **choices: Any) -> Run:
    """Run a program unchanged, and watch every model that an optimizer of PyTorch or ``fit`` of Keras trains.

    The program sees its own arguments, its folder on the path and ``__name__ == "__main__"``. What it prints stays
    where it prints it. A model is found when an optimizer is made of its parameters and the model is called for the
    first time, so that the first batch is checked before the first step. Labels are not seen: what needs them is not
    judged.

    Args:
        program: a file, or the name of a module with ``as_module``.
        arguments: of the program.
        as_module: run as ``python -m`` does.
        choices: arguments of ``gs.watch`` beside model and optimizer: ``every``, ``to``, ``refuse``, ….

    Raises:
        InputError: there is no such file or module.

    >>> import tempfile, textwrap
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name, "train.py")
    >>> _ = file.write_text(textwrap.dedent('''
    ...     import torch
    ...     model = torch.nn.Linear(8, 1)
    ...     optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ...     for _ in range(3):
    ...         optimizer.zero_grad()
    ...         model(torch.randn(16, 8)).square().mean().backward()
    ...         optimizer.step()
    ... '''))
    >>> (history,) = run(str(file), to=None, on_finding="collect").histories
    >>> history.model, [step.step for step in history.steps]
    ('Linear', [1, 2, 3])
    >>> folder.cleanup()
    """
    _require(program, as_module)
    watches: list[Watch] = []
    watchers = {"torch": lambda: _pytorch(watches, choices), "keras": lambda: _keras(watches, choices)}
    error: BaseException | None = None
    with ExitStack() as stack:
        stack.enter_context(_as_main(program, arguments, as_module))
        stack.enter_context(_behind_imports({name: _entering(stack, make) for name, make in watchers.items()}))
        try:
            if as_module:
                runpy.run_module(program, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(program, run_name="__main__")
        except (Exception, SystemExit, KeyboardInterrupt) as raised:
            error = raised
    status = _status(error)
    for each in watches:
        each.__exit__(*((type(error), error, None) if status else (None, None, None)))
    if isinstance(error, KeyboardInterrupt):
        raise error
    seen = [each for each in watches if each.history.steps or each.history.start is not None]
    for each in watches:
        if each not in seen and each.path is not None:
            each.path.unlink(missing_ok=True)
    refused = isinstance(error, TrainingError)
    if error is not None and not isinstance(error, SystemExit):
        _tell(error, refused)
    return Run(tuple(each.history for each in seen), tuple(each.path for each in seen), status, refused)


def _require(program: str, as_module: bool) -> None:
    if not as_module and not Path(program).is_file():
        raise InputError(f"There is no file {program!r} to run.")
    if as_module:
        sys.path.insert(0, os.getcwd())
        try:
            found = importlib.util.find_spec(program)
        except (ImportError, ValueError):
            found = None
        finally:
            sys.path.pop(0)
        if found is None:
            raise InputError(f"There is no module {program!r} to run.")


def _status(error: BaseException | None) -> int:
    """What Python returns to the shell."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
    return 1


def _tell(error: BaseException, refused: bool) -> None:
    """Print what Python would print, without the frames of this module and of ``runpy``."""
    if refused:
        print(error, file=sys.stderr)
        return
    trace = error.__traceback__
    own = (__file__, runpy.__file__)
    while trace is not None and (
        trace.tb_frame.f_code.co_filename in own or trace.tb_frame.f_code.co_filename.startswith("<frozen")
    ):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


@contextmanager
def _as_main(program: str, arguments: Sequence[str], as_module: bool) -> Iterator[None]:
    """The arguments and the path that the program would have."""
    argv, path = sys.argv, sys.path[:]
    sys.argv = [program, *arguments]
    sys.path.insert(0, os.getcwd() if as_module else str(Path(program).resolve().parent))
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path


# -- what watches ------------------------------------------------------------------------------------------------------


@contextmanager
def _pytorch(watches: list[Watch], choices: dict[str, Any]) -> Iterator[None]:
    """Watch what optimizers of PyTorch step."""
    from gainstage.backends.torch.watching.discovery import Discovery

    with Discovery(lambda model, optimizers: watches.append(watch(model, list(optimizers), **choices))):
        yield


@contextmanager
def _keras(watches: list[Watch], choices: dict[str, Any]) -> Iterator[None]:
    """Watch every call of ``fit``."""
    from gainstage.backends.keras.watching.every_fit import every_fit
    from gainstage.integrations.keras import WatchCallback

    def ended(callback: Any) -> None:
        if callback.watch is not None:
            watches.append(callback.watch)

    with every_fit(lambda x, y: WatchCallback(x, y, **choices), ended):
        yield


# -- behind an import --------------------------------------------------------------------------------------------------


def _entering(stack: ExitStack, make: Callable[[], Any]) -> Callable[[], None]:
    return lambda: stack.enter_context(make()) and None


@contextmanager
def _behind_imports(calls: dict[str, Callable[[], None]]) -> Iterator[None]:
    """Call a function when the program has imported a package, so that no other package is imported for nothing."""
    for name in [name for name in calls if name in sys.modules]:
        calls.pop(name)()
    finder = _Finder(calls)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """Finds what Python would find, and has a function called behind the import of some packages."""

    def __init__(self, calls: dict[str, Callable[[], None]]) -> None:
        self._calls = calls

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a package that is waited for; leave all others to Python."""
        call = self._calls.pop(fullname, None)
        if call is None:
            return None
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        spec.loader = _Loader(spec.loader, call)
        return spec


class _Loader(Loader):
    """Loads a package, puts its own loader back, and calls a function."""

    def __init__(self, loader: Loader, call: Callable[[], None]) -> None:
        self._loader, self._call = loader, call

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as its own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the package's code."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._call()
