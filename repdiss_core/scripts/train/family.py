"""Trains the bundled GPT-NeoX family: `python -m repdiss_core.scripts.train.family`.

Each finished member is exported at once. Killed at any moment, the same command goes on from the last checkpoint of the
member that was being trained.
"""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import save_file

from repdiss_core import bundled
from repdiss_core.base.errors import UserError, unknown_name
from repdiss_core.bundled import family
from repdiss_core.bundled.family.recipe import FAMILY_MEMBERS, FamilyMember, NeoxRecipe, checkpoint_name
from repdiss_core.data import docstrings
from repdiss_core.scripts.train.facts_file import update_facts
from repdiss_core.scripts.train.family_steps import MemberTraining, mean_loss
from repdiss_core.scripts.train.gpt import Bar
from repdiss_core.scripts.train.segments import Corpus

SMALL = NeoxRecipe(steps=60, curve_steps=30, curve_sequences=16, final_sequences=64)
SMALL_MEMBERS = ("mini-neox-2l64-h32-s0",)


@dataclass(frozen=True)
class Places:
    """Where a run keeps its files: checkpoints, finished weights, facts."""

    work: Path
    weights: Path
    facts: Path


def train_member(training: MemberTraining, places: Places, command: str) -> None:
    """Trains a member to its end and ships it with its chosen checkpoints; what is shipped already is left alone."""
    member, recipe = training.member, training.recipe
    if (places.weights / f"{member.name}.safetensors").exists():
        return
    training.run()
    for step in member.shipped_steps:
        if step < recipe.steps:
            _ship(training, step, checkpoint_name(member.name, step), places, command)
    loss = _ship(training, recipe.steps, member.name, places, command)
    click.echo(f"{member.name}: {loss:.4f} nats a token")


def _ship(training: MemberTraining, step: int, name: str, places: Places, command: str) -> float:
    """Writes the model of a step in float16 and its facts; its validation loss with the weights as shipped."""
    model, progress = training.model_at(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())
    loss = mean_loss(model, training.corpus.validation(training.recipe, training.recipe.final_sequences))
    tensors = {key: value.detach().half().contiguous() for key, value in model.named_parameters()}
    places.weights.mkdir(parents=True, exist_ok=True)
    path = places.weights / f"{name}.safetensors"
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, {"format": "pt"})
    temporary.chmod(0o644)
    member = training.member
    news = {
        "architecture": dataclasses.asdict(member.architecture),
        "seed": member.seed,
        "role": member.role,
        "shape": member.shape,
        "checkpoint_of": None if name == member.name else member.name,
        "n_parameters": sum(t.numel() for t in tensors.values()),
        "weights": bundled.file_hash(temporary),
        "dtype": "float16",
        "tokens_seen": step * training.recipe.tokens_per_step,
        "training_seconds": round(progress.seconds),
        "validation_loss": round(loss, 4),
        "loss_curve": [{k: p[k] for k in ("tokens", "train", "eval")} for p in progress.curve],
        "peak_rate": training.recipe.peak_rate(member.architecture),
        "command": command,
    }
    update_facts({"models": {name: news}, **_common_facts(training.recipe)}, places.facts)
    temporary.replace(path)
    return loss


def _common_facts(recipe: NeoxRecipe) -> dict[str, Any]:
    known = bundled.facts()
    return {
        "recipe": dataclasses.asdict(recipe),
        "data": {
            "name": docstrings.NAME,
            "content": {split: docstrings.content_id(split) for split in ("train", "eval")},
        },
        "tokenizer": {"sha256": known["tokenizer"]["sha256"]},
        "versions": {
            **{n: version(n) for n in ("torch", "transformers", "numpy")},
            "python": platform.python_version(),
        },
    }


def _chosen(models: str, small: bool) -> list[FamilyMember]:
    names = [n.strip() for n in models.split(",") if n.strip()] or list(SMALL_MEMBERS if small else FAMILY_MEMBERS)
    for name in names:
        if name not in FAMILY_MEMBERS:
            raise unknown_name("member of the family", name, list(FAMILY_MEMBERS), "python -m repdiss_core list models")
    return [FAMILY_MEMBERS[name] for name in names]


@click.command()
@click.option("--models", default="", help="Names, separated by commas; all by default, in order of use.")
@click.option(
    "--into", type=click.Path(path_type=Path), help="Write weights and facts here instead of into the package."
)
@click.option("--small", is_flag=True, help="A run of seconds, for tests; needs --into.")
def main(models: str, into: Path | None, small: bool) -> None:
    """Train the bundled GPT-NeoX family; stopped or killed, the same command resumes."""
    torch.set_num_threads(1)
    try:
        if small and into is None:
            raise UserError("A small run would overwrite the family that ships; say with --into where it may write.")
        recipe = SMALL if small else NeoxRecipe()
        if into is None:
            places = Places(bundled.cache_folder("training-family"), family.WEIGHTS_FOLDER, family.FACTS_FILE)
        else:
            places = Places(into / "work", into / "weights", into / "facts.json")
        corpus = Corpus(docstrings.tokens("eval" if small else "train"), docstrings.tokens("eval"))
        for member in _chosen(models, small):
            bar = Bar(recipe.curve_steps, recipe.tokens_per_step)
            training = MemberTraining(member, recipe, corpus, places.work / member.name, bar)
            train_member(training, places, "python -m repdiss_core.scripts.train.family")
    except UserError as error:
        raise click.UsageError(str(error)) from error


if __name__ == "__main__":
    main()
