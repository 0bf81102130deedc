"""Writes the table of docs/models.md: what the checks found on a tiny network of every family.

Run: python tests/models/families_report.py
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "models.md"
BEGIN, END = "<!-- families: written by tests/models/families_report.py -->\n", "<!-- end of families -->\n"
CHECKS = (
    "batch equals alone, padding right",
    "batch equals alone, padding left",
    "causality",
    "own logits",
)


def row(family: str) -> str:
    """The family's line: where its blocks are, how far its streams are from transformers' own,
    what each check found."""
    import numpy as np
    import tiny_families as tiny
    import torch

    from repdiss_core.data.batches import TokenBatch
    from repdiss_core.models.adapter import AdapterResidualModel
    from repdiss_core.models.load_checks import check_model

    network = tiny.network_of(family)
    model = AdapterResidualModel(network, family, n_ctx=tiny.CONTEXT, causal=family in tiny.DECODERS)
    batch = TokenBatch(np.random.default_rng(0).integers(3, tiny.VOCABULARY, (2, 12)))
    with torch.no_grad():
        theirs = list(network(torch.from_numpy(batch.tokens), output_hidden_states=True).hidden_states)
    theirs = theirs[: tiny.DEPTH - 1] if network.config.model_type == "mamba" else theirs[1 : tiny.DEPTH]
    apart = max(float((a - b).abs().max()) for a, b in zip(model.residuals(batch), theirs, strict=False))
    found = {one.name: one.difference for one in check_model(model)}
    cells = [_cell(found[name]) for name in CHECKS]
    block = type(model.structure.blocks[0]).__name__
    return f"| {family} | `{model.structure.path}` of {block} | {_cell(apart)} | {' | '.join(cells)} |"


def _cell(difference: float | None) -> str:
    return "does not apply" if difference is None else "0" if difference == 0 else f"{difference:.0e}"


def table() -> str:
    """The whole table in Markdown."""
    import tiny_families as tiny

    head = ("family", "blocks", "streams against transformers'", *CHECKS)
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *map(row, tiny.FAMILIES)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Put a new table between the marks of the document."""
    text = DOCUMENT.read_text("utf-8")
    before, rest = text.split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}{table()}{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    here = Path(__file__).resolve()
    sys.path[:0] = [str(here.parent), str(here.parent.parent.parent)]
    main()
