"""The base that a PEFT adapter folder stands on: a folder, or a repository of the hub. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repdiss_core.base.errors import UserError
from repdiss_core.models import ModelSpec, model_spec

KINDS = ("LORA",)


def base_name(name: str, said: Mapping[str, Any]) -> str:
    """The name of the base as RepDiss writes it: "path:…" where the folder is here, else "hub:…".

    Args:
        said: what adapter_config.json holds.

    Raises:
        UserError: another kind of adapter than LoRA, or no base.
    """
    kind = str(said.get("peft_type", "of no named kind")).upper()
    if kind not in KINDS:
        raise UserError(
            f"{name} is an adapter of the kind {kind[:40]}; RepDiss merges {', '.join(KINDS)} into its base. "
            "Merge it with peft (merge_and_unload), save the whole model and name that folder."
        )
    base = said.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise UserError(
            f"The adapter {name} names no base (base_model_name_or_path in adapter_config.json). Write it there."
        )
    here = Path(base).expanduser()
    if here.is_dir():
        return f"path:{here}"
    if here.is_absolute() or base.startswith((".", "~")) or base.count("/") != 1:
        raise UserError(
            f"The adapter {name} stands on {base}, which is not on this machine. "
            "Put the base there, or write its folder as "
            "base_model_name_or_path in adapter_config.json."
        )
    revision = said.get("revision")
    return f"hub:{base}@{revision}" if isinstance(revision, str) and revision not in ("", "main") else f"hub:{base}"


def base_of(name: str, said: Mapping[str, Any]) -> ModelSpec:
    """What is known of the base.

    Raises:
        UserError: as `base_name` does; or a base of the hub that was never asked for.
    """
    base = base_name(name, said)
    try:
        return model_spec(base)
    except UserError as error:
        raise UserError(
            f"The adapter {name} stands on {base}. "
            f"{error} Or write the base's folder as base_model_name_or_path in adapter_config.json."
        ) from error
