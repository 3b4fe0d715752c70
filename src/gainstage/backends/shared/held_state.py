"""Everything that Python code can reach from some objects, held so that it can be put back as it was.

User code that runs inside a measurement may append to lists, rebind attributes, draw from its own generators or write
into arrays. This module knows the containers, objects and generators of Python and NumPy; a backend adds the tensors
of its framework. What lies outside the process, or in iterators, cannot be put back.
"""

from __future__ import annotations

import builtins
import contextlib
import random
import types
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

__all__ = ["Held", "KeepOwn", "hold"]

Restore = Callable[[], None]
KeepOwn = Callable[[Any], tuple[Restore | None, Iterable[Any]] | None]
"""Of a framework's object: the function that puts it back, and what else is reachable from it; None for others."""

_ATOMS = frozenset(
    {
        *(int, float, complex, bool, str, bytes, type(None), type(Ellipsis), range, slice, type, types.ModuleType),
        *(types.BuiltinFunctionType, types.GetSetDescriptorType, types.MemberDescriptorType, types.GeneratorType),
        *(types.MappingProxyType, types.CodeType, types.FrameType, property, staticmethod, classmethod),
    }
)
_CONTAINERS = (dict, list, set, deque, bytearray)
_LIVE = frozenset(
    {
        *("_asyncio", "_io", "_queue", "_thread", "asyncio", "concurrent", "io", "logging", "multiprocessing", "queue"),
        *("contextvars", "selectors", "socket", "sqlite3", "subprocess", "tempfile", "threading", "weakref"),
    }
)
"""Modules whose objects other threads or the system change: these are never put back."""


class Held:
    """State that was reachable when it was held.

    Args:
        restores: functions that each put one object back, where it changed.
    """

    def __init__(self, restores: list[Restore]) -> None:
        self._restores = restores

    def restore(self) -> None:
        """Put everything back in place, as the very same objects; may be called again after further changes."""
        for restore in self._restores:
            restore()


def hold(roots: Iterable[Any], keep_own: KeepOwn = lambda _item: None) -> Held:
    """Hold what is reachable from some objects: containers, attributes, closures, arrays, random generators.

    Args:
        roots: where to start.
        keep_own: takes objects of a framework.

    >>> history = {"losses": [1.0]}
    >>> held = hold([history])
    >>> history["losses"].append(2.0)
    >>> history["new"] = 3
    >>> held.restore()
    >>> history
    {'losses': [1.0]}
    """
    restores: list[Restore] = []
    seen: dict[int, Any] = {}  # the objects themselves, so that no identity is used twice
    pending: list[tuple[Any, bool]] = [(root, True) for root in roots]
    while pending:
        item, openly = pending.pop()
        if type(item) in _ATOMS or id(item) in seen:
            continue
        seen[id(item)] = item
        own = keep_own(item)
        restore, inner = own if own is not None else _kept(item, openly)
        if restore is not None:
            restores.append(restore)
        # A closure may reach the whole program, of which its containers and arrays are held and its objects are not.
        deeper = openly and not isinstance(item, types.FunctionType)
        pending += [(each, deeper) for each in inner]
    return Held(restores)


def _kept(item: Any, openly: bool) -> tuple[Restore | None, Iterable[Any]]:
    """Return a function that restores one object, and the objects reachable from it."""
    if isinstance(item, _CONTAINERS):
        inner = list(item.values()) if isinstance(item, dict) else [] if isinstance(item, bytearray) else list(item)
        attributes = _attributes(item) if openly else None
        return _container(item), [*inner, attributes] if attributes else inner
    if isinstance(item, (tuple, frozenset)):
        return None, item
    if isinstance(item, np.ndarray):
        return _array(item), item.ravel().tolist() if item.dtype.hasobject else ()
    if isinstance(item, (random.Random, np.random.Generator, np.random.RandomState)):
        return _generator(item), ()
    if isinstance(item, types.FunctionType):
        return None, [item.__defaults__, item.__kwdefaults__, item.__dict__, *(item.__closure__ or ())]
    if isinstance(item, types.CellType):
        return _cell(item)
    if isinstance(item, types.MethodType):
        return None, [item.__self__, item.__func__]
    if not openly or isinstance(item, type) or _is_live(item):
        return None, ()
    attributes = _attributes(item)
    slots, inner = _slots(item)
    return slots, [*inner, *([attributes] if attributes is not None else [])]


