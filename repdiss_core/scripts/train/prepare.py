"""Makes the tokenizer and the facts about the data: run once, before the training.

`python -m repdiss_core.scripts.train.prepare --tokenizer --data`
"""

from __future__ import annotations

import importlib.metadata

import click
import numpy as np

from repdiss_core import bundled
from repdiss_core.data import docstring_text, docstrings
from repdiss_core.scripts.train.facts_file import update_facts

VOCABULARY = 2048


def train_tokenizer() -> None:
    """Trains a byte-level BPE on the train split and writes it beside this file."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[bundled.SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = docstring_text.documents(docstring_text.installed_sources(), "train")
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(bundled.TOKENIZER_FILE), pretty=False)


def unigram_bigram(train: np.ndarray, held_out: np.ndarray, vocabulary: int) -> tuple[float, float]:
    """Cross-entropy of the two count models on held-out tokens, in nats a token.

    Counts come from train. Unigram: add-one. Bigram: interpolated with the unigram by λ = c / (c + 5), where c is how
    often the previous token was seen (Witten-Bell-like; 5 was not tuned).
    """
    unigram = np.bincount(train, minlength=vocabulary) + 1.0
    unigram /= unigram.sum()
    pairs = np.bincount(train[:-1].astype(np.int64) * vocabulary + train[1:], minlength=vocabulary**2).reshape(
        vocabulary, vocabulary
    )
    before = pairs.sum(axis=1)
    previous, following = held_out[:-1], held_out[1:]
    c = before[previous]
    bigram = (pairs[previous, following] + 5.0 * unigram[following]) / (c + 5.0)
    return float(-np.log(unigram[following]).mean()), float(-np.log(bigram).mean())


def data_facts() -> dict[str, object]:
    """Hash and size of each split, the packages with their versions, and the count baselines."""
    rows = {split: docstrings.tokens(split) for split in docstring_text.SPLITS}
    unigram, bigram = unigram_bigram(rows["train"], rows["eval"], VOCABULARY)
    return {
        "packages": docstrings.installed_versions(),
        "train_only": {name: importlib.metadata.version(name) for name in docstring_text.TRAIN_ONLY},
        "splits": {s: {"content": docstrings.content_hash(row), "tokens": int(row.size)} for s, row in rows.items()},
        "baselines": {
            "unigram": round(unigram, 4),
            "bigram": round(bigram, 4),
            "unit": "nats a token, on eval, counted on train",
        },
    }


@click.command()
@click.option("--tokenizer", is_flag=True, help="Train the tokenizer anew (every model must then be trained anew).")
@click.option("--data", is_flag=True, help="Build the splits and write their facts.")
def main(tokenizer: bool, data: bool) -> None:
    """Make the tokenizer and the facts about the data."""
    if tokenizer:
        train_tokenizer()
        facts = {
            "sha256": bundled.file_hash(bundled.TOKENIZER_FILE),
            "vocabulary": VOCABULARY,
            "separator": bundled.SEPARATOR,
        }
        update_facts({"tokenizer": facts})
        click.echo(f"Tokenizer: {bundled.TOKENIZER_FILE.stat().st_size / 1e3:.0f} KB")
    if data:
        facts = data_facts()
        update_facts({"data": {docstrings.NAME: facts}})
        click.echo(f"Data: {facts['splits']} {facts['baselines']}")


if __name__ == "__main__":
    main()
