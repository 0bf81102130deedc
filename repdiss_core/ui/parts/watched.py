"""Jobs that a card's panel waits for, beside the card's own: while one of them is alive, the card repaints itself."""

from __future__ import annotations

import streamlit as st

from repdiss_core.runs import jobs
from repdiss_core.runs.job_files import JobStatus


def any_alive(card_id: str) -> bool:
    """Whether the card waits for a job; those that have ended are forgotten."""
    waited = [
        job_id
        for job_id in st.session_state.get(_key(card_id), ())
        if (job := jobs.status(job_id)) is not None and job.alive
    ]
    if waited:
        st.session_state[_key(card_id)] = waited
    else:
        st.session_state.pop(_key(card_id), None)
    return bool(waited)


def wait_for(card_id: str, job: JobStatus) -> None:
    """Have the card repaint itself while this job is alive: the whole page runs once, which starts it."""
    waited = st.session_state.setdefault(_key(card_id), [])
    if job.alive and job.job_id not in waited:
        waited.append(job.job_id)
        st.rerun()


def _key(card_id: str) -> str:
    return f"jobs that {card_id} waits for"
