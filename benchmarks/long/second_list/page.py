"""The part of docs/unseen.md that the benchmark writes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from second_list.figures import by_case, figures, table
from second_list.rows import Row

__all__ = ["written"]

BEGIN, END = "<!-- second list: {} -->\n", "<!-- /second list: {} -->\n"


def written(text: str, when: str, rows: dict[str, list[Row]], missing: Sequence[tuple[str, str]]) -> str:
    """Replace the block of this heading, or add it at the end of the page."""
    begin, end = BEGIN.format(when), END.format(when)
    block = f"{begin}\n## {when}\n\n{table(rows)}{_cases(rows)}{_missing(missing)}\n{end}"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: block, text)
    return text.rstrip("\n") + "\n\n" + block


def _cases(rows: dict[str, list[Row]]) -> str:
    """Each architecture in a line, folded."""
    lines = [
        "\n<details><summary>Every architecture</summary>\n\n",
        "| half | architecture | batch | forward, median | backward, median | backward, within 10 % | doubted "
        "| band, backward |\n",
        "|---|---|--:|--:|--:|--:|--:|--:|\n",
    ]
    for half, found in rows.items():
        for (name, examples), chosen in by_case(found).items():
            fore, back = (figures([r for r in chosen if r.direction == way]) for way in ("forward", "backward"))
            lines.append(
                f"| {half} | {name} | {examples} | {fore.median:.1%} | {back.median:.1%} | {back.near:.0%} "
                f"| {back.doubted:.0%} | {_share(back.held)} |\n"
            )
    return "".join(lines) + "\n</details>\n"


def _share(value: float) -> str:
    return "–" if value != value else f"{value:.0%}"


def _missing(missing: Sequence[tuple[str, str]]) -> str:
    if not missing:
        return ""
    return "\nNot compared:\n\n" + "".join(f"- {name}: {why}\n" for name, why in missing)
