"""The page around the sections: one file, no request, nothing a layer's name could break out of."""

from __future__ import annotations

import base64
import hashlib
import os

from gainstage.errors import InputError
from gainstage.records import Answer, Answers, Diagnosis, Fixed, Plan
from gainstage.report.charts.svg import escaped
from gainstage.report.files import write_whole
from gainstage.report.html.parts import heading
from gainstage.report.html.script import SCRIPT
from gainstage.report.html.sections import answers_body, diagnosis_body, fixed_body, plan_body, title_of
from gainstage.report.html.style import STYLE
from gainstage.report.json import dumps

__all__ = ["html_page", "save_html"]

Document = Diagnosis | Fixed | Plan | Answer | Answers


def html_page(record: Document) -> str:
    """A record as one self-contained page.

    The record itself travels along as JSON, in an element that browsers do not run.

    Raises:
        InputError: the record is of a kind that has no page.

    >>> from gainstage.records import Plan
    >>> html_page(Plan((), scheme="he_normal"))[:15]
    '<!doctype html>'
    """
    match record:
        case Diagnosis():
            body = diagnosis_body(record)
        case Fixed():
            body = fixed_body(record)
        case Plan():
            body = plan_body(record)
        case Answer():
            body = answers_body(Answers((record,)))
        case Answers():
            body = answers_body(record)
        case _:
            raise InputError(f"There is no page for a {type(record).__name__}.")
    title = title_of(record)
    policy = (
        f"default-src 'none'; style-src '{_hash(STYLE)}'; script-src '{_hash(SCRIPT)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escaped(title)} · gainstage</title><style>{STYLE}</style></head><body><main>",
            heading(1, title),
            *body,
            "</main>",
            f'<script type="application/json" id="record">{_inert(dumps(record))}</script>',
            f"<script>{SCRIPT}</script></body></html>",
            "",
        )
    )


def save_html(path: str | os.PathLike[str], record: Document) -> None:
    """Write the page to a file; nothing half-written is left under its name.

    Raises:
        InputError: the path cannot be written, or the record has no page.
    """
    write_whole(path, html_page(record))


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _inert(document: str) -> str:
    """JSON that cannot end the element it stands in."""
    for character in "<>&\u2028\u2029":
        document = document.replace(character, f"\\u{ord(character):04x}")
    return document
