"""Repositories through a hub on loopback: cold, warm, off line, hanging, refused, broken off, and out of room."""

from __future__ import annotations

import time

import pytest

from repdiss_core import hub as client
from repdiss_core.base.errors import UserError
from repdiss_core.hub import Repo, fetch, has, pin, pinned
from repdiss_core.hub.download import Cancelled, watched

BIG = bytes(range(256)) * 16384  # 4 MiB


def test_files_are_fetched_once_and_then_found_without_a_network(hub, monkeypatch):
    hub.add("org/model", {"config.json": b"{}", "weights.bin": b"abc"})
    assert pinned(Repo("org/model")) is None and not has(Repo("org/model"), ["config.json"])
    folder = fetch(Repo("org/model"), ["config.json", "weights.bin"])
    assert (folder / "weights.bin").read_bytes() == b"abc" and has(Repo("org/model"), ["config.json"])
    assert len(hub.downloads()) == 2
    n_requests = len(hub.log)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(Repo("org/model"), ["config.json", "weights.bin"]) == folder and len(hub.log) == n_requests


def test_a_revision_stays_what_it_was_when_it_was_first_asked(hub):
    hub.add("org/model", {"a": b"old"})
    hub.add("org/model", {"a": b"step"}, revision="step1000")
    first = pin(Repo("org/model"))
    hub.add("org/model", {"a": b"new"})
    assert pin(Repo("org/model")) == first and (first.files, len(first.commit)) == ({"a": 3}, 40)
    assert (fetch(Repo("org/model", "step1000"), ["a"]) / "a").read_bytes() == b"step"
    assert pin(Repo("org/model", "step1000")).commit != first.commit


def test_what_other_programs_fetched_is_taken_without_a_network(hub, monkeypatch):
    from huggingface_hub import hf_hub_download

    hub.add("org/model", {"a": b"abc"})
    hf_hub_download("org/model", "a", endpoint=client.endpoint(), cache_dir=client.cache_folder())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert (fetch(Repo("org/model"), ["a"]) / "a").read_bytes() == b"abc"


def test_without_a_network_a_sentence_comes_within_five_seconds(hub, monkeypatch):
    hub.add("org/there", {"a": b"abc"})
    fetch(Repo("org/there"), ["a"])
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(
        UserError, match=r"org/other is not on this machine and the hub .* does not answer.*fetched before: org/there\."
    ):
        fetch(Repo("org/other"), ["a"])
    assert time.monotonic() - begun < 5


def test_a_hub_that_never_answers_is_given_up_within_five_seconds(hub):
    hub.add("org/model", {"a": b"abc"})
    hub.hanging = True
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"does not answer\. Connect and try again\. .*bundled models"):
        fetch(Repo("org/model"), ["a"])
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("repo", "sentence"),
    [
        (Repo("org/nothing"), r"The hub has no model org/nothing, or it is private: check the name, or log in"),
        (Repo("org/model", "step7"), r"org/model has no revision 'step7': leave it out for main"),
        (Repo("org/gated"), r"org/gated is gated: accept its terms on http://127.* and log in with `hf auth login`"),
    ],
)
def test_refusals_are_told_in_a_sentence(hub, repo, sentence):
    hub.add("org/model", {"a": b"abc"})
    hub.add("org/gated", {"a": b"abc"})
    hub.gated.add("org/gated")
    with pytest.raises(UserError, match=sentence):
        fetch(repo, ["a"])


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_hub_that_is_out_of_order_is_told_with_its_answer(hub, status):
    hub.add("org/model", {"a": b"abc"})
    hub.failing = status
    with pytest.raises(
        UserError, match=rf"The hub broke off while org/model was fetched \(it answered {status}\)\. .*try again"
    ):
        fetch(Repo("org/model"), ["a"])
    hub.failing = 0
    assert (fetch(Repo("org/model"), ["a"]) / "a").read_bytes() == b"abc"


def test_a_hub_that_falls_silent_is_given_up(hub, monkeypatch):
    """After it was found to be there; and in the middle of a file, which is then continued."""
    monkeypatch.setattr(client, "API_TIMEOUT_S", 0.3)
    monkeypatch.setattr("repdiss_core.hub.download.STALL_S", 0.2)
    hub.add("org/model", {"weights.bin": BIG})
    hub.hanging = "after the first"
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"The hub broke off while org/model was fetched \(ReadTimeout\)"):
        fetch(Repo("org/model"), ["weights.bin"])
    hub.hanging = False
    pin(Repo("org/model"))
    hub.hanging = "files"
    with pytest.raises(UserError, match=r"The hub broke off .*What has arrived is kept"):
        fetch(Repo("org/model"), ["weights.bin"])
    assert time.monotonic() - begun < 15
    hub.hanging = False
    assert (fetch(Repo("org/model"), ["weights.bin"]) / "weights.bin").read_bytes() == BIG
    ranges = [wanted for method, path, wanted in hub.log if method == "GET" and path.endswith("weights.bin")]
    assert int(ranges[-1][6:-1]) >= len(BIG) // 2


