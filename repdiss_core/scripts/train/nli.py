"""Trains the NLI classifiers: `python -m repdiss_core.scripts.train.nli`.

Pre-training of one masked language model, then one short fine-tuning a classifier. Killed at any moment, the same
command goes on: pre-training from its last checkpoint, fine-tuning with the first classifier that has no file.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import torch
from filelock import FileLock

from repdiss_core import bundled
from repdiss_core.base.errors import UserError
from repdiss_core.bundled.nli import FACTS_FILE, POPULATIONS, WEIGHTS_FOLDER, Member, members, weights_file
from repdiss_core.data import nli
from repdiss_core.models.tiny_bert import classifier, read_classifier, save
from repdiss_core.scripts.train.nli_steps import FineTuning, PreTraining, Recipe, accuracies, fine_tune, pre_train

SMALL = Recipe(
    PreTraining(steps=20, replacing_steps=20, deep_steps=10, n_pairs=2000, checkpoint_steps=10), FineTuning(n_items=640)
)


@dataclass(frozen=True)
class Places:
    """Where a run keeps its files: checkpoints of pre-training, finished classifiers, facts."""

    work: Path
    weights: Path
    facts: Path

    def weights_of(self, name: str) -> Path:
        """The file of a classifier."""
        return self.weights / weights_file(name).name


def train_all(
    chosen: list[Member], recipe: Recipe, places: Places, command: str, share: tuple[int, int] = (0, 1)
) -> None:
    """Pre-train if needed, then fine-tune every classifier that has no file yet;
    share (i, n) is every n-th from the i-th."""
    encoder = pre_train(recipe.pre_training, places.work, click.echo)
    started = time.monotonic()
    todo = [member for member in chosen[share[0] :: share[1]] if not places.weights_of(member.name).exists()]
    for number, member in enumerate(todo, start=1):
        items = nli.training_items(recipe.fine_tuning.n_items, member.counter_examples, member.data_seed)
        model = classifier(encoder, member.classifier_seed)
        fine_tune(model, items, recipe.fine_tuning, member.order_seed)
        path = places.weights_of(member.name)
        save(path, model.state_dict(), {"format": "pt"}, torch.float16)
        found = accuracies(read_classifier(path))
        record(places.facts, {"models": {member.name: _facts(member, path, found)}})
        left = (time.monotonic() - started) / number * (len(todo) - number)
        told = " ".join(f"{name} {value:.3f}" for name, value in found.items() if "." not in name)
        click.echo(f"{number}/{len(todo)} {member.name}: {told}; {left / 60:.1f} min left")
    record(places.facts, _common_facts(recipe, command))


def _facts(member: Member, path: Path, accuracy: dict[str, float]) -> dict[str, Any]:
    return {
        **dataclasses.asdict(member),
        "weights": bundled.file_hash(path),
        "accuracy": {k: round(v, 4) for k, v in accuracy.items()},
        "dtype": "float16",
    }


def _common_facts(recipe: Recipe, command: str) -> dict[str, Any]:
    sets = {name: {**dataclasses.asdict(spec), "content": nli.content_id(name)} for name, spec in nli.SETS.items()}
    return {
        "recipe": dataclasses.asdict(recipe),
        "sets": sets,
        "tokenizer": nli.vocabulary_hash(),
        "vocab_size": len(nli.vocabulary()),
        "n_parameters": sum(p.numel() for p in classifier_shape().parameters()),
        "command": command,
        "versions": {
            **{name: version(name) for name in ("torch", "transformers", "numpy")},
            "python": platform.python_version(),
        },
    }


def classifier_shape() -> torch.nn.Module:
    """A classifier without trained weights, to count its parameters."""
    from transformers import BertForSequenceClassification

    from repdiss_core.models.tiny_bert import config

    return BertForSequenceClassification(config())


def record(path: Path, news: dict[str, Any]) -> None:
    """Merge into the facts file, atomically, also where several processes do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(bundled.cache_folder("training-nli") / "facts.lock")):
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        for key, value in news.items():
            known[key] = {**known.get(key, {}), **value} if key == "models" else value
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
        os.replace(partial, path)


@click.command()
@click.option("--population", "names", multiple=True, help="natural or constructed; both by default.")
@click.option("--limit", type=click.IntRange(min=1), help="Train only the first classifiers of each population.")
@click.option(
    "--into", type=click.Path(path_type=Path), help="Write weights and facts here instead of into the package."
)
@click.option(
    "--share",
    default="0/1",
    show_default=True,
    help="i/n: be one of n processes that share the fine-tunings (after pre-training).",
)
@click.option("--small", is_flag=True, help="A run of seconds, for tests; needs --into.")
def main(names: tuple[str, ...], limit: int | None, share: str, into: Path | None, small: bool) -> None:
    """Train the bundled NLI classifiers; stopped or killed, the same command resumes."""
    torch.set_num_threads(1)
    try:
        if small and into is None:
            raise UserError(
                "A small run would overwrite the classifiers that ship; say with --into where it may write."
            )
        chosen = [member for name in names or POPULATIONS for member in members(name)[:limit]]
        if into is None:
            places = Places(bundled.cache_folder("training-nli"), WEIGHTS_FOLDER, FACTS_FILE)
        else:
            places = Places(into / "work", into / "weights", into / "facts.json")
        train_all(
            chosen,
            SMALL if small else Recipe(),
            places,
            "python -m repdiss_core.scripts.train.nli",
            (int(share.split("/")[0]), int(share.split("/")[1])),
        )
    except UserError as error:
        raise click.UsageError(str(error)) from error


if __name__ == "__main__":
    main()
