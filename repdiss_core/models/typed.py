"""Models that a user names: a repository of the hub ("hub:org/name@revision") or a folder ("path:…"). Imports no
torch."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from repdiss_core import bundled, hub
from repdiss_core.base.errors import UserError, one_line
from repdiss_core.base.paths import typed_path
from repdiss_core.data import tokenizer
from repdiss_core.data.gguf_header import header_of
from repdiss_core.data.tokenizer_files import JSON, form_among
from repdiss_core.hub import Pin, Repo
from repdiss_core.models import ModelSpec, paper_models
from repdiss_core.models.adapter_bases import base_of
from repdiss_core.models.architectures import ARCHITECTURES, Shape, n_parameters, shape_of
from repdiss_core.models.families import Family, activation_of, family_of, is_encoder, shape_of_family
from repdiss_core.models.files import (
    ADAPTER_CONFIG,
    ModelFiles,
    check_shards,
    count_parameters,
    files_of,
    read_json,
    stored_bytes,
    weight_files,
)

PREFIXES = ("hub:", "path:", "random:")
FIRST = ("config.json", "the tokenizer")


def find(name: str) -> ModelSpec | None:
    """The model that a name with one of `PREFIXES` means, as `spec`; None for other names."""
    return spec(name) if name.startswith(PREFIXES) else None


def names() -> tuple[str, ...]:
    """None: such names are endless."""
    return ()


def spec(name: str) -> ModelSpec:
    """What is known of the model; a repository that is no paper's model has to be pinned first.

    Raises:
        UserError: an unsupported architecture, missing files, or a repository that was never asked for.
    """
    if name.startswith("random:"):
        from repdiss_core.models.untrained import twin_spec

        return twin_spec(name)
    if name.startswith("path:"):
        return _of_place(name)
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
    n_bytes = sum(pinned.files[file] for file in weight_files(pinned.files))
    loader = found.loader.replace(":load_path", ":load_hub")
    found = replace(
        found,
        source="hub",
        loader=loader,
        download_bytes=n_bytes,
        repo=repo.name,
        revision=repo.revision,
        tokenizer_repo=str(repo),
    )
    return found if found.n_parameters else replace(found, n_parameters=_about(n_bytes // stored_bytes(config)))


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
    missing = [] if "config.json" in known.files else ["config.json"]
    missing += [] if form_among(known.files) else [JSON]
    if missing:
        raise UserError(
            f"{repo} has no {' and no '.join(missing)}; RepDiss reads models with config.json, "
            f"{JSON} (or a tokenizer that transformers "
            f"converts to it) and weights. {_instead(known.files)}"
        )
    weights = weight_files(known.files)
    if not weights:
        raise UserError(f"{repo} has no weights (model.safetensors or pytorch_model.bin). {_instead(known.files)}")
    check_shards(str(repo), list(known.files), weights)
    folder = hub.fetch(repo, ["config.json"])
    config = read_json(str(repo), folder / "config.json")
    of_config(f"hub:{repo}", config, "", known.commit)
    tokenizer.prepare(str(repo))
    hub.remember(f"config:{repo}", config)


def _instead(files: Iterable[str]) -> str:
    """What to do about a repository whose files are of another form."""
    names = [name for name in files if name.lower().endswith(".gguf") or name == ADAPTER_CONFIG]
    if names:
        return f"It has {', '.join(sorted(names)[:2])}: download that, and name the file or its folder (path:…)."
    return "Choose another repository."


def _pin(repo: Repo) -> Pin:
    """What the hub says of the repository; where it knows none of that name,
    the nearest ones that are known here are told."""
    try:
        return hub.pin(repo)
    except hub.NoSuchRepository as error:
        known = dict.fromkeys([*(s.repo for s in paper_models.unpinned().values()), *hub.cached_repositories()])
        near = difflib.get_close_matches(repo.name, known, n=3, cutoff=0.7)
        if not near:
            raise
        raise UserError(f"{error} Did you mean {' or '.join(f'hub:{name}' for name in near)}?") from error


def of_config(name: str, config: dict[str, Any], tokenizer: str, weights: str) -> ModelSpec:
    """The facts that a config.json states; `n_parameters` is 0 where only the weights tell.

    The architectures of `architectures` have the exact path of `decoder`, others the adapter.

    Raises:
        UserError: an architecture that is not read, quantised weights, or a configuration that leaves the shape open.
    """
    family = family_of(name, config)
    known = ARCHITECTURES.get(config["model_type"])
    if known is None:
        return of_family(name, config, tokenizer, weights)
    shape = shape_of(name, config)
    found = _of_shape(name, family, shape, tokenizer, weights)
    return replace(
        found,
        architecture=known.label,
        activation=str(config[known.spelling("hidden_act", config)]),
        n_parameters=n_parameters(config, shape),
        loader="repdiss_core.models.decoder:load_path",
    )


def of_family(name: str, config: dict[str, Any], tokenizer: str, weights: str) -> ModelSpec:
    """The facts of a model that the adapter runs, whatever its architecture; raises as `of_config` does."""
    found = _of_shape(name, family_of(name, config), shape_of_family(name, config), tokenizer, weights)
    return replace(found, activation=activation_of(config), reads_both_ways=is_encoder(config))


def _of_shape(name: str, family: Family, shape: Shape, tokenizer: str, weights: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        source="local",
        architecture=family.label,
        n_layers=shape.n_layers,
        d_model=shape.d_model,
        n_heads=shape.n_heads,
        d_head=shape.d_head,
        n_ctx=shape.n_ctx,
        activation="",
        seed=0,
        weights=weights,
        tokenizer=tokenizer,
        vocab_size=shape.vocab_size,
        n_parameters=0,
        family="typed",
        group="typed",
        validation_loss=float("nan"),
        tokens_seen=0,
        state="final",
        loader="repdiss_core.models.loading:load_path",
        norm=family.norm,
    )


def _of_place(name: str) -> ModelSpec:
    place = typed_path(name)
    if not os.path.exists(place) or (os.path.isfile(place) and place.suffix.lower() != ".gguf"):
        raise UserError(
            f"There is no folder {place}; write path: and a folder with config.json, tokenizer.json and weights, "
            "or a GGUF file."
        )
    try:
        return _of_files(name, files_of(place))
    except OSError as error:
        raise UserError(
            f"The folder {place} cannot be read ({one_line(error)}). Give the right to read it, or choose another."
        ) from error


def _of_files(name: str, files: ModelFiles) -> ModelSpec:
    if files.form == "gguf":
        return _of_gguf(name, files)
    if files.form == "adapter":
        return _of_adapter(name, files)
    folder, source = files.folder, f"path:{files.folder}"
    config = read_json(name, folder / "config.json")
    found = of_config(name, config, tokenizer.fingerprint(source), _digest(folder, ("config.json", *files.names)))
    if not found.n_parameters:
        n_bytes = sum((folder / file).stat().st_size for file in files.names)
        counted = count_parameters([folder / file for file in files.names])
        found = replace(found, n_parameters=counted or _about(n_bytes // stored_bytes(config)))
    return replace(found, tokenizer_repo=source)


def _of_gguf(name: str, files: ModelFiles) -> ModelSpec:
    path = files.folder / files.names[0]
    header, source = header_of(path), f"path:{path}"
    found = of_family(name, header["config"], tokenizer.fingerprint(source), _digest(files.folder, files.names))
    label = f"{found.architecture}, dequantised from GGUF ({header['stored']})"
    return replace(found, architecture=label, n_parameters=int(header["n_parameters"]), tokenizer_repo=source)


def _of_adapter(name: str, files: ModelFiles) -> ModelSpec:
    base = base_of(name, read_json(name, files.folder / ADAPTER_CONFIG))
    own = form_among(path.name for path in files.folder.iterdir())
    source = f"path:{files.folder}" if own else base.tokenizer_repo
    weights = hashlib.sha256(f"{base.weights}:{_digest(files.folder, files.names)}".encode()).hexdigest()
    return replace(
        base,
        name=name,
        source="local",
        architecture=f"{base.architecture}, with an adapter merged into it",
        weights=weights,
        repo="",
        revision="",
        tokenizer=tokenizer.fingerprint(source),
        tokenizer_repo=source,
        family="typed",
        group="typed",
        state="final",
        loader="repdiss_core.models.loading:load_path",
    )


def _digest(folder: Path, names: Iterable[str]) -> str:
    return hashlib.sha256("".join(bundled.file_hash(folder / name) for name in names).encode()).hexdigest()


def _about(n: int) -> int:
    """A number that is only known about: three digits of it."""
    return int(float(f"{n:.3g}"))


def _unknown(name: str, repo: Repo) -> ModelSpec:
    first = " and ".join(FIRST)
    raise UserError(
        f"Nothing is known of {name} yet: run `python -m repdiss_core fetch {name}` with a network; "
        f"it reads {first} first."
    )
