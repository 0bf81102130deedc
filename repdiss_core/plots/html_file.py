"""Pages and tours as one HTML file each: it opens offline, has the same hover, and fetches nothing.

Everything in it that is not a figure is text.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repdiss_core.plots.html_table import html_table

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

LIBRARY = Path(__file__).with_name("plotly_js") / "plotly-cartesian.min.js"
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
STYLE = """
body{font:16px/1.5 "Source Sans 3","Helvetica Neue",Arial,sans-serif;max-width:1200px;
margin:2rem auto;padding:0 1rem;color:#1F2328;background:#fff}
h1,h2{font-family:Georgia,serif;line-height:1.25}section{margin:2.2rem 0}figure{margin:.6rem 0}
figcaption,footer,.source{color:#565C64;font-size:.9rem}
table{border-collapse:collapse;width:100%}
th,td{padding:.35rem .9rem .35rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #ddd;
font-variant-numeric:tabular-nums}
blockquote{margin:.6rem 0;padding-left:.8rem;border-left:3px solid #3F5873}
a{color:#2F5A88}:focus-visible{outline:3px solid #2F5A88;outline-offset:2px}
"""
SLIDES = """
.steps section{display:none}.steps section.shown{display:block}.steps h2{font-size:1.9rem}.steps .said{font-size:1.3rem}
nav{position:sticky;bottom:0;padding:.6rem 0;background:#fff;display:flex;gap:1rem;align-items:center}
nav button{font:inherit;padding:.3rem .9rem}@media print{.steps section{display:block}nav{display:none}}
"""
STEPPING = """
const steps=[...document.querySelectorAll('.steps section')],place=document.getElementById('place');let at=0;
function show(n){at=Math.min(steps.length-1,Math.max(0,n));steps.forEach((s,i)=>s.classList.toggle('shown',i===at));
place.textContent=`Step ${at+1} of ${steps.length}`;history.replaceState(null,'','#'+(at+1));
window.dispatchEvent(new Event('resize'));scrollTo(0,0)}
document.getElementById('back').onclick=()=>show(at-1);document.getElementById('on').onclick=()=>show(at+1);
addEventListener('keydown',e=>{if(e.altKey||e.ctrlKey||e.metaKey)return;
const by={ArrowRight:1,PageDown:1,ArrowLeft:-1,PageUp:-1}[e.key];if(by){e.preventDefault();show(at+by)}});
addEventListener('beforeprint',()=>steps.forEach(s=>s.classList.add('shown')));addEventListener('afterprint',()=>show(at));
addEventListener('load',()=>show((parseInt(location.hash.slice(1))||1)-1));
"""


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a page or a step of a tour; every text in it is shown as text.

    Args:
        said: what is to be seen, in a sentence.
        note: what a person typed.
        figures: (Plotly figure, caption) pairs.
        table: its cells are shown as text, what is missing as nothing.
        link: address of the live view.
    """

    title: str
    said: str = ""
    note: str = ""
    figures: tuple[tuple[go.Figure, str], ...] = ()
    table: pd.DataFrame | None = None
    link: str = ""


def page_file(title: str, lead: str, sections: Sequence[Section], foot: Sequence[str]) -> str:
    """All sections below one another.

    Args:
        foot: lines at the end, such as citations.
    """
    return _document(title, _head(title, lead) + "".join(_sections(sections)) + _foot(foot), bool(_n_figures(sections)))


def tour_file(title: str, lead: str, steps: Sequence[Section], foot: Sequence[str]) -> str:
    """One step at a time, turned with the arrow keys; printed, all of them."""
    buttons = '<button id="back" type="button">← Back</button><button id="on" type="button">Next →</button>'
    nav = f'<nav>{buttons}<span id="place" aria-live="polite"></span></nav>'
    body = (
        f'{_head(title, lead)}<div class="steps">{"".join(_sections(steps))}</div>'
        f"{nav}{_foot(foot)}<script>{STEPPING}</script>"
    )
    return _document(title, body, bool(_n_figures(steps)), SLIDES)


def figure_file(title: str, cards: Sequence[tuple[go.Figure, str]]) -> str:
    """Figures with their captions."""
    return page_file(title, "", [Section("", figures=tuple(cards))], ())


def table_file(title: str, frame: pd.DataFrame) -> str:
    """A table."""
    return page_file(title, "", [Section("", table=frame)], ())


def _n_figures(sections: Sequence[Section]) -> int:
    return sum(len(section.figures) for section in sections)


def _sections(sections: Sequence[Section]) -> list[str]:
    parts, number = [], 0
    for section in sections:
        figures = []
        for figure, caption in section.figures:
            figures.append(_figure(figure, caption, number))
            number += 1
        parts.append(_section(section, "".join(figures)))
    return parts


def _section(section: Section, figures: str) -> str:
    title = f"<h2>{html.escape(section.title)}</h2>" if section.title else ""
    said = f'<p class="said">{html.escape(section.said)}</p>' if section.said else ""
    note = f"<blockquote>{html.escape(section.note)}</blockquote>" if section.note else ""
    link = (
        f'<p class="source">Live view: <a href="{html.escape(section.link)}">{html.escape(section.link)}</a></p>'
        if _is_web(section.link)
        else ""
    )
    table = "" if section.table is None else html_table(section.table)
    return f"<section>{title}{said}{note}{figures}{table}{link}</section>"


def _is_web(link: str) -> bool:
    return link.startswith(("http://", "https://"))


def _figure(figure: go.Figure, caption: str, number: int) -> str:
    from repdiss_core.plots.theme import LOCAL

    config = {"responsive": True, "displayModeBar": "hover", **LOCAL}
    chart = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"figure-{number}", config=config)
    return f"<figure>{chart}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _head(title: str, lead: str) -> str:
    return f"<h1>{html.escape(title)}</h1>" + (f"<p>{html.escape(lead)}</p>" if lead else "")


def _foot(lines: Sequence[str]) -> str:
    return "<footer>" + "".join(f"<p>{html.escape(line)}</p>" for line in lines) + "</footer>" if lines else ""


def _document(title: str, body: str, figures: bool, style: str = "") -> str:
    library = f"<script>{LIBRARY.read_text('utf-8')}</script>" if figures else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{STYLE}{style}</style>{library}</head><body><main>{body}</main></body></html>\n"
    )
