"""The options that the command line alone has, and all that it has."""

from __future__ import annotations

from repdiss_core.base.option import Number, Option, choices_of
from repdiss_core.studies import options
from repdiss_core.studies.presets import PRESETS

PRESET = Option(
    "preset",
    "Setting",
    choices_of({name: preset.label for name, preset in PRESETS.items()}),
    "bundled",
    flag_help="bundled, quick or tiny; paper or paper-quick.",
)
SOURCE = Option(
    "models",
    "Models",
    choices_of({"bundled": "ours", "paper": "the paper's"}),
    flag_help="Ours, or the paper's own, from the hub.",
)
PAIRS = Option(
    "layers",
    "Layers",
    flag_help="Stitching: pairs such as 1:1,2:3 (layer of f : layer of g); default the same layer of both.",
)
TOKENS_PER_BATCH = Number("tokens-per-batch", "Tokens a batch", default=1024, low=4)
TOKENS_PER_SEQUENCE = Number("tokens-per-sequence", "Tokens a sequence", default=128, low=2)
WORDS_PER_SEQUENCE = Number(
    "words-per-sequence",
    "Words a sequence",
    flag_help="Where rows are words (default: as many as both models read); or words read of each text.",
)
ENGINE = Option(
    "engine",
    "Engine",
    choices_of({"local": "this process", "ray": "Ray"}),
    flag_help="ray: see requirements-cluster.txt.",
)
ADDRESS = Option(
    "address",
    "Address",
    flag_help="Ray: a running cluster, such as auto or ray://HOST:10001; default one on this machine.",
)
WORKERS = Number("workers", "Workers", flag_help="Ray on this machine: shards at once (default: all cores).")
THREADS = Number("threads", "Threads", default=1, flag_help="Ray: threads of each shard.")
GPUS = Number("gpus", "GPUs", default=0.0, flag_help="Ray: GPUs set aside for each shard.", low=0, whole=False)
DTYPE = Option(
    "dtype",
    "Forward pass",
    choices_of({"float32": "float32", "bfloat16": "bfloat16"}),
    flag_help="Forward passes of CKA.",
)
ITEMS = Number(
    "items", "Pairs of sentences", default=500, flag_help="Pairs of sentences that stitched models classify."
)
CHUNKS = Number("chunks", "Chunks of feature rows", flag_help="Chunks of feature rows (default 7, or 3 for cls).")

COMMAND_LINE = (
    *(PRESET, SOURCE, DTYPE, options.STITCH, options.SHOW, options.SEED_GELU, options.SEED_SOLU, *options.CKA),
    *(options.FAMILY, options.AXES, options.POPULATION, options.GROUP_SIZE, options.RANK_BY, options.MEASURED),
    *(options.ROWS, options.HOOK, ITEMS, CHUNKS, options.MEASURE, options.DATA, PAIRS, TOKENS_PER_BATCH),
    *(TOKENS_PER_SEQUENCE, WORDS_PER_SEQUENCE, options.PAIR_ROWS, options.EMBEDDING, options.SPECIAL),
    *(ENGINE, ADDRESS, WORKERS, THREADS, GPUS),
)
