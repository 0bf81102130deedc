"""The web process never imports a deep-learning library: every page is run in a fresh process and its modules are
read."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["app.py", *sorted(f"pages/{path.name}" for path in (ROOT / "pages").glob("*.py"))]
HEAVY = ("torch", "transformers", "transformer_lens", "datasets")
SCRIPT = """
import json, sys
from streamlit.testing.v1 import AppTest
told = {}
for page in sys.argv[1:]:
    test = AppTest.from_file("app.py", default_timeout=60)
    if page != "app.py":
        test.switch_page(page)
    test.run()
    loaded = sorted({name.split(".")[0] for name in list(sys.modules)})
    told[page] = {"loaded": loaded, "faults": [e.message for e in test.exception]}
print(json.dumps(told))
"""


def test_no_page_loads_a_deep_learning_library():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *PAGES], cwd=ROOT, capture_output=True, text=True, timeout=180, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert list(told) == PAGES
    for page, found in told.items():
        assert found["faults"] == []
        heavy = [name for name in HEAVY if name in found["loaded"]]
        assert heavy == [], (
            f"{page} (or one before it) imports {heavy}; import them inside loaders, engine or worker functions instead"
        )
        assert "repdiss_core" in found["loaded"]
