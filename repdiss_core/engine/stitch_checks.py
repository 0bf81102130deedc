"""What must hold before a stitch is worth starting; each failure is a sentence for the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from repdiss_core.base.comparison import Comparison, DataId
from repdiss_core.base.errors import UserError
from repdiss_core.base.layer_pairs import ALL
from repdiss_core.data.batches import TokenStream
from repdiss_core.models.protocol import ResidualModel


def check_pair(
    comparisons: Sequence[Comparison], f: ResidualModel, g: ResidualModel, tokenizers: tuple[str, str] | None
) -> None:
    """Raise a `UserError` unless the comparisons form one pass and f and g can be stitched at their layers.

    Args:
        tokenizers: hashes of the two tokenizers where known; else the sizes of the vocabularies are compared.
    """
    if not comparisons:
        raise UserError("A stitching pass got no comparison; expected at least one layer pair.")
    shared = {dataclasses.replace(c, layer_pairs=ALL) for c in comparisons}
    if len(shared) > 1:
        raise UserError(
            "The comparisons of one stitching pass differ in more than their layers; "
            "give each pair of models, data and settings a pass of its own."
        )
    # Models of one tokenizer may pad their vocabularies to different sizes, as Pythia's do.
    if tokenizers[0] != tokenizers[1] if tokenizers else f.vocab_size != g.vocab_size:
        raise UserError(
            f"{f.name} and {g.name} have different tokenizers (vocabularies of {f.vocab_size} and {g.vocab_size}); "
            f"stitching needs "
            "two models that read and predict the same tokens: choose models of one family."
        )
    for comparison in comparisons:
        for model, role, layer in zip((f, g), "fg", comparison.layer_pair, strict=True):
            if not 0 <= layer <= model.n_layers:
                raise UserError(
                    f"Layer {layer} of {role} = {model.name} does not exist; expected a layer from 0 (the "
                    f"embedding) to {model.n_layers} (the last block)."
                )


def tokenizers_of(comparison: Comparison) -> tuple[str, str]:
    """The hashes of both models' tokenizers; the same one twice where they cut the comparison's text alike."""
    from repdiss_core.data import dataset_spec
    from repdiss_core.data.text_cut import cut_alike
    from repdiss_core.models import model_spec

    f, g = (model_spec(model.name) for model in (comparison.f, comparison.g))
    if f.tokenizer_repo and g.tokenizer_repo:
        text = dataset_spec(comparison.data.name).text
        if cut_alike(text, f.tokenizer_repo, g.tokenizer_repo):
            return f.tokenizer, f.tokenizer
    return f.tokenizer, g.tokenizer


def check_widths(f: ResidualModel, g: ResidualModel, what: str) -> None:
    """Raise a `UserError` unless the residual streams are equally wide."""
    if f.d_model != g.d_model:
        raise UserError(
            f"{what} needs residual streams of equal width, but {f.name} has d_model {f.d_model} and {g.name} has "
            f"{g.d_model}; "
            "train a stitching layer from the least-squares start instead."
        )


def check_streams(comparison: Comparison, evaluation: DataId, phi: DataId) -> None:
    """Raise a `UserError` unless both streams are those of the comparison and share no tokens."""
    if (phi.name, phi.split) == (evaluation.name, evaluation.split) or phi.content == evaluation.content:
        raise UserError(
            f"phi would be trained on {phi.name}/{phi.split} and evaluated on {evaluation.name}/{evaluation.split}, "
            f"which hold the same tokens; "
            "choose another split for training."
        )
    named = {
        "phi_split": phi.split,
        "phi_content": phi.content,
        "phi_sequences": phi.sequences_per_batch,
        "phi_tokens": phi.tokens_per_sequence,
        "phi_seed": phi.seed,
    }
    for name, found in named.items():
        wanted = comparison.setting(name, found)
        if wanted != found:
            raise UserError(
                f"The comparison names {name} = {wanted!r} but the stream for training phi has {found!r}; "
                "open the stream that the comparison names."
            )


def check_evaluation(comparison: Comparison, stream: TokenStream, n_batches: int) -> None:
    """Raise a `UserError` unless the evaluation stream is the comparison's and long enough."""
    if stream.data_id != comparison.data:
        raise UserError(
            f"The comparison is on {comparison.data} but the evaluation stream is {stream.data_id}; "
            "open the stream that the comparison names."
        )
    if not 1 <= n_batches <= stream.n_batches:
        raise UserError(
            f"Stitching was asked for {n_batches} evaluation batches of "
            f"{comparison.data.name}/{comparison.data.split}; expected 1 to {stream.n_batches}."
        )
