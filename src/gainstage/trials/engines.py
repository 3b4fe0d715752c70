"""Runs pieces of work here, in processes of this machine, on a Dask cluster or on Ray."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from gainstage.errors import GainstageError, InputError, MissingPackageError, UnknownNameError

__all__ = ["Engine", "LostWorkerError", "run"]

Engine = Literal["local", "dask", "ray"]

_LOOK = 0.5
"""Seconds between two looks at whether the parent lives."""

PATIENCE = "10s"
"""Seconds to wait for a scheduler."""

P = TypeVar("P")
R = TypeVar("R")


class LostWorkerError(GainstageError, RuntimeError):
    """A worker process died, and no other worker takes over its piece."""


def run(
    work: Callable[[P], R],
    pieces: Sequence[P],
    *,
    engine: Engine = "local",
    workers: int = 1,
    address: str | None = None,
) -> Iterator[R]:
    """Run every piece of work and yield each result when it is complete, in any order.

    Args:
        work: a function that can be pickled (with cloudpickle, so a lambda is allowed), unless it runs in this process.
        pieces: the function's arguments.
        engine: ``local`` processes, or the workers of a ``dask`` or ``ray`` cluster.
        workers: number of local processes, where 1 means this process alone; a cluster uses all of its workers.
        address: address of the cluster; None starts a cluster here.

    Raises:
        MissingPackageError: the engine is not installed.
        InputError: there is no cluster at the address, or the number of workers is not positive.
        LostWorkerError: a worker died and its piece was lost.

    >>> sorted(run(abs, [-3, 2]))
    [2, 3]
    """
    if engine not in get_args(Engine):
        raise UnknownNameError("engine", engine, get_args(Engine))
    if workers < 1:
        raise InputError(f"`workers` must be at least 1; received {workers}.")
    if engine == "local" and address is not None:
        raise InputError(
            f"The address '{address}' was given for the engine 'local'. Give engine='dask' or 'ray' with it."
        )
    if engine == "local" and (workers == 1 or len(pieces) < 2):
        yield from map(work, pieces)
        return
    joblib = _package("joblib", "Running trials in other processes", "joblib")
    with _ENGINES[engine](joblib, address, workers) as (settings, at_once):
        for start in range(0, len(pieces), at_once or len(pieces)):
            some = pieces[start : start + (at_once or len(pieces))]
            yield from _parallel(joblib, work, some, settings, whole=at_once is not None)


def _parallel(
    joblib: Any, work: Callable[[P], R], pieces: Sequence[P], settings: dict[str, Any], *, whole: bool
) -> Iterator[R]:
    lost = getattr(importlib.import_module("joblib.externals.loky.process_executor"), "BrokenProcessPool")  # noqa: B009
    try:
        parallel = joblib.Parallel(
            return_as="list" if whole else "generator_unordered", batch_size=1, pre_dispatch="all", **settings
        )
        yield from parallel(joblib.delayed(_Bound(work, os.getpid()))(piece) for piece in pieces)
    except (KeyboardInterrupt, GeneratorExit):
        with _silent_threads():
            importlib.import_module("joblib.externals.loky").get_reusable_executor().shutdown(kill_workers=True)
        raise
    except lost as error:
        raise LostWorkerError(
            f"A worker process was killed, probably because memory ran out. Use fewer workers: {error}"
        ) from error
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            raise LostWorkerError(
                f"Workers of the cluster were lost repeatedly. Check their memory and logs: {error}"
            ) from error
        raise


@dataclass(frozen=True)
class _Bound:
    """Work that ends with the process that handed it out, also where that process is killed."""

    work: Callable[[Any], Any]
    parent: int

    def __call__(self, piece: Any) -> Any:
        _end_with(self.parent)
        return self.work(piece)


_watched: set[int] = set()


def _end_with(parent: int) -> None:
    """End this process when its parent ends, by a thread; workers of a cluster have another parent and stay."""
    if os.getpid() == parent or parent in _watched or os.getppid() != parent:
        return
    _watched.add(parent)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _silent_threads() -> Iterator[None]:
    """Suppress the messages of threads that manage workers, which raise when their workers are ended."""
    before = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda _raised: None
    sys.unraisablehook = lambda _raised: None
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = before


Given = tuple[dict[str, Any], int | None]
"""Arguments of ``joblib.Parallel``, and the number of pieces per round where all results are returned at once."""


@contextlib.contextmanager
def _local(joblib: Any, _address: str | None, workers: int) -> Iterator[Given]:  # noqa: ARG001
    """Yield the settings for local processes, each with its share of the cores."""
    yield {"n_jobs": workers, "backend": "loky"}, None


@contextlib.contextmanager
def _dask(joblib: Any, address: str | None, workers: int) -> Iterator[Given]:
    """Yield the settings for the workers of a Dask cluster; a piece whose worker dies is given to another one."""
    distributed = _package("distributed", "The engine 'dask'", "'gainstage[dask]'")
    try:
        made = {"address": address} if address else {"n_workers": workers, "threads_per_worker": 1}
        client = distributed.Client(**made, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"There is no Dask scheduler at '{address}': {error}") from error
    with client, joblib.parallel_config(backend="dask", client=client):
        yield {"n_jobs": -1}, None


@contextlib.contextmanager
def _ray(joblib: Any, address: str | None, workers: int) -> Iterator[Given]:
    """Yield the settings for the workers of a Ray cluster, through the backend that Ray registers with joblib."""
    ray = _package("ray", "The engine 'ray'", "'gainstage[ray]'")
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(**({"address": address} if address else {"num_cpus": workers}))
        except ConnectionError as error:
            raise InputError(f"There is no Ray cluster at '{address}': {error}") from error
    importlib.import_module("ray.util.joblib").register_ray()
    try:
        with joblib.parallel_config(backend="ray"):
            cores = int(ray.cluster_resources().get("CPU", 1))
            yield {"n_jobs": cores}, cores  # Ray's backend returns all results at once, so pieces are sent in rounds
    finally:
        if started:
            ray.shutdown()


_ENGINES: dict[str, Callable[[Any, str | None, int], contextlib.AbstractContextManager[Given]]] = {
    "local": _local, "dask": _dask, "ray": _ray,
}  # fmt: skip


def _package(name: str, purpose: str, install: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as missing:
        raise MissingPackageError(name, purpose, install) from missing
