"""Converts frozen records to plain JSON values and back, according to the records' type annotations.

Records become objects with every field written out, tuples become arrays, enumerations their values. JSON has no NaN
and no infinity, so a field of type float holds a number or one of the strings ``"NaN"``, ``"Infinity"``,
``"-Infinity"``.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from enum import Enum
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, Union

from gainstage.errors import InputError
from gainstage.report.older import READERS

__all__ = ["decode", "encode"]

T = TypeVar("T")
Reader = Callable[[Any], Any]

_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(value: Any, *, lean: bool = False) -> Any:
    """Convert a record, or a value inside one, to plain JSON values.

    Args:
        value: the record.
        lean: leave out fields that have their default; ``decode`` restores them.

    Raises:
        TypeError: a value is not a record, tuple, enumeration, number, string or None.
    """
    return _Writers(lean).write(value)


class _Writers:
    """Holds one writer per type, since types repeat."""

    def __init__(self, lean: bool) -> None:
        self._lean = lean
        self._known: dict[type, Reader] = {
            **dict.fromkeys((type(None), bool, int, str), lambda value: value),
            float: _encode_float,
            tuple: lambda value: [self.write(item) for item in value],
        }

    def write(self, value: Any) -> Any:
        kind = type(value)
        if kind not in self._known:
            self._known[kind] = self._build(kind)
        return self._known[kind](value)

    def _build(self, kind: type) -> Reader:
        if issubclass(kind, Enum):
            return lambda value: value.value
        if issubclass(kind, str):
            return str
        if issubclass(kind, Integral):
            return int
        if issubclass(kind, Real):
            return lambda value: _encode_float(float(value))
        if issubclass(kind, tuple):
            return self._known[tuple]
        if dataclasses.is_dataclass(kind):
            return self._lean_record(kind) if self._lean else self._record(kind)
        raise TypeError(f"A record cannot hold a {kind.__name__}.")

    def _record(self, kind: type) -> Reader:
        names = [field.name for field in dataclasses.fields(kind)]
        return lambda value: {name: self.write(getattr(value, name)) for name in names}

    def _lean_record(self, kind: type) -> Reader:
        usual = [(field.name, _default(field)) for field in dataclasses.fields(kind)]

        def write(value: Any) -> Any:
            held = ((name, getattr(value, name), default) for name, default in usual)
            # The type counts too: 0 and False are equal in Python and differ in JSON.
            return {
                name: self.write(item)
                for name, item, default in held
                if item is not default and (type(item) is not type(default) or item != default)
            }

        return write


def _default(field: dataclasses.Field[Any]) -> Any:
    """Return the value of a field that is missing; ``MISSING`` where the field is required."""
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _encode_float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def decode(data: Any, kind: type[T]) -> T:
    """Convert what ``encode`` returned back to a record of type ``kind``.

    A missing field takes its default, if it has one; an unknown field is an error.

    Raises:
        InputError: the data do not match the type; the message names the location.
    """
    try:
        record: T = _Readers().of(kind)(data)
    except _MismatchError as error:
        raise InputError(f"{''.join(reversed(error.place)).lstrip('.') or 'the record'}: {error.reason}") from None
    return record


class _MismatchError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.place: list[str] = []  # innermost first, filled in while the error propagates


class _Readers:
    """Holds one reader per type, since types repeat and some contain themselves."""

    def __init__(self) -> None:
        self._known: dict[Any, Reader] = {}

    def of(self, hint: Any) -> Reader:
        if hint not in self._known:
            # A placeholder while a type that contains itself is being built.
            self._known[hint] = lambda data: self._known[hint](data)
            self._known[hint] = self._build(hint)
        return self._known[hint]

    def _build(self, hint: Any) -> Reader:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (Union, types.UnionType):
            present = [a for a in arguments if a is not types.NoneType]
            if len(present) == 1:
                return _optional(self.of(present[0]))
        if origin is Literal:
            return _one_of(arguments)
        if origin is tuple:
            if arguments[-1] is Ellipsis:
                return _sequence(self.of(arguments[0]))
            return _fixed(tuple(self.of(a) for a in arguments))
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self._record(hint)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return _enumeration(hint)
        if hint in _SCALARS:
            return _SCALARS[hint]
        raise TypeError(f"No JSON form is known for the type {hint}.")

    def _record(self, kind: type) -> Reader:
        hints = typing.get_type_hints(kind)
        fields = {field.name: self.of(hints[field.name]) for field in dataclasses.fields(kind)}
        required = [
            field.name
            for field in dataclasses.fields(kind)
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ]

        def read(data: Any) -> Any:
            if not isinstance(data, dict):
                raise _MismatchError(f"expected an object ({kind.__name__}), received {_shown(data)}.")
            values = {}
            for name, item in data.items():
                if name not in fields:
                    raise _MismatchError(f"{kind.__name__} has no field {_shown(name)}.")
                try:
                    values[name] = fields[name](item)
                except _MismatchError as error:
                    error.place.append(f".{name}")
                    raise
            missing = [name for name in required if name not in values]
            if missing:
                raise _MismatchError(f"{kind.__name__} lacks {', '.join(missing)}.")
            try:
                return kind(**values)
            except InputError as error:
                raise _MismatchError(str(error)) from None

        return read


def _shown(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _optional(read: Reader) -> Reader:
    return lambda data: None if data is None else read(data)


def _one_of(choices: tuple[Any, ...]) -> Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, str) or data not in choices:
            raise _MismatchError(f"expected one of {', '.join(map(repr, choices))}; received {_shown(data)}.")
        return data

    return read


def _enumeration(kind: type[Enum]) -> Reader:
    known, older = {member.value: member for member in kind}, READERS.get(kind)

    def read(data: Any) -> Any:
        if older is not None and isinstance(data, str) and data not in known:
            return older(data)
        if not isinstance(data, str) or data not in known:
            raise _MismatchError(f"expected one of {', '.join(map(repr, known))}; received {_shown(data)}.")
        return known[data]

    return read


def _items(readers: typing.Iterable[Reader], data: list[Any]) -> tuple[Any, ...]:
    items = []
    for index, (read, item) in enumerate(zip(readers, data, strict=False)):
        try:
            items.append(read(item))
        except _MismatchError as error:
            error.place.append(f"[{index}]")
            raise
    return tuple(items)


def _sequence(read_item: Reader) -> Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, list):
            raise _MismatchError(f"expected an array, received {_shown(data)}.")
        return _items((read_item for _ in data), data)

    return read


def _fixed(readers: tuple[Reader, ...]) -> Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, list) or len(data) != len(readers):
            raise _MismatchError(f"expected an array of {len(readers)}, received {_shown(data)}.")
        return _items(readers, data)

    return read


def _float(data: Any) -> float:
    if isinstance(data, str) and data in _SPECIAL:
        return _SPECIAL[data]
    if isinstance(data, bool) or not isinstance(data, (int, float)):
        raise _MismatchError(f"expected a number, received {_shown(data)}.")
    try:
        return float(data)
    except OverflowError:
        raise _MismatchError(f"{_shown(data)} is too large for a float.") from None


def _exactly(kind: type, words: str) -> Reader:
    def read(data: Any) -> Any:
        if type(data) is not kind:
            raise _MismatchError(f"expected {words}, received {_shown(data)}.")
        return data

    return read


_SCALARS: dict[Any, Reader] = {
    float: _float,
    int: _exactly(int, "a whole number"),
    str: _exactly(str, "a string"),
    bool: _exactly(bool, "true or false"),
}
