"""Models that a user names: a repository of the hub ("hub:org/name@revision") or a folder ("path:…"). Imports no torch."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from repdiss_core import bundled, hub
from repdiss_core.base.errors import UserError, told
from repdiss_core.base.paths import typed_path
from repdiss_core.data import tokenizer
from repdiss_core.hub import Pin, Repo
from repdiss_core.models import ModelSpec, paper_models
from repdiss_core.models.architectures import architecture_of, n_parameters, shape_of

PREFIXES = ("hub:", "path:")
FILES = ("config.json", "tokenizer.json")


def spec(name: str) -> ModelSpec:
    """What is known of the model; a repository that is no paper's model has to be pinned first.

    Raises:
        UserError: an unsupported architecture, missing files, or a repository that was never asked for.
    """
    if name.startswith("path:"):
        return _of_folder(name)
    repo_name, _, revision = name.removeprefix("hub:").partition("@")
    repo = Repo(repo_name, revision or "main")
    known = next((s for s in paper_models.unpinned().values() if s.repo == repo.name), None)
    if known is not None:  # the paper's model by its repository's name: the same key as by its short name
        found = paper_models.find(f"{known.name}@{revision}" if revision and revision != "main" else known.name)
        assert found is not None
        return found
    config = hub.recall(f"config:{repo}")
    pinned = hub.pinned(repo)
    if config is None or pinned is None:
        return _unknown(name, repo)
    found = of_config(name, config, hub.recall(f"tokenizer:{repo}") or str(repo), pinned.commit)
    n_bytes = sum(pinned.files[file] for file in paper_models.weight_files(pinned.files))
    place = {"repo": repo.name, "revision": repo.revision, "tokenizer_repo": str(repo)}
    return replace(found, source="hub", loader="repdiss_core.models.decoder:load_hub", download_bytes=n_bytes, **place)


def is_known(name: str) -> bool:
    """Whether the facts about "hub:…" are on this machine."""
    repo_name, _, revision = name.removeprefix("hub:").partition("@")
    ours = any(spec.repo == repo_name for spec in paper_models.unpinned().values())
    return ours or hub.recall(f"config:{Repo(repo_name, revision or 'main')}") is not None


def prepare(repo: Repo) -> None:
    """Fetch what tells the architecture and the tokenizer: two small files.

    Raises:
        UserError: an unsupported architecture, or no tokenizer.json.
    """
    known = _pin(repo)
    missing = [file for file in FILES if file not in known.files]
    if missing:
        raise UserError(
            f"{repo} has no {' and no '.join(missing)}; RepDiss reads models with config.json, tokenizer.json and weights. Choose another repository."
        )
    if not paper_models.weight_files(known.files):
        raise UserError(f"{repo} has no weights (model.safetensors or pytorch_model.bin). Choose another repository.")
    folder = hub.fetch(repo, FILES)
    config = read_config(str(repo), folder)
    of_config(f"hub:{repo}", config, "", known.commit)
    tokenizer.prepare(str(repo))
    hub.remember(f"config:{repo}", config)


def _pin(repo: Repo) -> Pin:
    """What the hub says of the repository; where it knows none of that name, the nearest ones that are known here are told."""
    try:
        return hub.pin(repo)
    except hub.NoSuchRepository as error:
        known = dict.fromkeys([*(s.repo for s in paper_models.unpinned().values()), *hub.cached_repositories()])
        near = difflib.get_close_matches(repo.name, known, n=3, cutoff=0.7)
        if not near:
            raise
        raise UserError(f"{error} Did you mean {' or '.join(f'hub:{name}' for name in near)}?") from error


def read_config(name: str, folder: Path) -> dict[str, Any]:
    """config.json of a folder."""
    try:
        return json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"The configuration of {name} cannot be read ({error}); it needs a config.json.") from error


def of_config(name: str, config: dict[str, Any], tokenizer: str, weights: str) -> ModelSpec:
    """The facts that a config.json states.

    Raises:
        UserError: an unsupported architecture, or a configuration that leaves the shape open.
    """
    known, shape = architecture_of(name, config), shape_of(name, config)
    return ModelSpec(
        name=name, source="local", architecture=known.label,
        n_layers=shape.n_layers, d_model=shape.d_model, n_heads=shape.n_heads, d_head=shape.d_head, n_ctx=shape.n_ctx,
        activation=str(config[known.spelling("hidden_act", config)]), seed=0, weights=weights, tokenizer=tokenizer, vocab_size=shape.vocab_size,
        n_parameters=n_parameters(config, shape), family="typed", group="typed", validation_loss=float("nan"), tokens_seen=0, state="final",
        loader="repdiss_core.models.decoder:load_path", norm="RMSNorm" if known.root_mean_square else "LayerNorm",
    )  # fmt: skip


def _of_folder(name: str) -> ModelSpec:
    folder = typed_path(name)
    if not os.path.isdir(folder):
        raise UserError(
            f"There is no folder {folder}; write path: and a folder with config.json, tokenizer.json and weights."
        )
    try:
        return _of_files(name, folder)
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be read ({told(error)}). Give the right to read it, or choose another."
        ) from error


def _of_files(name: str, folder: Path) -> ModelSpec:
    files = paper_models.weight_files([path.name for path in folder.iterdir()])
    missing = [file for file in FILES if not (folder / file).exists()] + ([] if files else ["model.safetensors"])
    if missing:
        raise UserError(
            f"The folder {folder} has no {' and no '.join(missing)}; a model needs config.json, tokenizer.json and weights."
        )
    digest = hashlib.sha256(
        "".join(bundled.file_hash(folder / file) for file in ("config.json", *files)).encode()
    ).hexdigest()
    found = of_config(name, read_config(name, folder), tokenizer.content_hash(folder / "tokenizer.json"), digest)
    return replace(found, tokenizer_repo=f"path:{folder}")


def _unknown(name: str, repo: Repo) -> ModelSpec:
    first = " and ".join(FILES)
    raise UserError(
        f"Nothing is known of {name} yet: run `python -m repdiss_core fetch {name}` with a network; it reads {first} first."
    )
