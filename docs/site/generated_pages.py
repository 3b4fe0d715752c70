"""A Sphinx extension that writes the parts of pages which follow from the code.

A page holds a marker such as ``%% rules %%`` on a line of its own. Before the page is parsed, the marker is replaced
by Markdown made from the rules' docstrings, the commands' options or the public functions.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

import gainstage as gs
from gainstage import rules
from gainstage.cli.app import gainstage as command_line

MARKER = re.compile(r"^%% (\w+) %%$", re.MULTILINE)
_HEADING = re.compile(r"^(\S[^\n]{0,38}):\n", re.MULTILINE)


def rule_catalogue() -> Iterator[str]:
    """A table of all rules, and the page of each of them."""
    yield "| code | title | family |\n|---|---|---|"
    yield from _catalogue(rules.all_rules())


def training_catalogue() -> Iterator[str]:
    """The same of the rules about trainings."""
    yield "| code | title | family |\n|---|---|---|"
    yield from _catalogue(rules.training_rules())


def _catalogue(every: Sequence[rules.Rule] | Sequence[rules.TrainingRule]) -> Iterator[str]:
    yield "\n"
    yield "".join(f"| [{r.code}](#{r.code.lower()}) | {r.title} | {r.family} |\n" for r in every)
    for rule in every:
        yield f"\n({rule.code.lower()})=\n\n## {rule.code}: {rule.title}\n\n{_escaped(rule.summary)}\n\n"
        yield _sections(rule.text) + "\n"


def _sections(text: str) -> str:
    """A docstring's fixed sections as Markdown: headings in bold, indented code between fences."""
    blocks = re.split(r"\n\s*\n", _HEADING.sub(r"**\1**\n\n", text + "\n"))
    return "\n\n".join(_block(block.rstrip("\n")) for block in blocks)


def _block(block: str) -> str:
    if block.startswith("    "):
        return f"```python\n{inspect.cleandoc(chr(10) + block)}\n```"
    return block if block.startswith("**") else _escaped(block)


def _escaped(text: str) -> str:
    """Text in which ``*``, ``<`` and ``$`` outside of code are no markup."""
    parts = re.split(r"(`+[^`]*`+)", text)
    return "".join(part if index % 2 else re.sub(r"([*<$|])", r"\\\1", part) for index, part in enumerate(parts))


def commands() -> Iterator[str]:
    """Usage, text and options of every command."""
    with click.Context(command_line, info_name="gainstage") as context:
        for name in command_line.list_commands(context):
            command = command_line.get_command(context, name)
            if command is not None:
                yield from _command(name, command, context)


def _command(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"\n## gainstage {name}\n\n```text\ngainstage {name} {usage}\n```\n\n"
    yield _help(command.help or "") + "\n\n| option | what it does | default |\n|---|---|---|\n"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield _option(parameter, context)


def _help(text: str) -> str:
    r"""A command's help; paragraphs marked with ``\b`` (not re-wrapped) are examples."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text))
    return "\n\n".join(
        f"```text\n{inspect.cleandoc(chr(10) + paragraph.partition(chr(10))[2])}\n```"
        if paragraph.startswith("\b")
        else _escaped(" ".join(paragraph.split()))
        for paragraph in paragraphs
    )


def _option(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    metavar = "" if option.is_flag else f" `{option.make_metavar(context)}`".replace("|", "\\|")
    shown = option.default if option.show_default and not callable(option.default) else None
    default = f"`{shown}`" if shown not in (None, "", ()) else ""
    return f"| {names}{metavar} | {_escaped(option.help or '')} | {default} |\n"


def public_names() -> Iterator[str]:
    """One ``autodoc`` directive for every public name: functions first, then types."""
    names = [name for name in gs.__all__ if name != "keras"]
    functions = [name for name in names if inspect.isfunction(getattr(gs, name))]
    yield "## Functions\n\n```{eval-rst}\n"
    yield "".join(f".. autofunction:: gainstage.{name}\n\n" for name in functions)
    yield "```\n\n## Types\n\n```{eval-rst}\n"
    yield "".join(f".. autoclass:: gainstage.{name}\n   :no-index:\n\n" for name in names if name not in functions)
    yield "```\n"


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "rules": rule_catalogue,
    "training_rules": training_catalogue,
    "commands": commands,
    "public_names": public_names,
}


def replace_markers(_app: Any, _page: str, source: list[str]) -> None:
    """Put the generated parts into the text of a page."""
    source[0] = MARKER.sub(lambda marker: "".join(PARTS[marker[1]]()), source[0])


def generated(_app: Any, environment: Any, *_changes: set[str]) -> list[str]:
    """Name the pages with markers, which have to be read anew when the code has changed."""
    pages = {name: Path(environment.doc2path(name)) for name in environment.found_docs}
    return [name for name, page in pages.items() if MARKER.search(page.read_text(encoding="utf-8"))]


def setup(app: Any) -> dict[str, bool]:
    """Connect the extension to Sphinx."""
    app.connect("source-read", replace_markers)
    app.connect("env-get-outdated", generated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
