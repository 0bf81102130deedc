"""The frame of every page: settings, style, navigation, the question as title.

Each page stands alone on a fresh server.
"""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import local_root
from repdiss_core.data import DATASETS, versions_differ
from repdiss_core.plots.theme import PAGE_CSS
from repdiss_core.store.cache import ResultStore
from repdiss_core.ui.page_tools import page_tools
from repdiss_core.ui.parts.browser_button import BUTTON_CSS
from repdiss_core.ui.parts.chart import CHART_CSS
from repdiss_core.ui.parts.pickers import begin_choices
from repdiss_core.ui.parts.presenting import PRESENTING_CSS, arrows, choices, presenting
from repdiss_core.ui.parts.shared import CURRENT, PAGES, REMEMBERED, current_look, result_store
from repdiss_core.ui.parts.text import as_text
from repdiss_core.ui.warm_up import a_page_runs, load_components, prepare

ICON = Path(__file__).with_name("icon.svg")
STYLE = f"""<style>
.stMainBlockContainer {{ max-width: 1200px; padding: 1.1rem 2.5rem 5rem; }}
.stAppHeader {{ background: transparent; }}
.stMain:focus-visible {{ outline: 3px solid currentColor !important; outline-offset: -3px; }}
.stMain :is(a, button, [tabindex]):focus-visible {{ outline: 2px solid currentColor !important; outline-offset: 1px; }}
.st-key-navigation {{ border-bottom: 1px solid color-mix(in srgb, currentColor 14%, transparent);
  padding-bottom: .45rem; margin-bottom: .4rem; }}
[data-testid="stCaptionContainer"], kbd[aria-label] {{ color: inherit !important; opacity: .78; }}
[data-testid="stExpander"] summary {{ opacity: .8 !important; }}
label[data-testid="stWidgetLabel"], label[data-testid="stWidgetLabel"] * {{ color: inherit !important; }}
.st-key-navigation [data-testid="stPageLink-NavLink"] {{ padding: .25rem .4rem; }}
.st-key-page-tools {{ margin: -.7rem 0 -1.1rem; }}
.st-key-page-tools button {{ padding: 0 .35rem; min-height: 1.8rem; font-size: .875rem; }}
[data-testid="stCaptionContainer"], table {{ font-variant-numeric: tabular-nums; }}
[data-testid="stMarkdownContainer"] :is(th, td) {{
  border: 0 !important; border-bottom: 1px solid color-mix(in srgb, currentColor 12%, transparent) !important;
  padding: .4rem 1rem .4rem 0;
}}
[class*="st-key-card-"] {{ content-visibility: auto; contain-intrinsic-height: auto 520px; }}
[class*="st-key-card-"] h3 {{ padding: 0; }}
[class*="st-key-card-"] h3 .stMarkdownBadge {{ font: 400 .875rem "Source Sans", sans-serif; vertical-align: middle;
  margin-right: .5rem; }}
[class*="st-key-tools-"] button {{ padding: 0 .35rem; min-height: 1.8rem; }}
[class*="st-key-tile-"] [data-testid="stPageLink-NavLink"] {{ padding: 0; background: none; }}
[class*="st-key-tile-"] [data-testid="stPageLink-NavLink"] p {{ font-size: 1rem; line-height: 1.45;
  white-space: normal; overflow: visible; }}
[class*="st-key-tile-"] p:has(> .stMarkdownBadge) {{ display: flex; justify-content: space-between; gap: .5rem; }}
[class*="st-key-tile-"] img {{ display: block; width: 100%; }}
[class*="st-key-claim-"] td:nth-child(1) {{ min-width: 12.5rem; }}
[class*="st-key-claim-"] td:nth-child(2) {{ min-width: 9rem; }}
:is(.st-key-card-table1, .st-key-massive-tokens) td:first-child {{ white-space: nowrap; }}
.st-key-headline {{ min-height: 6.2rem; }}
.stElementContainer:has(> .stHtml > script) {{ display: none; }}
{PAGE_CSS}{CHART_CSS}{BUTTON_CSS}</style>"""

# Cards above the figure get their height as they come into sight, so that one jump is not enough.
SCROLL = "[0, 200, 600].forEach(ms => setTimeout(() => document.getElementById(%s)?.scrollIntoView(), ms))"


def begin_page(path: str, title: str, lead: str = "", figures: bool = False, turn: bool = True) -> None:
    """The frame and the title.

    Args:
        path: the page's own key in `PAGES`.
        lead: one sentence under the title.
        figures: whether charts follow, so that the browser may fetch what draws them.
        turn: whether the arrow keys turn pages in presenting mode; a page that turns its own steps gives them its title
            too.
    """
    a_page_runs()
    st.set_page_config(
        page_title=f"{PAGES[path]} · RepDiss", page_icon=str(ICON), layout="wide", initial_sidebar_state="collapsed"
    )
    _stop_without_cache()
    st.html(STYLE + (f"<style>{PRESENTING_CSS}</style>" if presenting() else ""))
    remembered = st.session_state.setdefault(REMEMBERED, {})
    remembered[path] = choices()
    begin_choices(same_page=st.session_state.get(CURRENT) == path)
    st.session_state[CURRENT] = path
    if presenting():
        arrows(path, PAGES, remembered, turn)
    else:
        _navigation(path, remembered)
        page_tools(path)
    if figures:
        load_components()
    if turn or not presenting():
        st.title(title, anchor=False)
    if lead:
        st.markdown(lead)


def _stop_without_cache() -> None:
    """Where the cache cannot be opened nothing can be shown but why."""
    try:
        local_root()
    except UserError as error:
        st.title("RepDiss cannot open its cache", anchor=False)
        st.error(as_text(error), icon=":material/error:")
        st.stop()


def _navigation(current: str, remembered: dict[str, dict[str, str]]) -> None:
    """Links to every page; a page that was seen before opens again with the choices made there."""
    with st.container(horizontal=True, key="navigation", vertical_alignment="center", gap="small"):
        for path, label in PAGES.items():
            name = "**RepDiss**" if path == "app.py" else label
            st.page_link(
                path, label=name, query_params=remembered.get(path) if path != current else None, width="content"
            )


@st.cache_data(show_spinner=False)
def _versions_differ(name: str) -> tuple[str, ...]:
    return versions_differ(name)


def end_page() -> None:
    """What every page ends with: what went wrong is told, the figure that a link means is scrolled to, and the server
    gets the figure pages ready."""
    _show_problems(result_store())
    if "at" in st.query_params:
        st.html(
            f"<script>{SCROLL % json.dumps(st.query_params['at'][:40]).replace('<', '')}</script>",
            unsafe_allow_javascript=True,
        )
    prepare(current_look().name)


def _show_problems(store: ResultStore) -> None:
    """Tell which cache entries were skipped, once each, and where the installed packages differ from the pinned
    ones."""
    for name in DATASETS:
        for sentence in _versions_differ(name):
            st.info(as_text(sentence), icon=":material/info:")
    distinct = list(dict.fromkeys(store.problems))
    if distinct:
        with st.expander(
            f"{len(distinct)} cached {'result was' if len(distinct) == 1 else 'results were'} skipped",
            icon=":material/warning:",
        ):
            for problem in distinct[-20:]:
                st.markdown(as_text(problem))
