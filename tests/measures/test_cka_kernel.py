"""The kernel: accuracy on every feature set, bytes that do not depend on company, and every error sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repdiss_core.base.errors import UserError
from repdiss_core.measures import gram, products
from repdiss_core.measures.cka import hsic_cross, hsic_same_layers, prepare
from repdiss_core.measures.flatten import flatten
from repdiss_core.measures.matrix import batch_hsic
from repdiss_core.measures.products import Workspace
from repdiss_core.measures.reduction import cka_ratio
from repdiss_core.scripts.bench.feature_sets import FEATURE_SETS, build, reference_cka
from tests.measures.dense import dense_cka

IDS = np.repeat(np.arange(9), [20, 40, 33, 27, 60, 15, 35, 50, 20])  # 300 tokens in sequences of unequal length
TARGET = 2e-6


def cka(f, g, estimator="unbiased", ids=None) -> np.ndarray:
    batch = batch_hsic(f, g, estimator, ids)
    return cka_ratio(batch.cross, batch.self_f, batch.self_g)[0]


def tensors(layers, dtype=torch.float32) -> list[torch.Tensor]:
    return [torch.from_numpy(x).to(dtype) for x in layers]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", FEATURE_SETS)
def test_error_against_float64(name, dtype):
    f, g = (tensors(layers, dtype) for layers in build(name, 300, 96))
    f, g = f[:2], g[1:]
    exact_f, exact_g = ([x.double().numpy() for x in layers] for layers in (f, g))
    for estimator, ids in (("unbiased", None), ("biased", None), ("sequence_aware", IDS)):
        expected = dense_cka(exact_f, exact_g, estimator, ids)
        np.testing.assert_allclose(cka(f, g, estimator, ids), expected, atol=TARGET, rtol=0, err_msg=estimator)


@pytest.mark.parametrize("n, d", [(64, 96), (257, 40), (520, 33), (700, 16)])
@pytest.mark.parametrize(
    "name", ["correlated", "one token ×1000", "three tokens ×1000", "one dimension's mean at 1000 σ"]
)
def test_error_at_sizes_that_do_not_fill_tiles(name, n, d):
    f, g = build(name, n, d, seed=1)
    np.testing.assert_allclose(cka(tensors(f), tensors(g)), reference_cka(f, g), atol=TARGET, rtol=0)


@pytest.mark.parametrize("exponent", [-140, -60, 40, 120])
def test_scale_changes_nothing(exponent):
    f, g = build("correlated", 300, 32)
    scaled = [np.ldexp(x.astype(np.float64), exponent).astype(np.float32 if exponent > -120 else np.float64) for x in f]
    assert np.isfinite(scaled[0]).all() and np.abs(scaled[0]).max() > 0
    np.testing.assert_allclose(cka(tensors(scaled, None), tensors(g)), cka(tensors(f), tensors(g)), atol=1e-7)
    self_hsic = prepare(tensors(scaled, None)).self_hsic
    np.testing.assert_allclose(np.log2(self_hsic / prepare(tensors(f)).self_hsic), 4 * exponent, atol=1e-5)


def test_packed_triangle_holds_every_pair_once():
    for n in (32, 96, 128, 160, 300, 384, 1000):
        n_padded = gram.padded_rows(n)
        rng = np.random.default_rng(n)
        a, b = (rng.integers(-3, 4, size=(n_padded, n_padded)).astype(np.float64) for _ in range(2))
        a, b = a + a.T, b + b.T
        n_off, length = gram.packed_sizes(n_padded)
        packed = [gram.pack_matrix(torch.from_numpy(m))[None] for m in (a, b)]
        assert packed[0].shape == (1, length)
        assert gram.cross_products(*packed, n_off).item() == np.sum(a * b) == gram.same_products(*packed, n_off).item()


@pytest.mark.parametrize("n", [100, 300])
def test_a_pair_has_the_same_bytes_alone_and_in_a_group(n):
    rng = np.random.default_rng(0)
    models = [
        tensors([rng.normal(size=(n, d)) for _ in range(layers)], torch.float32)
        for layers, d in ((3, 24), (4, 16), (2, 40))
    ]
    alone = hsic_cross(prepare(models[0]), prepare(models[1]))
    group = [prepare(model) for model in models]
    for other in group[::-1]:
        hsic_cross(group[0], other)
    assert hsic_cross(group[0], group[1]).tobytes() == alone.tobytes()
    assert group[1].self_hsic.tobytes() == prepare(models[1]).self_hsic.tobytes()
    assert prepare(models[0][:1]).self_hsic[0] == group[0].self_hsic[0]


@pytest.mark.parametrize("n", [100, 300])
def test_a_layer_with_itself_is_exactly_one(n):
    f = tensors(build("correlated", n, 24)[0])
    p = prepare(f)
    values = cka_ratio(hsic_cross(p, p)[None], p.self_hsic[None], p.self_hsic[None])[0]
    assert (values.diagonal() == 1.0).all()
    same = hsic_same_layers(p, prepare([x.clone() for x in f]))
    assert same.tobytes() == p.self_hsic.tobytes()


def test_same_layers_are_the_diagonal_of_all_pairs():
    f, g = (prepare(tensors(layers)) for layers in build("correlated", 300, 24))
    np.testing.assert_allclose(hsic_same_layers(f, g), hsic_cross(f, g).diagonal(), rtol=1e-6)


@pytest.mark.parametrize("n", [5, 64, 300, 1000])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e5 / 3, -7e-9])
def test_a_constant_layer_has_no_value_and_says_why(n, constant):
    rng = np.random.default_rng(n)
    spiked = np.full((n, 8), constant)
    spiked[n // 2] += 3.0  # one token alone carries no similarity either
    layers = tensors([rng.normal(size=(n, 8)), np.full((n, 8), constant) * rng.normal(size=8), spiked], torch.float32)
    f = prepare(layers)
    assert f.self_hsic[0] > 0 and f.self_hsic[1] == 0 and f.self_hsic[2] == 0
    assert [note.split(":")[0] for note in f.notes] == ["layer 2 has no CKA", "layer 3 has no CKA"]
    values = cka(layers, layers)
    assert np.isnan(values[1]).all() and np.isnan(values[:, 2]).all() and values[0, 0] == 1.0


def test_settings_that_lower_precision_do_not_enter_and_are_left_as_they_were():
    f, g = (tensors(layers) for layers in build("correlated", 300, 64))
    plain, before = cka(f, g), torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert cka(f, g).tobytes() == plain.tobytes()
            assert (f[0] @ f[0].T).dtype == torch.bfloat16
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_features_that_require_gradients_and_views_and_arrays_are_taken():
    f, g = build("correlated", 300, 32)
    expected = cka(tensors(f), tensors(g))
    assert cka([x.requires_grad_() for x in tensors(f)], tensors(g)).tobytes() == expected.tobytes()
    views = [torch.from_numpy(np.asfortranarray(x)) for x in f]
    np.testing.assert_allclose(cka(views, g), expected, atol=1e-7)
    frozen = f[0].copy()
    frozen.flags.writeable = False
    np.testing.assert_allclose(cka([frozen[::-1]], [x[::-1] for x in g]), expected[:1], atol=1e-7)


def test_both_products_give_the_same_values(monkeypatch):
    f, g = (tensors(layers) for layers in build("one token ×1000", 300, 96))
    values = []
    for name in products.PRODUCTS:
        monkeypatch.setenv("REPDISS_PRODUCT", name)
        values.append(cka(f, g))
    np.testing.assert_allclose(values[0], values[1], atol=1e-6)


def test_the_faster_product_is_chosen_by_a_clear_margin_only(monkeypatch):
    monkeypatch.delenv("REPDISS_PRODUCT", raising=False)
    cpu = torch.device("cpu")
    for times, expected in (
        ({"mm": 2.0, "onednn": 1.0}, "onednn"),
        ({"mm": 1.2, "onednn": 1.0}, "mm"),
        ({"mm": 1.0, "onednn": 2.0}, "mm"),
    ):
        monkeypatch.setattr(products, "product_times", lambda times=times: times)
        products._fastest.cache_clear()
        assert products.choose_product(cpu, torch.float32) is products.PRODUCTS[expected]
    products._fastest.cache_clear()
    assert products.choose_product(cpu, torch.float64) is products.product_mm
    monkeypatch.setenv("REPDISS_PRODUCT", "abacus")
    with pytest.raises(UserError, match=r"REPDISS_PRODUCT is 'abacus'; it may be mm or onednn"):
        products.choose_product(cpu, torch.float32)


def test_a_workspace_reuses_memory_and_changes_no_value():
    f, g = (tensors(layers) for layers in build("correlated", 300, 32))
    workspace, expected = Workspace(), batch_hsic(f, g)
    addresses = []
    for _ in range(3):
        workspace.reset()
        p = prepare(f, workspace=workspace)
        assert hsic_cross(p, prepare(g, workspace=workspace)).tobytes() == expected.cross[0].tobytes()
        addresses.append(p.packed.data_ptr())
    assert len(set(addresses)) == 1


def test_flatten_makes_tokens_or_sequences_rows():
    h = torch.arange(4 * 3 * 2.0).reshape(4, 3, 2)
    assert torch.equal(flatten(h), h.reshape(12, 2))
    assert torch.equal(flatten(h, "sample"), h.reshape(4, 6))
    mask = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 1]], dtype=bool)
    assert torch.equal(flatten(h, "token", mask), h[torch.from_numpy(mask)])
    assert torch.equal(flatten(h, "sample", np.ones((4, 3))), h.reshape(4, 6))


@pytest.mark.parametrize(
    "arguments, match",
    [
        ((torch.zeros(3, 5, 2), "sample"), r"needs at least 4 rows, but a batch here holds 3 sequence"),
        ((torch.zeros(4, 5, 2), "sample", np.eye(4, 5)), r"sequences of one length, but this batch is padded"),
        ((torch.zeros(4, 5, 2), "word"), r"no way to flatten called 'word'; choose \"token\""),
    ],
)
def test_flatten_says_what_is_wrong(arguments, match):
    with pytest.raises(UserError, match=match):
        flatten(*arguments)


def damaged(value, dtype=torch.float32):
    x = torch.randn(300, 4, dtype=dtype)
    x[17, 2] = value
    return [torch.randn(300, 4), x]


@pytest.mark.parametrize(
    "arguments, match",
    [
        (([],), r"no layers to compare"),
        (([torch.randn(8, 4)], "fancy"), r"no CKA estimator 'fancy'; choose one of unbiased, biased, sequence_aware"),
        (([torch.randn(3, 4)],), r"HSIC needs at least 4 tokens, and this batch holds 3"),
        (([torch.randn(8, 4), torch.randn(9, 4)],), r"Layer 2 has 9 tokens and layer 1 has 8"),
        (
            ([torch.randn(8, 4), torch.randn(2, 4, 4)],),
            r"Layer 2 has shape \(2, 4, 4\), but features are \(n_tokens, d\)",
        ),
        (([torch.randn(8, 0)],), r"Layer 1 has shape \(8, 0\)"),
        (([torch.randn(8, 4, dtype=torch.complex64)],), r"Layer 1 holds complex numbers"),
        (([torch.randn(8, 4), torch.randn(8, 4, device="meta")],), r"Layer 2 is on meta and layer 1 on cpu"),
        ((damaged(float("nan")),), r"Layer 2 holds NaN or infinite features \(first in row 17\)"),
        ((damaged(float("inf")),), r"Layer 2 holds NaN or infinite features \(first in row 17\)"),
        ((damaged(float("-inf"), torch.bfloat16),), r"Layer 2 holds NaN or infinite features \(first in row 17\)"),
        ((damaged(float("nan"), torch.float64),), r"Layer 2 holds NaN or infinite features \(first in row 17\)"),
    ],
)
def test_prepare_says_what_is_wrong(arguments, match):
    with pytest.raises(UserError, match=match):
        prepare(*arguments)


def test_partners_that_do_not_fit_are_refused():
    x, y, ids = torch.randn(8, 4), torch.randn(9, 4), [0, 0, 1, 1, 2, 2, 3, 3]
    for f, g, match in (
        (prepare([x]), prepare([y]), r"f has 8 tokens in this batch and g has 9"),
        (prepare([x]), prepare([x], "biased"), r"f was prepared for the estimator 'unbiased' and g for 'biased'"),
        (
            prepare([x], "sequence_aware", ids),
            prepare([x], "sequence_aware", ids[::-1][:7] + [4]),
            r"different sequence ids",
        ),
    ):
        for multiply in (hsic_cross, hsic_same_layers):
            with pytest.raises(UserError, match=match):
                multiply(f, g)
    with pytest.raises(UserError, match=r"the models have 1 and 2: compare models of one depth"):
        hsic_same_layers(prepare([x]), prepare([x, x]))
