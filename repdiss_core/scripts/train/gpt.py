"""Trains the bundled models: `python -m repdiss_core.scripts.train.gpt`.

The models of one depth are trained at a constant rate with frequent checkpoints, then decayed from the checkpoint at
which each reaches the same validation loss. Killed at any moment, the same command goes on where it stopped.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import torch
from tqdm import tqdm

from repdiss_core import bundled
from repdiss_core.base.errors import UserError, unknown_name
from repdiss_core.bundled.recipe import BUNDLED_MODELS, Recipe
from repdiss_core.data import docstrings
from repdiss_core.scripts.train import matching
from repdiss_core.scripts.train.export import export, gap_of
from repdiss_core.scripts.train.segments import Corpus, Training

SMALL = Recipe(
    constant_tokens=200_000,
    decay_tokens=50_000,
    warmup_steps=20,
    curve_steps=50,
    curve_sequences=64,
    final_sequences=256,
)
SMALL_MODELS = ("mini-solu-3l-s0", "mini-gelu-3l-s0")


class Bar:
    """Progress with time left: a bar on a terminal, else a plain line now and then."""

    def __init__(self, every: int, tokens_per_step: int) -> None:
        self.every, self.tokens_per_step = every, tokens_per_step
        self.segment, self.bar = "", tqdm(disable=True)

    def __call__(self, segment: str, step: int, end: int, loss: float, tokens_a_second: float) -> None:
        if sys.stdout.isatty():
            if segment != self.segment:
                self.segment, self.bar = segment, tqdm(total=end, initial=step, desc=segment, unit="step")
            self.bar.update(step - self.bar.n)
            self.bar.set_postfix(loss=f"{loss:.3f}")
        elif step % self.every == 0 or step == end:
            left = (end - step) * self.tokens_per_step / tokens_a_second / 60
            speed = f"{tokens_a_second:,.0f} tokens/s, {left:.1f} min left"
            click.echo(f"{segment}: {step}/{end} steps, eval loss {loss:.3f}, {speed}")


def train_depth(trainings: Sequence[Training], ship: bool, command: str) -> dict[str, float]:
    """Trains, matches and (if `ship`) exports the models of one depth; their final validation losses."""
    by_name = {t.model.name: t for t in trainings}
    fits: dict[str, tuple[float, float]] = {}
    tries: dict[str, dict[int, float]] = {name: {} for name in by_name}
    for name, training in by_name.items():
        fits[name] = matching.fitted(training.constant())
        start = _first_start(training, fits)
        tries[name][start] = training.decayed_loss(start)
        click.echo(f"{name}: {tries[name][start]:.4f} nats a token after a decay from step {start}")
        if ship:
            export(training, start, command, None, "intermediate")
    available = {name: t.starts() for name, t in by_name.items()}
    slopes = {name: fit[1] for name, fit in fits.items()}
    chosen = matching.match(tries, slopes, available, lambda name, start: by_name[name].decayed_loss(start))
    losses = {name: tries[name][start] for name, start in chosen.items()}
    for name, start in chosen.items():
        click.echo(f"{name}: {losses[name]:.4f} nats a token, from step {start}; tried {tries[name]}")
        if ship:
            export(by_name[name], start, command, gap_of(list(losses.values())))
    return losses


def _first_start(training: Training, fits: dict[str, tuple[float, float]]) -> int:
    """SoLU decays from its end; GeLU from where its curve reaches what the SoLU models had at theirs."""
    steps, end = training.starts(), training.recipe.constant_steps
    solu = [a + b * math.log(end) for name, (a, b) in fits.items() if "solu" in name]
    if training.model.activation_name == "solu" or not solu:
        return max(steps)
    return matching.step_reaching(max(solu), fits[training.model.name], steps)


def _chosen(models: str, small: bool) -> list[str]:
    names = [n.strip() for n in models.split(",") if n.strip()] or list(SMALL_MODELS if small else BUNDLED_MODELS)
    for name in names:
        if name not in BUNDLED_MODELS:
            raise unknown_name("bundled model", name, list(BUNDLED_MODELS), "python -m repdiss_core list models")
    return names


@click.command()
@click.option("--models", default="", help="Names, separated by commas; all by default.")
@click.option("--tokens", type=click.IntRange(min=100_000), help="Tokens at the constant rate, for each model.")
@click.option("--small", is_flag=True, help="A small run of about a minute that ships nothing.")
def main(models: str, tokens: int | None, small: bool) -> None:
    """Train the bundled models; stopped or killed, the same command resumes."""
    torch.set_num_threads(1)
    try:
        names = _chosen(models, small)
        recipe = SMALL if small else Recipe(constant_tokens=tokens) if tokens else Recipe()
        corpus = Corpus(docstrings.tokens("train"), docstrings.tokens("eval"))
        root = bundled.cache_folder("training-small" if small else "training")
        command = f"python -m repdiss_core.scripts.train.gpt --models {','.join(names)}"
        command += f" --tokens {tokens}" if tokens else ""
        for depth in sorted({BUNDLED_MODELS[n].architecture.n_layers for n in names}):
            chosen = [BUNDLED_MODELS[n] for n in names if BUNDLED_MODELS[n].architecture.n_layers == depth]
            trainings = [
                Training(m, recipe, corpus, Path(root / m.name), Bar(recipe.curve_steps, recipe.tokens_per_step))
                for m in chosen
            ]
            losses = train_depth(trainings, not small, command)
            click.echo(
                f"{depth} layers: validation losses within {gap_of(list(losses.values())):.4f} nats of each other"
            )
    except UserError as error:
        raise click.UsageError(str(error)) from error


if __name__ == "__main__":
    main()
