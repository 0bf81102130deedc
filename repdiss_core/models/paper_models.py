"""The paper's own models: facts that are known before anything is fetched. Imports no torch and reaches no network.

A model's identity (`ModelSpec.weights`) is the commit that its revision was pinned to (`repdiss_core.hub`); before that
it is "unpinned:…", under which nothing is ever stored (`repdiss_core.runs.resolve` pins what a request names).
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import replace
from pathlib import Path

from repdiss_core import hub
from repdiss_core.data import tokenizer
from repdiss_core.hub import Repo, packages
from repdiss_core.models import ModelSpec
from repdiss_core.models.files import weight_files
from repdiss_core.models.pythia_table import PYTHIA_CONFIGS

UNPINNED = "unpinned:"
STEP = re.compile(r"(?:step)?([0-9]{1,7})")  # a revision of the Pythias
FEATHER_FACTS = Path(__file__).with_name("feather_berts.json")
# Embeddings are padded to a multiple of 128 times the number of devices that a model was trained on.
PYTHIA_VOCABULARY, PYTHIA_LARGE = 50304, {"pythia-6.9b": 50432, "pythia-12b": 50688}
PYTHIA_TOKENS = 299_892_736_000
# (layers, width): the suite of Nanda 2022 on C4 and code; heads of 64.
_SMALL = ((1, 512), (2, 512), (3, 512), (4, 512))
NANDA = {"gelu": _SMALL, "solu": (*_SMALL, (6, 768), (8, 1024), (10, 1280), (12, 1536))}
NANDA_VOCABULARY, N_CTX = 48262, 1024
PYTHIA_TOKENIZER = "EleutherAI/pythia-70m-deduped"
NANDA_TOKENIZER = "NeelNanda/gpt-neox-tokenizer-digits"
BERT_TOKENIZER = "google-bert/bert-base-uncased"
N_FEATHERS = 100
FILE_BYTES = {"pythia": 2, "nanda": 4, "feather": 4}  # of a parameter in the published files


def names() -> tuple[str, ...]:
    """Every model of the paper's kinds, at its final state."""
    return tuple(unpinned())


def language_models() -> dict[str, ModelSpec]:
    """Those that read and predict text, with the identity that is pinned here."""
    return {name: _pinned(spec) for name, spec in unpinned().items() if spec.family != "feather"}


def feather_berts() -> dict[str, ModelSpec]:
    """The hundred fine-tuned BERTs, with the identity that is pinned here."""
    return {name: _pinned(spec) for name, spec in unpinned().items() if spec.family == "feather"}


def find(name: str) -> ModelSpec | None:
    """A model of the paper's kinds, or one at a revision; else None."""
    base, _, revision = name.partition("@")
    found = unpinned().get(base)
    if found is None:
        return None
    return _pinned(at_revision(found, revision) if revision else found)


def at_revision(spec: ModelSpec, revision: str) -> ModelSpec:
    """The same model at another revision of its repository, such as a step of its training."""
    step = STEP.fullmatch(revision)
    seen = int(step[1]) * 2_097_152 if spec.family == "pythia" and step else 0  # batches of 1024 × 2048 tokens
    Repo(spec.repo, revision)
    return replace(
        spec,
        name=f"{spec.name}@{revision}",
        revision=revision,
        weights=f"{UNPINNED}{revision}",
        tokens_seen=seen,
        state="intermediate",
    )


def repo_of(spec: ModelSpec) -> Repo:
    """Where the model stands on the hub."""
    return Repo(spec.repo, spec.revision or "main")


def status(spec: ModelSpec) -> str:
    """ "bundled", "cached" (its weights are on this machine), "to download" or, of a package, "to fetch" with the size;
    "local" for a folder, "drawn here" for an untrained twin."""
    if spec.source == "package" and spec.state != "untrained":
        return (
            "cached" if packages.is_here(packages.package_of(spec.name)) else f"to fetch: {size(spec.download_bytes)}"
        )
    if not spec.repo:
        return "drawn here" if spec.state == "untrained" else "local" if spec.name.startswith("path:") else "bundled"
    known = hub.pinned(repo_of(spec))
    if known is None:
        return f"to download: about {size(spec.download_bytes)}"
    files = weight_files(known.files)
    if files and hub.has(repo_of(spec), files):
        return "cached"
    return f"to download: {size(sum(known.files[name] for name in files))}"


