"""What the header of a GGUF file says: the model's sizes, how its numbers are stored, its special tokens.

No torch, no network.
"""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

from repdiss_core import bundled
from repdiss_core.base.errors import UserError, one_line
from repdiss_core.base.paths import local_root
from repdiss_core.store.kept_files import read_facts, write_facts
from repdiss_core.store.storage import DamagedEntry

# Where GGUF calls an architecture otherwise than transformers does.
MODEL_TYPES = {"qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "gemma3": "gemma3_text", "gpt-oss": "gpt_oss"}
SIZES = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "intermediate_size": "feed_forward_length",
}
SPECIALS = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "sep_token": "seperator_token_id",  # sic, in the format
    "cls_token": "cls_token_id",
}


def header_of(path: Path) -> dict[str, Any]:
    """{"config": sizes as a config.json would state them, "specials": {"eos_token": …}, "stored": "Q4_1 (210), F32
    (61)", "n_parameters"}.

    Reading takes seconds, since every token is in the header: the facts are kept on this machine under the file's hash.

    Raises:
        UserError: the file is damaged or no GGUF file.
    """
    return _header(path, bundled.file_hash(path))


@functools.lru_cache(maxsize=16)
def _header(path: Path, digest: str) -> dict[str, Any]:
    place = local_root() / "gguf" / f"{digest}.json"
    try:
        return read_facts(place)
    except (OSError, DamagedEntry):
        found = _read(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_facts(place, found)
    except OSError:  # kept for speed alone
        pass
    return found


def _read(path: Path) -> dict[str, Any]:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        said = {name: field for name, field in reader.fields.items() if not name.startswith("tokenizer.chat")}
        kind = str(said["general.architecture"].contents())
        stored = Counter(tensor.tensor_type.name for tensor in reader.tensors)
        n_parameters = sum(int(tensor.n_elements) for tensor in reader.tensors)
        numbers = {key: _number(said, f"{kind}.{name}") for key, name in SIZES.items()}
        tokens = said["tokenizer.ggml.tokens"]
        specials = {key: _number(said, f"tokenizer.ggml.{name}") for key, name in SPECIALS.items()}
        words = {key: str(tokens.contents(int(i))) for key, i in specials.items() if i is not None}
        n_tokens = len(tokens.data)
    except Exception as error:  # the library raises whatever a damaged header leads to
        raise UserError(
            f"{path.name} cannot be read as a GGUF file ({one_line(error)}): it is damaged, "
            "or holds no model with its tokenizer. "
            "Fetch it again."
        ) from error
    config = {"model_type": MODEL_TYPES.get(kind, kind), "vocab_size": n_tokens}
    config |= {key: value for key, value in numbers.items() if value is not None}
    summary = ", ".join(f"{name} ({n})" for name, n in stored.most_common())
    return {"config": config, "specials": words, "stored": summary, "n_parameters": n_parameters}


def _number(said: dict[str, Any], name: str) -> int | None:
    value = said[name].contents() if name in said else None
    value = value[0] if isinstance(value, list) and value else value  # one per layer
    return int(value) if isinstance(value, int | float) else None
