"""``gainstage ask``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import rich_click as click

from gainstage.cli.options import html_option, json_option, seed_option, traceback_option
from gainstage.cli.output import console, progress, write_page
from gainstage.errors import InputError

if TYPE_CHECKING:
    from gainstage.lessons import Entry
    from gainstage.records import Answer

__all__ = ["command"]

Form = Literal["text", "json", "markdown"]

_NEXT = """\
gainstage ask 1 --quick                  a first look, in seconds
gainstage ask 1 --html vanishing.html    the answer as a page, with a slider
gainstage ask 1 --notebook one.ipynb     its experiments, to change and run"""


@click.command("ask")
@click.argument("question", required=False)
@click.option("--all", "everything", is_flag=True, help="Answer all questions, one after the other.")
@click.option("--quick", is_flag=True, help="A first look in seconds: fewer and shorter trainings.")
@seed_option
@click.option("--markdown", is_flag=True, help="Print a page of Markdown instead of text.")
@click.option(
    "--notebook",
    "notebook",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a Jupyter notebook that makes the experiments step by step, instead of an answer; a folder with --all.",
)
@json_option
@html_option
@traceback_option
@click.pass_context
def command(
    ctx: click.Context,
    question: str | None,
    everything: bool,
    quick: bool,
    seed: int,
    markdown: bool,
    notebook: Path | None,
    as_json: bool,
    page: Path | None,
) -> None:
    """List seven classic questions on initialization, or answer them with experiments that run here and now.

    QUESTION is a number or a short name from the list. Every claim of an answer comes with measured figures, their
    confidence intervals, and the verdict that follows from them.

    \b
        gainstage ask
        gainstage ask 1 --quick
        gainstage ask --all --html answers.html
        gainstage ask 2 --notebook xavier.ipynb
    """  # noqa: D301
    from gainstage.lessons import QUESTIONS, find
    from gainstage.records import Answers

    if question and everything:
        raise InputError(f"Received both the question '{question}' and --all. Give one of them.")
    if markdown and as_json:
        raise InputError("Received both --markdown and --json. Give one of them.")
    if page is not None and not (question or everything):
        raise InputError("--html needs a question to answer. Give its number, or --all.")
    if notebook is not None:
        if not (question or everything):
            raise InputError("--notebook needs a question. Give its number, or --all.")
        if quick or seed or markdown or as_json or page is not None:
            raise InputError("--notebook writes the experiments without running them. Leave the other options out.")
        _write_notebooks(
            notebook,
            QUESTIONS if question is None else [find(question)],
            several=everything,
            force=bool(ctx.find_root().obj.get("force")),
        )
        return
    form: Form = "json" if as_json else "markdown" if markdown else "text"
    if everything:
        answers = [_answer(entry, seed, quick) for entry in QUESTIONS]
        _show(answers, form, several=True)
        write_page(page, Answers(tuple(answers)))
    elif question:
        single = _answer(find(question), seed, quick)
        _show([single], form, several=False)
        write_page(page, single)
    elif as_json:
        entries = [asdict(entry) for entry in QUESTIONS]
        click.echo(json.dumps({"schema_version": 1, "kind": "questions", "questions": entries}, indent=2))
    else:
        for entry in QUESTIONS:
            click.echo(f"{entry.number}  {entry.slug:<14}  {entry.question}")
        click.echo("\n" + _NEXT)


def _write_notebooks(target: Path, entries: Iterable[Entry], *, several: bool, force: bool) -> None:
    from gainstage.lessons.notebooks import file_name, notebook_text
    from gainstage.report.files import require_writable, write_whole

    if several:
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"Cannot make the folder '{target}': {error.strerror or error}.") from error
    for entry in entries:
        path = target / file_name(entry) if several else target
        require_writable(path, force=force, option="--force")
        write_whole(path, notebook_text(entry))
        click.echo(f"Wrote {path}.", err=True)


def _answer(entry: Entry, seed: int, quick: bool) -> Answer:
    from gainstage.lessons import open_question
    from gainstage.lessons.question import Setting, answer

    with progress() as report:
        return answer(open_question(entry), Setting(seed, quick, report))


def _show(answers: list[Answer], form: Form, *, several: bool) -> None:
    from gainstage.records import Answers
    from gainstage.report import dumps, text
    from gainstage.report.markdown import answers_markdown

    page = Answers(tuple(answers))
    record = page if several else answers[0]
    match form:
        case "json":
            click.echo(dumps(record))
        case "markdown":
            title = "Seven questions on weight initialization" if several else "A question on weight initialization"
            click.echo(answers_markdown(page, title), nl=False)
        case "text":
            text.print_to(console(), record)
