"""What must hold of the dashboard as it is started: safe settings, and files that the browser is told to fetch."""

import tomllib

from repdiss_core.base.paths import REPOSITORY
from repdiss_core.ui.warm_up import COMPONENTS, _component_files


def test_the_dashboard_is_safe_by_default():
    settings = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text("utf-8"))
    assert settings["server"]["address"] == "127.0.0.1"
    assert set(settings["server"]["allowedHosts"]) == {"127.0.0.1", "localhost"}
    assert settings["server"]["enableCORS"] is True
    assert settings["server"]["enableXsrfProtection"] is True
    assert settings["browser"]["gatherUsageStats"] is False
    assert settings["client"]["showErrorDetails"] in ("type", "none")
    assert settings["client"]["toolbarMode"] == "minimal"


def test_light_and_dark_set_the_same_colours():
    theme = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
    assert set(theme["light"]) == set(theme["dark"])


def test_the_components_that_are_fetched_early_exist_in_the_pinned_version():
    names = [name.split(".")[0] for name in _component_files()]
    assert names == list(COMPONENTS)
