"""Every claim of the paper and what becomes of it on the models at hand."""

from repdiss_core.studies.findings import judged_studies
from repdiss_core.ui.findings_page import study_findings
from repdiss_core.ui.page import begin_page, end_page

begin_page(
    "pages/5_Findings.py",
    "What becomes of the paper’s claims?",
    "Each claim of the paper once, with a verdict computed from the results at hand. "
    "An effect stands for the layer that decides; "
    "our own questions follow the paper’s.",
)
for study in judged_studies():
    study_findings(study)
end_page()
