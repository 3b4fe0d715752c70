"""Renders the page of one rule."""

from __future__ import annotations

import inspect
from typing import Protocol, runtime_checkable

from gainstage.report.text.page import Page

__all__ = ["RulePage", "add_rule"]


@runtime_checkable
class RulePage(Protocol):
    """The content of a rule's page, as a protocol, so that ``report`` does not import ``rules``."""

    @property
    def code(self) -> str:
        """The stable code, e.g. ``GS201``."""

    @property
    def title(self) -> str:
        """The title, in a few words."""

    @property
    def summary(self) -> str:
        """The summary, one sentence."""

    @property
    def text(self) -> str:
        """The text: paragraphs, headings that end with a colon, indented lines of code."""


def add_rule(page: Page, rule: RulePage) -> None:
    """Add the title, the summary, and the text, whose indented lines are not wrapped."""
    page.line((rule.code, "bold cyan"), "  ", (page.words(rule.title), "bold"))
    page.blank()
    page.line(page.words(rule.summary))
    for paragraph in _paragraphs(inspect.cleandoc(rule.text)):
        page.blank()
        _add_paragraph(page, paragraph)


def _paragraphs(text: str) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip():
            blocks[-1].append(line.rstrip())
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _add_paragraph(page: Page, lines: list[str]) -> None:
    if lines[0].endswith(":") and not lines[0].startswith(" ") and len(lines[0]) < 40:
        page.line((page.words(lines[0]), "bold"))
        lines = lines[1:]
    if not lines:
        return
    if all(line.startswith("    ") for line in lines):
        page.code(inspect.cleandoc("\n" + "\n".join(lines)), indent=4)
    else:
        page.line(page.words(" ".join(line.strip() for line in lines)))