def size(n_bytes: int) -> str:
    """Bytes as people read them."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def memory_bytes(spec: ModelSpec, dtype: str = "float32") -> int:
    """What the weights take in memory: as large as their files once these are known,
    else by the number of parameters."""
    known = hub.pinned(repo_of(spec)) if spec.family in FILE_BYTES else None
    files = weight_files(known.files) if known is not None else []
    size_of = 2 if dtype == "bfloat16" else 4
    if known is None or not files:
        return spec.n_parameters * size_of
    return sum(known.files[name] for name in files) * size_of // FILE_BYTES[spec.family]


def feather_accuracies(column: str) -> dict[str, float]:
    """{name: accuracy} as published; column "mnli", "overlap" (not entailed: what ranks them) or "overlap_entailed"."""
    at = ("mnli", "overlap", "overlap_entailed").index(column) + 1
    return {f"feather-bert-{row[0]:02d}": float(row[at]) for row in _feather_facts()["rows"]}


@functools.lru_cache(maxsize=1)
def _feather_facts() -> dict:
    return json.loads(FEATHER_FACTS.read_text("utf-8"))


def _pinned(spec: ModelSpec) -> ModelSpec:
    known, cut = hub.pinned(repo_of(spec)), tokenizer.fingerprint(spec.tokenizer_repo)
    weights = (
        known.commit if known is not None else spec.revision if hub.COMMIT.fullmatch(spec.revision) else spec.weights
    )
    return replace(spec, weights=weights, tokenizer=spec.tokenizer if cut == tokenizer.UNKNOWN else cut)


@functools.lru_cache(maxsize=1)
def unpinned() -> dict[str, ModelSpec]:
    """Every model at its final state, before anything is known of this machine."""
    pythia = [_pythia(name, suffix) for suffix in ("-deduped", "") for name in PYTHIA_CONFIGS]
    nanda = [_nanda(kind, *shape) for kind, shapes in NANDA.items() for shape in shapes]
    return {spec.name: spec for spec in (*nanda, *pythia, *(_feather(run) for run in range(N_FEATHERS)))}


def _pythia(base: str, suffix: str) -> ModelSpec:
    config, vocabulary = PYTHIA_CONFIGS[base], PYTHIA_LARGE.get(base, PYTHIA_VOCABULARY)
    n_layers, d, n_heads = (int(config[key]) for key in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    d_head, n = d // n_heads, 2 * vocabulary * d + n_layers * (12 * d * d + 13 * d) + 2 * d
    return ModelSpec(
        name=f"{base}{suffix}",
        source="hub",
        architecture=(
            "GPT-NeoX: "
            f"attention and MLP in parallel, rotary positions on {int(d_head * config['rotary_pct'])} of {d_head} "
            "dimensions"
        ),
        n_layers=n_layers,
        d_model=d,
        n_heads=n_heads,
        d_head=d_head,
        n_ctx=2048,
        activation="gelu",
        seed=1234,
        weights=f"{UNPINNED}main",
        tokenizer=PYTHIA_TOKENIZER,
        vocab_size=vocabulary,
        n_parameters=n,
        family="pythia",
        group=f"{base}{suffix}",
        validation_loss=float("nan"),
        tokens_seen=PYTHIA_TOKENS,
        state="final",
        loader="repdiss_core.models.neox:load_hub",
        repo=f"EleutherAI/{base}{suffix}",
        revision="main",
        tokenizer_repo=PYTHIA_TOKENIZER,
        download_bytes=2 * n + n_layers * 2048 * 2048,  # float16, and the causal masks that the checkpoints carry
    )


def _nanda(kind: str, n_layers: int, d: int) -> ModelSpec:
    repo = f"NeelNanda/{'GELU' if kind == 'gelu' else 'SoLU'}_{n_layers}L{d}W_C4_Code"
    solu = 8 * d if kind == "solu" else 0  # the LayerNorm after the activation
    n = NANDA_VOCABULARY * (2 * d + 1) + N_CTX * d + n_layers * (12 * d * d + 13 * d + solu) + 2 * d
    return ModelSpec(
        name=f"{kind}-{n_layers}l",
        source="hub",
        architecture="GPT with LayerNorm before attention and MLP, learned positions",
        n_layers=n_layers,
        d_model=d,
        n_heads=d // 64,
        d_head=64,
        n_ctx=N_CTX,
        activation="solu_ln" if kind == "solu" else "gelu",
        seed=0,
        weights=f"{UNPINNED}main",
        tokenizer=NANDA_TOKENIZER,
        vocab_size=NANDA_VOCABULARY,
        n_parameters=n,
        family="nanda",
        group=f"nanda-{n_layers}l",
        validation_loss=float("nan"),
        tokens_seen=0,
        state="final",
        loader="repdiss_core.models.nanda:load_hub",
        repo=repo,
        revision="main",
        tokenizer_repo=NANDA_TOKENIZER,
        download_bytes=4 * n,
    )


def _feather(run: int) -> ModelSpec:
    return ModelSpec(
        name=f"feather-bert-{run:02d}",
        source="hub",
        architecture="bert-base-uncased, fine-tuned on MNLI: three labels on [CLS]",
        n_layers=12,
        d_model=768,
        n_heads=12,
        d_head=64,
        n_ctx=512,
        activation="gelu",
        seed=run,
        weights=f"{UNPINNED}main",
        tokenizer=BERT_TOKENIZER,
        vocab_size=30522,
        n_parameters=109_484_547,
        family="feather",
        group="feather",
        validation_loss=float("nan"),
        tokens_seen=0,
        state="final",
        loader="repdiss_core.models.bert:load_feather",
        repo=f"connectivity/feather_berts_{run}",
        revision="main",
        tokenizer_repo=BERT_TOKENIZER,
        download_bytes=438_000_000,
    )
