"""PEFT adapter folders (LoRA): the base that they name with the adapter merged into its weights, in memory.

Imports torch.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from repdiss_core.base.errors import UserError, one_line
from repdiss_core.models.checks import read_tensors
from repdiss_core.models.files import ADAPTER_CONFIG, ModelFiles, read_json

# What decides a LoRA's values. Other keys could name modules to import or weights to draw.
LORA = (
    "r",
    "lora_alpha",
    "target_modules",
    "exclude_modules",
    "fan_in_fan_out",
    "bias",
    "use_rslora",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "use_dora",
    "lora_bias",
    "target_parameters",
)


def merged_network(name: str, files: ModelFiles, network: PreTrainedModel) -> PreTrainedModel:
    """The base's network with the adapter's change added to its weights.

    Args:
        network: of the base; changed in place.

    Raises:
        UserError: another kind of adapter than LoRA, weights that do not fit the base.
    """
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

    said = read_json(name, files.folder / ADAPTER_CONFIG)
    tensors = read_tensors(name, files.folder, files.names[1:])
    try:
        config = LoraConfig(**{key: said[key] for key in LORA if said.get(key) is not None}, inference_mode=True)
        adapted: Any = get_peft_model(network, config)
        result: Any = set_peft_model_state_dict(adapted, dict(tensors))
    except Exception as error:  # whatever shapes or names that do not fit make torch and peft say
        raise UserError(
            f"The adapter {name} does not fit its base ({one_line(error)}). "
            f"Check base_model_name_or_path in its {ADAPTER_CONFIG}."
        ) from error
    missing = sorted(key for key in result.missing_keys if "lora_" in key or "modules_to_save" in key)
    for what, keys in (("lacks", missing), ("has what its base has no place for", sorted(result.unexpected_keys))):
        if keys:
            raise UserError(f"The adapter {name} {what}: {', '.join(keys[:3])}. Fetch it again; nothing was filled in.")
    return adapted.merge_and_unload(safe_merge=True).eval().requires_grad_(False)
