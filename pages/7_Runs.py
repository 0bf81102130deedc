"""What is running, done or failed on this machine, with logs, and what the cache takes."""

import streamlit as st

from repdiss_core.ui.page import begin_page, end_page
from repdiss_core.ui.parts.job_panel import cache_panel, job_list
from repdiss_core.ui.warm_up import warm_up

begin_page("pages/7_Runs.py", "What has been computed on this machine?")
job_list()
st.header("Disk space", anchor="disk")
cache_panel()
end_page()
warm_up()
