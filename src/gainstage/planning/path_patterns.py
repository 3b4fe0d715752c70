"""Which parameters a pattern means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase

from gainstage.errors import InputError
from gainstage.graph import Parameter

__all__ = ["matching"]


def matching(pattern: str, parameters: Iterable[Parameter], *, where: str) -> frozenset[str]:
    """Paths of the parameters that a pattern means.

    A pattern is a path with ``*``, ``?`` and ``[...]`` as in file names, except that ``*`` runs across dots. It is
    compared with every name a parameter has; one that names a module (``head``) means everything in it.

    Args:
        pattern: e.g. ``blocks.*.weight``.
        parameters: the ones to choose from.
        where: what the pattern was given to, for the message.

    Raises:
        InputError: the pattern is not a string, or matches nothing.

    >>> from gainstage.graph import Parameter
    >>> paths = ("blocks.0.weight", "blocks.1.weight", "head.weight")
    >>> parameters = [Parameter(path, (1,), "float32") for path in paths]
    >>> sorted(matching("blocks.*", parameters, where="only"))
    ['blocks.0.weight', 'blocks.1.weight']
    >>> matching("haed", parameters, where="only")
    Traceback (most recent call last):
    gainstage.errors.InputError: The pattern 'haed' in only matches none of the 3 parameters. Did you mean 'head'?
    """
    if not isinstance(pattern, str):
        raise InputError(f"A pattern in {where} must be a string such as 'blocks.*'; received {pattern!r}.")
    parameters = tuple(parameters)
    found = frozenset(p.path for p in parameters if any(_means(pattern, name) for name in _names(p)))
    if not found:
        raise InputError(
            f"The pattern {pattern!r} in {where} matches none of the {len(parameters)} parameters. "
            f"{_advice(pattern, parameters)}"
        )
    return found


def _names(parameter: Parameter) -> tuple[str, ...]:
    own = (parameter.called,) if parameter.called else ()
    return parameter.path, *parameter.aliases, *own


def _means(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _advice(pattern: str, parameters: tuple[Parameter, ...]) -> str:
    """The nearest name of a parameter or of a module that holds one."""
    names = {name: None for p in parameters for full in _names(p) for name in _prefixes(full)}
    near = difflib.get_close_matches(pattern, names, n=3)
    if near:
        return f"Did you mean {' or '.join(repr(name) for name in near)}?"
    return f"Paths look like {', '.join(repr(p.path) for p in parameters[:3])}."


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
