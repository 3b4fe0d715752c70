"""Derives the JSON Schema of every record from the type annotations that ``codec`` uses."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from enum import Enum
from typing import Any, Literal, Union

from gainstage.errors import UnknownNameError
from gainstage.report.json import KINDS, SCHEMA_VERSION
from gainstage.report.older import READERS

__all__ = ["schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FLOAT = {
    "description": "A number, or a string for what JSON has no number for.",
    "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}],
}
SCALARS: dict[Any, dict[str, Any]] = {
    float: {"$ref": "#/$defs/float"}, int: {"type": "integer"}, str: {"type": "string"}, bool: {"type": "boolean"},
}  # fmt: skip


def schema(kind: str | None = None) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the documents that records ``save`` and ``gs.load`` reads.

    Documents of all schema versions up to the present one are valid, because fields are only ever added, with a
    default.

    Args:
        kind: kind of document: ``diagnosis``, ``plan``, …; None for all kinds.

    Returns:
        Plain values that ``json.dumps`` accepts.

    Raises:
        UnknownNameError: there is no such kind of document.

    >>> schema("plan")["properties"]["kind"]
    {'const': 'plan'}
    """
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of document", kind, KINDS)
    definitions = _Definitions()
    documents = {name: _document(name, definitions.of(KINDS[name])) for name in ([kind] if kind else KINDS)}
    shape = documents[kind] if kind else {"oneOf": list(documents.values())}
    return {
        "$schema": DIALECT,
        "title": f"gainstage {kind or 'document'}, schema version {SCHEMA_VERSION}",
        **shape,
        "$defs": {"float": FLOAT, **definitions.found},
    }


def _document(kind: str, record: dict[str, Any]) -> dict[str, Any]:
    versions = list(range(1, SCHEMA_VERSION + 1))
    return {
        "type": "object",
        "properties": {"schema_version": {"enum": versions}, "kind": {"const": kind}, "record": record},
        "required": ["schema_version", "kind", "record"],
    }


class _Definitions:
    """Collects the definition of every record type once, since some types contain themselves."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def of(self, hint: Any) -> dict[str, Any]:
        if hint in SCALARS:
            return SCALARS[hint]
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (Union, types.UnionType):
            others = [self.of(a) for a in arguments if a is not types.NoneType]
            return {"anyOf": [*others, {"type": "null"}]}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is tuple and arguments[-1] is Ellipsis:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is tuple:
            size = len(arguments)
            return {"type": "array", "prefixItems": [self.of(a) for a in arguments], "minItems": size, "maxItems": size}
        if issubclass(hint, Enum):
            words = {"enum": [member.value for member in hint]}
            return {"anyOf": [words, {"type": "string"}]} if hint in READERS else words  # in older documents
        return self._record(hint)

    def _record(self, kind: type) -> dict[str, Any]:
        name = kind.__name__
        if name not in self.found:
            self.found[name] = {}  # a placeholder for a record that contains itself
            hints, told = typing.get_type_hints(kind), _told_of_fields(kind)
            fields = dataclasses.fields(kind)
            properties = {
                f.name: ({"description": told[f.name]} if f.name in told else {}) | self.of(hints[f.name])
                for f in fields
            }
            missing = dataclasses.MISSING
            required = [f.name for f in fields if f.default is missing and f.default_factory is missing]
            self.found[name] = {
                "description": (inspect.getdoc(kind) or "").partition("\n")[0],
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            }
        return {"$ref": f"#/$defs/{name}"}


def _told_of_fields(kind: type) -> dict[str, str]:
    """Return the description of each field from the ``Args:`` section of a record's docstring."""
    _, _, listed = (inspect.getdoc(kind) or "").partition("\nArgs:\n")
    listed = listed.partition("\n\n")[0]
    told: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \S)", "\n" + listed):
        names, colon, words = entry.strip().partition(": ")
        if colon:
            told.update(dict.fromkeys((n.strip() for n in names.split(",")), " ".join(words.split())))
    return told
