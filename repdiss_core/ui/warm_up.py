"""Fetching what draws charts early, so that the first page with figures opens fast."""

from __future__ import annotations

import importlib
import threading
from contextlib import suppress
from pathlib import Path

import streamlit as st

from repdiss_core.errors import UserError
from repdiss_core.ui.chart import LOAD, serve_library

COMPONENTS = ("BidiComponent", "Selectbox", "ButtonGroup", "Button", "DownloadButton")
MODULES = ("plotly.io", "plotly.tools", "plotly.graph_objs", "repdiss_core.ui.asymmetry_cards", "repdiss_core.ui.claims_list", "sklearn.cluster", "sklearn.manifold")


def load_components() -> None:
    """Have the browser load what draws figures at once, while the server still works on them; at a figure page's beginning."""
    st.html(f"<script>{_loads()}</script>", unsafe_allow_javascript=True)


def warm_up() -> None:
    """Have the browser load it when it has nothing else to do, and the server import what it needs; at another page's end."""
    _prepare_once()
    st.html(f"<script>(window.requestIdleCallback || setTimeout)(() => {{{_loads()}}})</script>", unsafe_allow_javascript=True)


def _loads() -> str:
    serve_library()
    return ";".join([LOAD, *(f"import('./static/js/{name}')" for name in _component_files())])


@st.cache_resource(show_spinner=False)
def _component_files() -> list[str]:
    """The files of Streamlit's own components, as the browser will ask for them."""
    folder = Path(st.__file__).parent / "static" / "static" / "js"
    return [path.name for name in COMPONENTS for path in folder.glob(f"{name}.*.js")]


@st.cache_resource(show_spinner=False)
def _prepare_once() -> None:
    threading.Thread(target=_prepare, daemon=True).start()


def _prepare() -> None:
    for name in MODULES:
        importlib.import_module(name)
    from repdiss_core.studies.asymmetry import DEPTHS, Params
    from repdiss_core.ui.claims_list import stored_claims

    with suppress(UserError):  # no models: the page itself says so
        for depth in DEPTHS:
            stored_claims(Params(depth=depth))
