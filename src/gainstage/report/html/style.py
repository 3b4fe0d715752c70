"""The page's one style sheet, together with that of the charts."""

from __future__ import annotations

from gainstage.report.charts.svg import STYLE as CHARTS

__all__ = ["STYLE"]

RIGHT = ",".join(
    f".right-{n} td:nth-child(n+{n}),.right-{n} th:nth-child(n+{n})" for n in range(1, 10)
)  # numbers are aligned right from the n-th column on
STYLE = (
    """
:root{color-scheme:light dark;--ground:#fff;--ink:#1b1f24;--soft:#5b6470;--rule:#d9dee4;--raised:#f5f7f9;
--error:#b3261e;--warning:#8a5300;--note:#0b5cad;--good:#00704f}
@media (prefers-color-scheme:dark){:root{--ground:#14171b;--ink:#eef1f4;--soft:#a3adb9;--rule:#2c323a;--raised:#1c2026;
--error:#ff8a80;--warning:#f0b95a;--note:#7cc0ff;--good:#4fd1a5}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1080px;padding:24px 16px 64px;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .2em}h2{font-size:1.2rem;margin:2em 0 .6em}h3{font-size:1rem;margin:0}
p{margin:.5em 0}.soft{color:var(--soft)}
p,li{max-width:75ch}p.name{font-weight:600;margin:1em 0 .3em}a{color:var(--note)}
.card{border:1px solid var(--rule);border-left-width:6px;border-radius:6px;padding:12px 16px;margin:12px 0}
.error{border-left-color:var(--error)}.warning{border-left-color:var(--warning)}.note{border-left-color:var(--note)}
.good{border-left-color:var(--good)}.card+h3{margin-top:1.5em}
.badge{font-size:.8rem;font-weight:700;letter-spacing:.04em;text-transform:uppercase}
.error>h3 .badge{color:var(--error)}.warning>h3 .badge{color:var(--warning)}.note>h3 .badge{color:var(--note)}
.good>h3 .badge{color:var(--good)}
dl{display:grid;grid-template-columns:6.5em 1fr;gap:.25em 1em;margin:.6em 0 0}
dt{color:var(--soft)}dd{margin:0;min-width:0}
pre{background:var(--raised);border-radius:4px;padding:10px 12px;margin:.4em 0 0;overflow-x:auto;font-size:.9rem}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;overflow-wrap:normal}
details{margin:.8em 0}summary{cursor:pointer}
.wide{overflow-x:auto}table{border-collapse:collapse;min-width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:5px 16px 5px 0;border-bottom:1px solid var(--rule);
max-width:min(24em,60vw)}
th{white-space:nowrap;position:sticky;top:0;background:var(--ground)}
td{overflow-wrap:normal;word-break:normal;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
td.prose{white-space:normal;min-width:18em;max-width:none}
td:hover,td:focus-within{white-space:normal;overflow-wrap:anywhere}
.number,"""
    + RIGHT
    + """{text-align:right}
th button{all:unset;cursor:pointer;font-weight:600}th button::after{content:'\\2003';opacity:.7}
th button:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--note);outline-offset:2px}
th[aria-sort=ascending] button::after{content:'\\2009\\25B2'}
th[aria-sort=descending] button::after{content:'\\2009\\25BC'}
.tools{display:flex;gap:12px;align-items:center;margin:0 0 8px}
.tools input{font:inherit;color:inherit;background:var(--raised);border:1px solid var(--rule);border-radius:4px;
padding:6px 10px;width:100%;max-width:320px}
.slide{display:flex;flex-wrap:wrap;gap:4px 12px;align-items:center;margin:1em 0 0}.slide[hidden]{display:none}
.slide label{display:flex;flex-wrap:wrap;gap:4px 12px;align-items:center}
.slide input{width:min(320px,80vw);accent-color:var(--note)}.slide output{font-weight:600;min-width:3em}
figure{margin:16px 0}.gs{width:100%;height:auto;display:block}.at-narrow{display:none;max-width:560px}
.square{max-width:660px}
@media (max-width:719px){.at-wide{display:none}.at-narrow{display:block}}
@media (max-width:480px){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5em}.card{padding:10px 12px}}
@media print{.tools,.slide{display:none}.card,figure,tr{break-inside:avoid}h2{break-after:avoid}body{max-width:none;
padding:0}.wide{overflow:visible}table{font-size:.75rem}th{position:static;white-space:normal}
td{white-space:normal;overflow-wrap:break-word;max-width:16em}}
"""
    + CHARTS
)
"""The style sheet follows the reader's preference for light or dark, and suits 360 pixels and paper."""
