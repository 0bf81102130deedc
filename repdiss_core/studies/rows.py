"""At what two models are compared: tokens, words or texts. Chosen by itself, and said in captions and notes."""

from __future__ import annotations

from dataclasses import replace

from repdiss_core.base.comparison import Comparison, DataId
from repdiss_core.base.errors import UserError
from repdiss_core.data import BY, dataset_spec, holds_texts, row_streams, text_is_here
from repdiss_core.data.text_cut import cut_alike
from repdiss_core.models import ModelSpec, model_spec
from repdiss_core.models.text_tokenizers import check_cuts_text
from repdiss_core.studies.presets import OF_THE_TEXT, OF_THE_TOKENS, Preset

TOKEN, WORD, AUTO = "token", "word", "auto"
UNITS = {
    WORD: row_streams.WORDS,
    "unicode_word": row_streams.UNICODE_WORDS,
    "text": row_streams.TEXTS,
    "text_last": row_streams.TEXTS,
}
PLAIN_TEXT = (
    "The first 80 % of a plain text's paragraphs are measured on, in runs that a model reads as one document each; "
    "the rest trains stitching layers."
)
MOST_TEXT_WORDS = 64  # read of each text where texts are rows
ROOM = 4  # tokens of a model's context for each word of a sequence
LARGE_SET, OWN_SET = "pile-10k", "docstrings"


def default_data(*names: str) -> str:
    """The text that models are compared on where none is named: their own for the bundled models, else the Pile's where
    it is on this machine, else the docstrings of the installed packages."""
    if all(not model_spec(name).tokenizer_repo for name in names) or not text_is_here(LARGE_SET):
        return OWN_SET
    return LARGE_SET


def read_alike(name_f: str, name_g: str, data: str) -> bool:
    """Whether two models' tokenizers give the data the same tokens."""
    f, g = model_spec(name_f), model_spec(name_g)
    if f.tokenizer == g.tokenizer:
        return True
    if not (f.tokenizer_repo and g.tokenizer_repo):
        return False
    return cut_alike(dataset_spec(data).text, f.tokenizer_repo, g.tokenizer_repo)


def rows_for(chosen: str, name_f: str, name_g: str, data: str) -> str:
    """The rows of a comparison: as chosen; by itself tokens where both tokenizers cut the data alike, else words.

    Raises:
        UserError: tokens of two tokenizers that cut differently, or a model without a tokenizer for plain text.
    """
    if chosen in (AUTO, TOKEN) and read_alike(name_f, name_g, data):
        return TOKEN
    if chosen == TOKEN:
        raise UserError(
            f"{name_f} and {name_g} have different tokenizers, so the same text gives them different tokens. "
            f"Compare them at words or at texts, or choose two models of one tokenizer (data: {data})."
        )
    for name in (name_f, name_g):
        check_cuts_text(name)
    return WORD if chosen == AUTO else chosen


def check_stitched(name_f: str, name_g: str, data: str) -> None:
    """Raise a `UserError` unless two models read the same tokens, which a stitch needs."""
    if not read_alike(name_f, name_g, data):
        raise UserError(
            f"{name_f} and {name_g} have different tokenizers, so that one cannot be stitched into the other: the "
            "upper model would get states of tokens that it never reads, and its next token is another one. "
            "Compare their features at words instead (measure cka, rows word), or choose two models of one tokenizer "
            f"(data: {data})."
        )


def on_data(setting: Preset, data: str) -> Preset:
    """The setting on another text, whose departures from the paper's speak of this one."""
    if data == setting.data:
        return setting
    text = dataset_spec(data).text
    rest = tuple(said for said in setting.departures if said not in OF_THE_TEXT)
    return replace(setting, data=data, departures=(*rest, PLAIN_TEXT) if text is not None and text.is_plain else rest)


def in_rows(setting: Preset, rows: str, name_f: str, name_g: str, words: int | None = None) -> Preset:
    """The setting with about as many words a batch as tokens before, where rows are words, or with 256 texts.

    Args:
        words: of a sequence, or read of each text; None takes half as many as a sequence has tokens (64 of a text), but
            no more than both models have room for, `ROOM` tokens each.
    """
    if rows == TOKEN:
        return setting
    setting = replace(setting, departures=tuple(said for said in setting.departures if said not in OF_THE_TOKENS))
    room = min(_context(model_spec(name)) for name in (name_f, name_g)) // ROOM
    if UNITS[rows] == row_streams.TEXTS:
        most = words or max(1, min(MOST_TEXT_WORDS, room))
        return replace(setting, sequences_per_batch=row_streams.LEAST_TEXTS, tokens_per_sequence=most)
    each = words or max(1, min(setting.tokens_per_sequence // 2, room))
    whole = setting.sequences_per_batch * setting.tokens_per_sequence
    return replace(setting, sequences_per_batch=max(1, whole // each), tokens_per_sequence=each)


def _context(spec: ModelSpec) -> int:
    return spec.n_ctx or 2**20


def rows_of(comparison: Comparison) -> str:
    """The rows of a comparison."""
    return str(comparison.setting("rows", TOKEN))


def unit_of(data: DataId) -> str:
    """What the rows are, in the plural: "tokens", "words", "Unicode words" or "texts"."""
    return data.name.rpartition(BY)[2] if holds_texts(data.name) else "tokens"


def left_out(comparison: Comparison, n_batches: int, n_rows: int) -> tuple[str, ...]:
    """A sentence on how many words or texts are no rows; () where rows are tokens.

    Args:
        n_batches, n_rows: batches measured, and rows that entered them.
    """
    rows, data = rows_of(comparison), comparison.data
    if rows == TOKEN:
        return ()
    unit = UNITS[rows]
    all_rows = n_batches * data.sequences_per_batch * (1 if unit == row_streams.TEXTS else data.tokens_per_sequence)
    missing = all_rows - n_rows
    massive = ", or they are massive" if comparison.setting("massive") == "dropped" else ""
    if not missing:
        return (f"All {all_rows:,} {unit} are rows: both tokenizers end a token on each.",)
    return (
        f"{missing:,} of {all_rows:,} {unit} are no rows: a tokenizer ends no token on them, or they lie beyond a "
        f"model's context{massive}.",
    )


def rows_words(comparison: Comparison) -> str:
    """What a row is, for a caption; "" where rows are tokens, which the caption says elsewhere."""
    rows = rows_of(comparison)
    if rows in ("text", "text_last"):
        return f"texts as rows, {'the mean of their tokens' if rows == 'text' else 'their last token'}"
    return "" if rows == TOKEN else f"{UNITS[rows]} as rows, each at the token that ends with it"
