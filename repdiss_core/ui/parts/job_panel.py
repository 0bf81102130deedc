"""The runs page's list: each job with its state, progress, log, and what can be done about it."""

from __future__ import annotations

import streamlit as st

from repdiss_core.base.paths import readonly
from repdiss_core.runs import jobs, pruning
from repdiss_core.runs.job_files import JobStatus
from repdiss_core.ui.parts.attempts import attempt, show_refusal
from repdiss_core.ui.parts.shared import result_store
from repdiss_core.ui.parts.tables import markdown_table
from repdiss_core.ui.parts.text import BadgeColor, age, as_text, duration, size

POLL_S = 1.0
LOOKS: dict[str, tuple[BadgeColor, str]] = {
    "queued": ("violet", ":material/hourglass_empty:"),
    "running": ("violet", ":material/progress_activity:"),
    "done": ("green", ":material/check:"),
    "failed": ("red", ":material/error:"),
    "cancelled": ("gray", ":material/close:"),
    "interrupted": ("orange", ":material/warning:"),
}
PART_NAMES = {
    "results": "results computed here",
    "activations": "stored activations",
    "checkpoints": "checkpoints of unfinished stitches",
    "data": "token streams",
    "jobs": "jobs and their logs",
    "training": "training of the bundled models",
}


def job_list() -> None:
    """All jobs, the latest first; repaints itself while one of them is alive."""
    alive = any(job.alive for job in jobs.list_jobs())
    st.fragment(_list, run_every=POLL_S if alive else None)(alive)


def _list(was_alive: bool) -> None:
    known = jobs.list_jobs()
    if was_alive and not any(job.alive for job in known):
        st.rerun()
    if not known:
        st.markdown(
            "No run has been started from these pages yet. "
            "Every figure has a button *Compute here* or *Recompute here*."
        )
    for job in known:
        _row(job)


def _row(job: JobStatus) -> None:
    color, icon = LOOKS[job.state]
    with st.container(border=True, key=f"job-{job.job_id[:12]}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{as_text(job.title)}**", width="content")
            st.badge(job.state, color=color, icon=icon)
            st.space("stretch")
            st.caption(f"started {age(job.started)}" if job.started else "", width="content")
            if not readonly():
                _button(job)
        if job.alive:
            left = f" · {duration(job.seconds_left)} left" if job.seconds_left is not None else ""
            st.progress(
                min(1.0, max(0.0, job.fraction)), text=f"{job.fraction * 100:.0f} % · {as_text(job.message)}{left}"
            )
        else:
            told = job.error or (job.message if job.message != job.state else "")
            took = f"took {duration(max(0.0, job.updated - job.started))}" if job.state == "done" else ""
            st.caption(" · ".join(as_text(part) for part in (told, took) if part) or "no message")
        show_refusal(job.job_id)
        with st.expander("Log", type="compact"):
            st.code(jobs.log_tail(job.job_id) or "The worker wrote nothing.", language=None, wrap_lines=True)


def _button(job: JobStatus) -> None:
    key = f"job-button-{job.job_id[:12]}"
    if job.alive:
        st.button(
            "Cancel",
            key=key,
            type="tertiary",
            icon=":material/close:",
            on_click=attempt,
            args=(job.job_id, jobs.cancel, job.job_id),
        )
    elif job.state != "done":
        st.button(
            "Resume",
            key=key,
            type="tertiary",
            icon=":material/play_arrow:",
            on_click=attempt,
            args=(job.job_id, jobs.resume, job.job_id),
        )
    if st.session_state.get(key):
        st.rerun()


def cache_panel() -> None:
    """What takes disk space, and freeing it."""
    import pandas as pd

    parts = pruning.sizes()
    cells = [(PART_NAMES.get(name, name), size(n)) for name, n in parts.items() if n] or [("nothing yet", "0 bytes")]
    cells.append(("**together**", f"**{size(sum(parts.values()))}**"))
    st.markdown(markdown_table(pd.DataFrame(cells, columns=["on this machine", "size"]), "lr"))
    if readonly():
        return
    with st.popover("Free space", icon=":material/delete:"):
        st.markdown("Removes stored activations, checkpoints and ended jobs. They are made again when needed.")
        everything = st.checkbox(
            "also the results computed on this machine", key="prune-everything", help="Shipped results stay."
        )
        st.button(
            "Free space now", key="prune-now", type="primary", on_click=attempt, args=("prune", _prune, everything)
        )
    show_refusal("prune")


def _prune(everything: bool) -> None:
    freed = pruning.prune(everything)
    result_store.clear()  # the open store reads files that are gone
    st.toast(f"Freed {size(freed)}.")
