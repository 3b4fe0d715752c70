"""``[tool.gainstage]`` in pyproject.toml as defaults of options."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gainstage.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from gainstage.records import Acceptance

__all__ = ["ACCEPT", "Configuration", "accepted", "configured", "defaults"]


ACCEPT = "accept"
"""The key of the findings that a project lives with; it is no option of any command."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The table ``[tool.gainstage]`` and the file it stands in."""

    file: Path
    table: Mapping[str, Any]


def configured(start: Path | None = None) -> Configuration | None:
    """What the nearest pyproject.toml sets, here or in a directory above.

    Args:
        start: where to look first; by default the current directory.

    Raises:
        InputError: the file cannot be read.
    """
    start = start or Path.cwd()
    file = next((file for where in (start, *start.parents) if (file := where / "pyproject.toml").is_file()), None)
    if file is None:
        return None
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("gainstage")
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"The configuration '{file}' cannot be read: {error}") from error
    if table is None:
        return None
    if not isinstance(table, dict):
        raise InputError(f"tool.gainstage in '{file}' must be a table; received {table!r}.")
    return Configuration(file, table)


def defaults(configuration: Configuration, commands: Mapping[str, click.Command]) -> dict[str, dict[str, Any]]:
    """Defaults for the options of every command.

    Keys of ``[tool.gainstage]`` go to every command that has such an option; keys of ``[tool.gainstage.check]`` to that
    command alone, and win.

    Raises:
        UnknownNameError: no command, or not this one, has an option of that name.
    """
    options = {name: {_key(p): p for p in command.params} for name, command in commands.items()}
    own = {key: value for key, value in configuration.table.items() if key in commands and isinstance(value, dict)}
    shared = {key: value for key, value in configuration.table.items() if key not in own and key != ACCEPT}
    where = f"'{configuration.file}'"
    _refuse_unknown(shared, {key for known in options.values() for key in known}, f"[tool.gainstage] in {where}")
    chosen: dict[str, dict[str, Any]] = {}
    for name, known in options.items():
        _refuse_unknown(own.get(name, {}), known, f"[tool.gainstage.{name}] in {where}")
        merged = {**shared, **own.get(name, {})}
        chosen[name] = {str(p.name): _value(p, merged[key]) for key, p in known.items() if key in merged}
    return chosen


def accepted(configuration: Configuration | None) -> tuple[Acceptance, ...]:
    """Read the findings that a project lives with, from the tables ``[[tool.gainstage.accept]]``.

    Raises:
        InputError: an entry has no rule, no reason, an unknown key, or a value that is not text.
    """
    from gainstage.records import Acceptance

    if configuration is None:
        return ()
    entries, where = configuration.table.get(ACCEPT, []), f"[[tool.gainstage.accept]] in '{configuration.file}'"
    if not isinstance(entries, list):
        raise InputError(f"{where} must be a list of tables; received {entries!r}.")
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or not all(isinstance(value, str) and value.strip() for value in entry.values()):
            raise InputError(f"{where}: every value must be text that is not empty; received {entry!r}.")
        _refuse_unknown(entry, ("rule", "path", "reason"), where)
        if missing := [key for key in ("rule", "reason") if key not in entry]:
            raise InputError(
                f"{where}: an entry needs a rule and a reason; {' and '.join(missing)} missing in {entry!r}."
            )
        found.append(Acceptance(**entry))
    return tuple(found)


def _key(parameter: click.Parameter) -> str:
    """An option's long name without its dashes (``fail-on``); an argument's name."""
    return max(parameter.opts, key=len).lstrip("-")


def _refuse_unknown(given: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise UnknownNameError("option", key, known, where=where)


def _value(parameter: click.Parameter, value: Any) -> Any:
    several = isinstance(parameter, click.Option) and parameter.multiple
    return [value] if several and not isinstance(value, list) else value
