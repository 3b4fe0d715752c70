"""Writes the page around the sections: one file without requests, in which no layer's name can act as markup."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Sequence

from gainstage.errors import InputError
from gainstage.records import (
    Answer,
    Answers,
    Comparison,
    Diagnosis,
    Fixed,
    Formats,
    History,
    Plan,
    Preflight,
    Profile,
    Scaling,
    TrainingCurve,
)
from gainstage.report import preflight_rows, scaling_rows
from gainstage.report.carried import carried
from gainstage.report.charts.svg import escaped
from gainstage.report.files import write_whole
from gainstage.report.html.answers import answers_body
from gainstage.report.html.bodies import Beside, diagnosis_body, fixed_body, plan_body, profile_body
from gainstage.report.html.comparison import comparison_body, comparison_title
from gainstage.report.html.formats import formats_body
from gainstage.report.html.history import history_body, history_title
from gainstage.report.html.parts import heading
from gainstage.report.html.scaling import preflight_body, scaling_body
from gainstage.report.html.script import SCRIPT
from gainstage.report.html.style import STYLE
from gainstage.report.json import dumps
from gainstage.report.text.diagnosis import headline
from gainstage.report.wording import count

__all__ = ["Document", "html_page", "save_html"]

Document = Answer | Answers | Comparison | Diagnosis | Fixed | Formats | History | Plan | Preflight | Profile | Scaling


def html_page(record: Document, *, trainings: Sequence[TrainingCurve] = (), predicted: Profile | None = None) -> str:
    """Return a record as one self-contained page.

    The page contains the record itself, so that ``gs.load`` reads the page like a JSON file.

    Args:
        record: the record that the page shows.
        trainings: trainings of the same model, from several starts.
        predicted: the prediction for the same model, shown beside the measurement (of a Diagnosis or a Profile).

    Raises:
        InputError: the record is of a kind that has no page.

    >>> from gainstage.records import Plan
    >>> html_page(Plan((), scheme="he_normal"))[:15]
    '<!doctype html>'
    """
    title, body = _content(record, Beside(tuple(trainings), predicted))
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
            carried(dumps(record, lean=True)),
            f"<script>{SCRIPT}</script></body></html>",
            "",
        )
    )


def _content(record: Document, beside: Beside) -> tuple[str, Iterable[str]]:
    """Return the page's title, which is also its first line, and its sections."""
    match record:
        case Diagnosis():
            return headline(record), diagnosis_body(record, beside)
        case Fixed():
            return "Fixed" if record.ok else "Not healthy yet", fixed_body(record, beside)
        case Formats():
            return "Number formats", formats_body(record)
        case History():
            return history_title(record), history_body(record)
        case Preflight():
            return f"Preflight: {preflight_rows.headline(record)}", preflight_body(record)
        case Scaling():
            return scaling_rows.headline(record), scaling_body(record)
        case Plan():
            return f"Plan: {record.scheme or 'mixed'}", plan_body(record)
        case Comparison():
            return comparison_title(record), comparison_body(record)
        case Profile():
            return f"Profile, {record.source.kind}", profile_body(record, beside)
        case Answer():
            return record.question, answers_body(Answers((record,)))
        case Answers():
            return f"{count(len(record.answers), 'question')} about weight initialization", answers_body(record)
        case _:
            raise InputError(f"There is no page for a {type(record).__name__}.")


def save_html(
    path: str | os.PathLike[str],
    record: Document,
    *,
    trainings: Sequence[TrainingCurve] = (),
    predicted: Profile | None = None,
) -> None:
    """Write the page to a file; no partly written file ever has the final name.

    Args:
        path: path of the file.
        record: the record that the page shows.
        trainings: trainings of the same model, from several starts.
        predicted: the prediction for the same model, shown beside the measurement.

    Raises:
        InputError: the path cannot be written, or the record has no page.
    """
    write_whole(path, html_page(record, trainings=trainings, predicted=predicted))


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