def _is_live(item: Any) -> bool:
    return type(item).__module__.split(".")[0] in _LIVE


def _attributes(item: Any) -> dict[str, Any] | None:
    try:
        found = object.__getattribute__(item, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def _slots(item: Any) -> tuple[Restore | None, list[Any]]:
    """Attributes that stand in ``__slots__``."""
    missing = object()
    before: list[tuple[str, Any]] = []
    kind: Any = type(item)
    for name in _slot_names(kind):
        with contextlib.suppress(AttributeError):
            before.append((name, object.__getattribute__(item, name)))
    if not before:
        return None, []

    def restore() -> None:
        for name, value in before:
            if getattr(item, name, missing) is not value:
                object.__setattr__(item, name, value)

    return restore, [value for _, value in before]


@cache
def _slot_names(kind: Any) -> tuple[str, ...]:
    return tuple(
        name
        for base in kind.__mro__
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType) and base.__module__ != builtins.__name__
    )


def _container(item: Any) -> Restore:
    kept = dict(item) if isinstance(item, dict) else set(item) if isinstance(item, set) else list(item)

    def restore() -> None:
        if _is_same(item, kept):
            return
        try:
            item.clear()
            item.update(kept) if isinstance(item, (dict, set)) else item.extend(kept)
        except Exception:  # a subclass that refuses to be changed this way
            base: Any = next(kind for kind in _CONTAINERS if isinstance(item, kind))
            base.clear(item)
            base.update(item, kept) if isinstance(item, (dict, set)) else base.extend(item, kept)

    return restore


def _is_same(container: Any, kept: Any) -> bool:
    """Report whether a container holds the identical objects; equality of arrays would be ambiguous."""
    if len(container) != len(kept):
        return False
    if isinstance(kept, set):
        return all(any(a is b for b in container) for a in kept) if len(kept) < 8 else bool(container == kept)
    if isinstance(kept, dict):
        return all(
            (k1 is k2 or k1 == k2) and a is b for (k1, a), (k2, b) in zip(container.items(), kept.items(), strict=True)
        )
    if isinstance(container, bytearray):
        return bool(list(container) == kept)
    return all(a is b for a, b in zip(container, kept, strict=True))


def _array(array: np.ndarray[Any, Any]) -> Restore:
    kept = array.copy()

    def restore() -> None:
        changed = array.shape != kept.shape or array.dtype != kept.dtype
        if changed:  # resized in place, or given another shape
            array.resize(kept.shape, refcheck=False)
        if array.dtype.hasobject or array.tobytes() != kept.tobytes():
            with contextlib.suppress(ValueError):  # read-only memory that was written through another view
                array[...] = kept

    return restore


def _generator(source: Any) -> Restore:
    if isinstance(source, np.random.Generator):
        bits, state = source.bit_generator, source.bit_generator.state
        return lambda: setattr(bits, "state", state)
    if isinstance(source, np.random.RandomState):
        numpy_state = source.get_state()
        return lambda: source.set_state(numpy_state)
    if isinstance(source, random.SystemRandom):
        return lambda: None
    python_state = source.getstate()
    return lambda: source.setstate(python_state)


def _cell(cell: types.CellType) -> tuple[Restore | None, Iterable[Any]]:
    try:
        kept = cell.cell_contents
    except ValueError:  # nothing was assigned yet
        return None, ()

    def restore() -> None:
        cell.cell_contents = kept

    return restore, (kept,)
