"""The page's one style sheet; the charts' own comes with it."""

from __future__ import annotations

from gainstage.report.charts.svg import STYLE as CHARTS

__all__ = ["STYLE"]

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
p{margin:.5em 0}.soft{color:var(--soft)}.gs{max-width:100%;height:auto;display:block}
.card{border:1px solid var(--rule);border-left-width:6px;border-radius:6px;padding:12px 16px;margin:12px 0}
.error{border-left-color:var(--error)}.warning{border-left-color:var(--warning)}.note{border-left-color:var(--note)}
.good{border-left-color:var(--good)}
.badge{font-size:.8rem;font-weight:700;letter-spacing:.04em;text-transform:uppercase}
.error .badge{color:var(--error)}.warning .badge{color:var(--warning)}.note .badge{color:var(--note)}
.good .badge{color:var(--good)}
dl{display:grid;grid-template-columns:6.5em 1fr;gap:.25em 1em;margin:.6em 0 0}
dt{color:var(--soft)}dd{margin:0;min-width:0}
pre{background:var(--raised);border-radius:4px;padding:10px 12px;margin:.4em 0 0;overflow-x:auto;font-size:.9rem}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
details{margin:.8em 0}summary{cursor:pointer}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:5px 10px 5px 0;border-bottom:1px solid var(--rule)}
td.number,th.number{text-align:right;padding-right:20px}
th button{all:unset;cursor:pointer;font-weight:600}th button:focus-visible{outline:2px solid var(--note)}
th[aria-sort=ascending] button::after{content:' \\25B2'}th[aria-sort=descending] button::after{content:' \\25BC'}
.filter{font:inherit;color:inherit;background:var(--raised);border:1px solid var(--rule);border-radius:4px;
padding:6px 10px;width:100%;max-width:360px;margin-bottom:8px}
@media (max-width:480px){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5em}}
@media print{.filter{display:none}.card,figure{break-inside:avoid}body{max-width:none}}
figure{margin:16px 0}
"""
    + CHARTS
)
"""Light and dark by the reader's preference; readable at 360 pixels and on paper."""