def test_a_file_that_is_gone_from_the_pinned_commit(hub):
    hub.add("org/model", {"a": b"abc", "b": b"d"})
    hub.commits[pin(Repo("org/model")).commit] = {"b": b"d"}
    with pytest.raises(UserError, match=r"org/model lacks a file that was asked for \(404"):
        fetch(Repo("org/model"), ["a"])


def test_a_file_that_the_repository_lacks(hub):
    hub.add("org/model", {"a": b"abc"})
    with pytest.raises(UserError, match=r"org/model has no file model\.safetensors \(commit \w{8}\); it has a\."):
        fetch(Repo("org/model"), ["model.safetensors"])


@pytest.mark.parametrize("name", ["../etc", "org/model/more", "org/mo del", ""])
def test_names_that_are_no_repository(name):
    with pytest.raises(UserError, match="does not name a repository of the hub"):
        Repo(name)
    with pytest.raises(UserError, match="does not name a repository of the hub"):
        Repo("org/model", "../../etc")


def test_a_broken_download_goes_on_where_it_ended(hub):
    hub.add("org/model", {"weights.bin": BIG})
    hub.break_after["weights.bin"] = len(BIG) // 2
    folder = fetch(Repo("org/model"), ["weights.bin"])
    assert (folder / "weights.bin").read_bytes() == BIG
    ranges = [wanted for method, path, wanted in hub.log if method == "GET" and "/resolve/" in path]
    assert ranges[0] == "" and ranges[1].startswith("bytes=") and int(ranges[1][6:-1]) > 0


def test_a_cancelled_download_goes_on_where_it_ended(hub):
    hub.add("org/model", {"weights.bin": BIG})
    told: list[float] = []
    with watched(lambda fraction, message: told.append(fraction), lambda: bool(told)), pytest.raises(Cancelled):
        fetch(Repo("org/model"), ["weights.bin"])
    assert 0 < told[-1] < 1 and not has(Repo("org/model"), ["weights.bin"])
    messages: list[str] = []
    with watched(lambda fraction, message: messages.append(message), lambda: False):
        assert (fetch(Repo("org/model"), ["weights.bin"]) / "weights.bin").read_bytes() == BIG
    assert "org/model: weights.bin: 4 of 4 MiB" in messages[-1]
    assert any(wanted.startswith("bytes=") for _, path, wanted in hub.log if path.endswith("weights.bin"))


def test_wrong_bytes_are_thrown_away(hub):
    hub.add("org/model", {"weights.bin": BIG})
    hub.wrong_bytes.add("weights.bin")
    with pytest.raises(
        UserError, match=r"What arrived of org/model: weights.bin is not what the hub announced .* thrown away"
    ):
        fetch(Repo("org/model"), ["weights.bin"])
    hub.wrong_bytes.clear()
    assert (fetch(Repo("org/model"), ["weights.bin"]) / "weights.bin").read_bytes() == BIG


def test_no_room(hub, monkeypatch):
    hub.add("org/model", {"weights.bin": BIG})
    monkeypatch.setenv("REPDISS_DOWNLOADS_GB", "0.001")
    with pytest.raises(UserError, match=r"org/model needs 0\.00391 GiB; REPDISS_DOWNLOADS_GB allows 0\.001 GiB"):
        fetch(Repo("org/model"), ["weights.bin"])
    monkeypatch.setenv("REPDISS_DOWNLOADS_GB", "much")
    with pytest.raises(UserError, match=r"REPDISS_DOWNLOADS_GB is 'much'; it is a number of GiB, such as 20"):
        fetch(Repo("org/model"), ["weights.bin"])
    monkeypatch.delenv("REPDISS_DOWNLOADS_GB")
    monkeypatch.setattr("repdiss_core.hub.download.RESERVE_BYTES", 2**60)
    with pytest.raises(
        UserError, match=r"org/model needs 0\.00 GiB and .* has 0\.00 GiB free\. Make room, or set HF_HOME"
    ):
        fetch(Repo("org/model"), ["weights.bin"])
    assert not hub.downloads()
