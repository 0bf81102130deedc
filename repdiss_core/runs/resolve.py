"""From names to identities: what a request names on the hub is pinned before it is computed.

Pages build requests without a network, so that a model or text that was never asked for stands in them as "unpinned".
Nothing is computed under such a key: whoever starts a computation (`jobs.start`, the command line) pins first. From
then on page and worker read the same pins and build the same keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from repdiss_core import data, hub
from repdiss_core.base.comparison import Comparison, DataId, ModelId, Request
from repdiss_core.data import packed_text, tokenizer
from repdiss_core.models import model_spec, packages, paper_models, typed, untrained
from repdiss_core.models.text_tokenizers import tokenizers_setting

TYPED_HUB, UNTRAINED = "hub:", "random:"


def prepare_models(names: Iterable[str]) -> None:
    """Pin models of the hub and their tokenizers; packages of weights have to be here; others need nothing.

    Raises:
        UserError: unknown names, architectures that are not supported, no network, a package that was not fetched.
    """
    names = tuple(dict.fromkeys(names))
    packages.require(names)
    for name in names:
        if name.startswith(UNTRAINED):
            prepare_models([untrained.parts_of(name)[1]])
        if name.startswith(TYPED_HUB):
            repo_name, _, revision = name.removeprefix(TYPED_HUB).partition("@")
            if all(spec.repo != repo_name for spec in paper_models.unpinned().values()):
                typed.prepare(hub.Repo(repo_name, revision or "main"))
        spec = model_spec(name)
        if spec.repo:
            hub.pin(paper_models.repo_of(spec))
        if spec.tokenizer_repo:
            tokenizer.prepare(spec.tokenizer_repo)


def is_pinned(request: Request) -> bool:
    """Whether every model and text of a request has an identity."""
    return not any(_unpinned(c) for c in request.comparisons)


def pinned_request(request: Request) -> Request:
    """The same request with identities in place of "unpinned"; asks the hub where it must.

    Raises:
        UserError: as `prepare_models` does.
    """
    packages.require(m.name for c in request.comparisons for m in (c.f, c.g))
    if is_pinned(request):
        return request
    prepare_models(m.name for c in request.comparisons for m in (c.f, c.g))
    for name in dict.fromkeys(c.data.name for c in request.comparisons):
        data.prepare(name)
    return Request(tuple(_identified(c) for c in request.comparisons), request.n_batches)


def built_pinned(build: Callable[[], Request]) -> Request:
    """The request that `build` makes once what it names is pinned (a study then reads the same pins again)."""
    first = build()
    if is_pinned(first):
        return first
    pinned_request(first)
    return build()


def _unpinned(c: Comparison) -> bool:
    loose = c.f.weights.startswith(paper_models.UNPINNED) or c.g.weights.startswith(paper_models.UNPINNED)
    return loose or packed_text.UNPINNED in (c.data.content, c.setting("phi_content"))


def _identified(c: Comparison) -> Comparison:
    f, g = (ModelId(m.name, model_spec(m.name).weights) for m in (c.f, c.g))
    settings = dict(c.settings)
    if settings.get("phi_content") == packed_text.UNPINNED:
        settings["phi_content"] = data.content_id(c.data.name, str(settings["phi_split"]))
    if "tokenizers" in settings:
        settings["tokenizers"] = tokenizers_setting(f.name, g.name)
    return replace(c, f=f, g=g, data=_data(c.data), settings=tuple(settings.items()))


def _data(known: DataId) -> DataId:
    return (
        known
        if known.content != packed_text.UNPINNED
        else replace(known, content=data.content_id(known.name, known.split))
    )
