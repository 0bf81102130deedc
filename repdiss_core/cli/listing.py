"""`list models|data|measures|studies|figures|claims`."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import click

KINDS = ("models", "data", "measures", "studies", "figures", "claims")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects with name, source and facts.")
def list_command(kind: str, as_json: bool) -> None:
    """List what RepDiss knows."""
    rows = listing(kind)
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False, default=str))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  {row['source']:<8}  {row['summary']}")


def listing(kind: str) -> list[dict[str, Any]]:
    """One object a thing: name, source, summary, and its facts."""
    return {
        "models": _models,
        "data": _data,
        "measures": _measures,
        "studies": _studies,
        "figures": _figures,
        "claims": _claims,
    }[kind]()


def _models() -> list[dict[str, Any]]:
    from repdiss_core.models import MODELS, model_spec, packages, paper_models
    from repdiss_core.models.classifiers import classifiers

    rows = []
    papers = (*paper_models.language_models().values(), *paper_models.feather_berts().values())
    for spec in (*MODELS.values(), *classifiers().values(), *papers, *map(model_spec, packages.names())):
        heads = f"{spec.n_heads} × {spec.d_head} heads"
        summary = (
            f"{spec.n_layers} layers, d_model {spec.d_model}, {heads}, {spec.activation}, seed {spec.seed}, "
            f"{spec.n_parameters:,} parameters"
        )
        summary += f", {paper_models.status(spec)}" if spec.repo or spec.source == "package" else ""
        rows.append({"name": spec.name, "source": spec.source, "summary": summary, **_facts(spec)})
    return rows


def _data() -> list[dict[str, Any]]:
    from repdiss_core.data import DATASETS

    return [{"name": s.name, "source": s.source, "summary": s.label, **_facts(s)} for s in DATASETS.values()]


def _measures() -> list[dict[str, Any]]:
    from repdiss_core.measures import MEASURES

    return [{"name": s.name, "source": "repdiss", "summary": s.label, **s.facts()} for s in MEASURES.values()]


def _studies() -> list[dict[str, Any]]:
    from repdiss_core.studies.paper import STUDIES

    return [
        {"name": s.name, "source": f"§{s.section}" if s.section else "ours", "summary": s.question, **_facts(s)}
        for s in STUDIES.values()
    ]


def _figures() -> list[dict[str, Any]]:
    from repdiss_core.studies.paper import FIGURES, STUDIES, paper_figures

    ours = tuple(figure for figure in FIGURES.values() if not figure.label)
    return [
        {
            "name": figure.figure_id,
            "source": f"§{STUDIES[figure.study].section}" if figure.label else "ours",
            "summary": figure.title,
            **figure.facts(),
        }
        for figure in (*paper_figures(), *ours)
    ]


def _claims() -> list[dict[str, Any]]:
    """Every verdict on every claim, with the rule that gave it."""
    from repdiss_core.store.cache import ResultStore
    from repdiss_core.studies.findings import findings, judged_studies
    from repdiss_core.studies.words import as_json

    store = ResultStore.open()
    rows = []
    for study in judged_studies():
        for row in (row for finding in findings(store, study.name).findings for row in finding.rows):
            facts = as_json(row.claim)
            verdict = f"{facts['verdict']} (rule: {row.claim.judged_by.label})"
            summary = f"{verdict}, {row.models.label}, {facts['scope']}: {facts['claim']}"
            source = f"§{study.section}"
            rows.append(
                {"name": row.claim.id, "source": source, "summary": summary, "models": row.models.label, **facts}
            )
    return rows


def _facts(spec: Any) -> dict[str, Any]:
    form = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    plain = json.loads(json.dumps(form, default=_describe))
    known = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in plain.items()}  # NaN is no JSON
    return {k: v for k, v in known.items() if k not in ("name", "source", "summary")}


def _describe(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
