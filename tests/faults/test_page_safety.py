"""What the server refuses and what a page shows as text: foreign hosts and origins, HTML and script in names,
labels and links."""

from __future__ import annotations

import http.client
import json
import tomllib
from urllib.parse import quote

import pytest
from faulting import F, G, small_request, tally
from streamlit.testing.v1 import AppTest

from repdiss_core.base.paths import REPOSITORY
from repdiss_core.runs import job_files
from repdiss_core.scripts.bench.browser import dashboard, settle
from repdiss_core.ui.parts.text import as_text

SCRIPT = (
    '<script>document.title="planted"</script><img src=x '
    "onerror=\"document.title='planted'\">[link](javascript:alert(1)) **bold** $x$ :red[y]"
)
MARKS = "<>[]()*_`$:#!"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """host:port of a dashboard with an empty cache."""
    root = tmp_path_factory.mktemp("safety")
    with dashboard(str(root / "server.log"), REPDISS_CACHE=str(root)) as address:
        yield address.removeprefix("http://"), root


def asked(address: str, path: str, **headers: str) -> tuple[int, str]:
    """(status, body) of a GET; for a WebSocket with the headers of a handshake."""
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, "" if answer.status == 101 else answer.read(4000).decode(errors="replace")


SOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def test_the_server_listens_on_this_machine_alone_and_says_so() -> None:
    config = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text())
    assert config["server"]["address"] == "127.0.0.1"
    assert config["client"]["showErrorDetails"] == "none"
    assert config["server"]["enableXsrfProtection"] and config["server"]["enableCORS"]
    readme = (REPOSITORY / "README.md").read_text()
    assert "127.0.0.1" in readme and "authenticating proxy" in readme


@pytest.mark.faults
def test_foreign_hosts_and_origins_are_refused(server) -> None:
    address, _ = server
    port = address.split(":")[1]
    assert asked(address, "/_stcore/health")[0] == 200
    foreign_hosts = (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "0.0.0.0",
        "",
    )
    for host in foreign_hosts:
        assert asked(address, "/_stcore/stream", Host=host, **SOCKET)[0] == 403, f"Host {host!r} got a WebSocket"
        assert asked(address, "/_stcore/stream", Host=host, Origin=f"http://{host}", **SOCKET)[0] == 403, (
            f"Host {host!r} got a WebSocket"
        )
    origins = (
        "http://evil.example",
        "https://evil.example",
        f"http://evil.example:{port}",
        "http://127.0.0.1.evil.example",
        "null",
        "file://",
    )
    for origin in origins:
        assert asked(address, "/_stcore/stream", Host=address, Origin=origin, **SOCKET)[0] == 403, (
            f"Origin {origin} got a WebSocket"
        )
    assert asked(address, "/_stcore/stream", Host=address, Origin=f"http://{address}", **SOCKET)[0] == 101
    # Without the WebSocket there are only the files of Streamlit's own front end, the same for everybody.
    for path in ("/", "/Runs", "/_stcore/health", "/_stcore/host-config"):
        assert "repdiss" not in asked(address, path, Host="evil.example")[1].lower()
    tally(
        "foreign Host and Origin headers",
        cases=2 * len(foreign_hosts) + len(origins),
        served=0,
        note="WebSocket handshakes, which carry everything that the pages show",
    )


@pytest.mark.parametrize("place", ["job title", "link", "problem"])
def test_names_and_links_are_shown_as_text(place, own_cache) -> None:
    """Every Markdown element that holds the planted text holds it with each mark escaped."""
    request = small_request()
    if place == "job title":
        job_files.folder_of(request.key).mkdir(parents=True)
        job_files.write_request(request.key, {"title": SCRIPT, "fresh": False, "request": request.to_dict()})
        job_files.write_status(job_files.JobStatus(request.key, SCRIPT, "failed", error=SCRIPT, message=SCRIPT))
    test = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=60)
    test.switch_page("pages/7_Runs.py" if place == "job title" else "pages/4_Compare_models.py")
    if place == "link":
        test.query_params["f"], test.query_params["show"] = SCRIPT, SCRIPT
    if place == "problem":
        from repdiss_core.ui.parts.shared import result_store

        result_store().problems.append(SCRIPT)
    test.run()
    result_store_clear()
    assert [error.message for error in test.exception] == []
    shown = [
        element.value for kind in ("markdown", "caption", "error", "info", "warning") for element in test.get(kind)
    ]
    planted = [text for text in shown if "planted" in text]
    assert planted, "the text that was planted is not shown at all"
    for text in planted:
        part = text[text.index("planted") - 30 : text.index("planted") + 20]
        assert as_text(SCRIPT)[20:40] in text and SCRIPT[:20] not in text, part


def result_store_clear() -> None:
    """The next test opens its own cache."""
    from repdiss_core.ui.parts.shared import result_store

    result_store.clear()


@pytest.mark.browser
@pytest.mark.faults
def test_script_in_names_and_links_does_not_run(browser, server) -> None:
    """In a browser: nothing that was planted becomes an element, and no script runs."""
    address, root = server
    request = small_request()
    folder = root / "local" / "jobs" / request.key
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps({"title": SCRIPT, "fresh": False, "request": request.to_dict()}))
    (folder / "status.json").write_text(
        json.dumps(
            {
                "job_id": request.key,
                "title": SCRIPT,
                "state": "failed",
                "error": SCRIPT,
                "message": SCRIPT,
                "fraction": 0.0,
                "started": 1.0,
                "updated": 1.0,
            }
        )
    )
    (folder / "log.txt").write_text(SCRIPT)
    places = (("Compare_models", "f"), ("Compare_models", "show"), ("", "anything"),
              ("Activation_asymmetry", "gelu"), ("Generalization", "population"))  # fmt: skip
    links = ["Runs", *(f"{page}?{name}={quote(SCRIPT)}" for page, name in places)]
    page = browser.new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for link in links:
        page.goto(f"http://{address}/{link}")
        settle(page)
        assert "planted" not in page.title() and not dialogs
        assert page.locator('img[src="x"], a[href^="javascript"]').count() == 0, link
        told = page.locator('[data-testid="stException"]')
        assert told.count() == 0, (link, told.first.inner_text(), (root / "server.log").read_text()[-3000:])
    assert page.evaluate("[...document.scripts].every(s => !s.textContent.includes('planted'))")
    page.context.close()
    tally(
        "HTML and script in names, labels and links, in a browser",
        cases=len(links),
        ran=0,
        note=f"{F} and {G} shown beside them",
    )
