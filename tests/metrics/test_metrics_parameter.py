"""Distances of weights: numpy's norm, modules of every supported architecture, and the gauge of adapters."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cosine as scipy_cosine

from retrain_equivalence.metrics.parameter.cosine import cosine
from retrain_equivalence.metrics.parameter.modules import merged_changes, module_of, modules_of
from retrain_equivalence.metrics.parameter.relative_l2 import relative_l2

SHAPES = {
    "model.embed_tokens.weight": (7, 4),
    "model.layers.0.self_attn.q_proj.weight": (4, 4),
    "model.layers.0.mlp.up_proj.weight": (6, 4),
    "model.layers.0.input_layernorm.weight": (4,),
    "model.norm.weight": (4,),
    "lm_head.weight": (7, 4),
}
MODULES = modules_of(SHAPES)


def draws(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def weights(seed: int, dtype: type = np.float32) -> dict[str, np.ndarray]:
    generator = draws(seed)
    return {name: generator.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def flat(tensors: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([tensors[name].ravel() for name in names]).astype(np.float64)


# --- modules ------------------------------------------------------------------------------------------------------

NAMES = {
    "embed": (
        "model.embed_tokens.weight", "transformer.wte.weight", "transformer.wpe.weight", "gpt_neox.embed_in.weight",
    ),
    "layers.0.attention": (
        "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.bias",
        "model.layers.0.self_attn.qkv_proj.weight", "model.layers.0.self_attn.dense.bias",
        "transformer.h.0.attn.c_attn.weight", "transformer.h.0.attn.c_proj.bias",
        "gpt_neox.layers.0.attention.query_key_value.weight", "gpt_neox.layers.0.attention.dense.bias",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
    ),
    "layers.12.mlp": (
        "model.layers.12.mlp.gate_proj.weight", "model.layers.12.mlp.gate_up_proj.weight",
        "model.layers.12.mlp.fc1.bias", "transformer.h.12.mlp.c_fc.weight", "gpt_neox.layers.12.mlp.dense_4h_to_h.bias",
        "base_model.model.model.layers.12.mlp.down_proj.lora_B.default.weight",
    ),
    "norms": (
        "model.norm.weight", "model.final_layernorm.bias", "model.layers.3.input_layernorm.weight",
        "model.layers.3.pre_feedforward_layernorm.weight", "model.layers.3.self_attn.q_norm.weight",
        "transformer.ln_f.bias", "transformer.h.3.ln_1.weight", "gpt_neox.final_layer_norm.weight",
    ),
    "head": ("lm_head.weight", "lm_head.bias", "embed_out.weight"),
    "other": ("model.layers.0.strange.weight", "visual.patch.weight"),
}  # fmt: skip
"""Names as `named_parameters()` of Llama, Qwen, Gemma, Phi, OLMo, GPT-2 and GPT-NeoX gives them."""


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_the_module_of_a_name(module: str, name: str) -> None:
    assert module_of(name) == module


def test_modules_share_the_tensors_out_and_stand_in_order() -> None:
    names = [name for listed in NAMES.values() for name in listed] + ["model.layers.2.mlp.up_proj.weight"]
    found = modules_of(names)
    assert list(found) == [
        "all",
        "embed",
        "layers.0.attention",
        "layers.2.mlp",
        "layers.12.mlp",
        "norms",
        "head",
        "other",
    ]
    assert sorted(name for module, listed in found.items() if module != "all" for name in listed) == sorted(names)
    assert sorted(found["all"]) == sorted(names)
    with pytest.raises(ValueError, match="at least one"):
        modules_of([])


# --- relative L2 --------------------------------------------------------------------------------------------------


def test_relative_l2_by_hand() -> None:
    a = {"lm_head.weight": np.array([[3.0, 4.0]]), "model.norm.weight": np.array([1.0])}
    b = {"lm_head.weight": np.array([[0.0, 4.0]]), "model.norm.weight": np.array([2.0])}
    found = relative_l2(a, b, modules=modules_of(a))
    assert found == pytest.approx({"all": math.sqrt(10 / 20), "norms": 0.5, "head": 0.75})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_relative_l2_is_numpys_norm_of_the_concatenated_tensors(dtype: type) -> None:
    a, b = weights(1, dtype), weights(2, dtype)
    found = relative_l2(a, b, modules=MODULES)
    assert set(found) == {"all", "embed", "layers.0.attention", "layers.0.mlp", "norms", "head"}
    for module, names in MODULES.items():
        norm = np.linalg.norm(flat(a, names) - flat(b, names)) / np.linalg.norm(flat(b, names))
        assert found[module] == pytest.approx(norm, rel=1e-6)


@given(st.integers(0, 999), st.floats(0.01, 100))
def test_relative_l2_is_zero_for_equal_weights_and_knows_no_scale(seed: int, scale: float) -> None:
    a, b = weights(seed, np.float64), weights(seed + 1000, np.float64)
    assert set(relative_l2(a, a, modules=MODULES).values()) == {0.0}
    found = relative_l2(a, b, modules=MODULES)
    scaled = relative_l2({n: scale * t for n, t in a.items()}, {n: scale * t for n, t in b.items()}, modules=MODULES)
    assert scaled == pytest.approx(found)


def test_close_weights_in_half_precision_keep_their_difference() -> None:
    b = {"w": np.full(10, 1.0, np.float16)}
    a = {"w": np.nextafter(b["w"], np.float16(2))}
    assert relative_l2(a, b, modules={"all": ["w"]})["all"] == pytest.approx(2**-10)


def test_there_is_nothing_to_relate_to_where_the_second_side_is_zero() -> None:
    a, b = {"w": np.ones(2), "v": np.ones(2)}, {"w": np.zeros(2), "v": np.ones(2)}
    found = relative_l2(a, b, modules={"all": ["v", "w"], "w": ["w"]})
    assert found == {"all": 1.0, "w": None}


# --- cosine -------------------------------------------------------------------------------------------------------


def test_cosine_by_hand() -> None:
    start = {"w": np.array([1.0, 1.0])}
    one, two = {"w": np.array([4.0, 5.0])}, {"w": np.array([5.0, 4.0])}
    assert cosine(one, two, start, modules={"all": ["w"]}) == pytest.approx({"all": 24 / 25})


def test_cosine_is_scipys_of_the_changes() -> None:
    a, b, start = weights(1), weights(2), weights(3)
    found = cosine(a, b, start, modules=MODULES)
    for module, names in MODULES.items():
        one, two = (flat(side, names) - flat(start, names) for side in (a, b))
        assert found[module] == pytest.approx(1 - scipy_cosine(one, two), abs=1e-6)


@given(st.integers(0, 999), st.floats(0.01, 100))
def test_cosine_sees_the_direction_alone(seed: int, length: float) -> None:
    start, change = weights(seed, np.float64), weights(seed + 1000, np.float64)
    other = weights(seed + 2000, np.float64)
    there = {name: start[name] + change[name] for name in start}
    further = {name: start[name] + length * change[name] for name in start}
    back = {name: start[name] - length * change[name] for name in start}
    parallel, opposite = cosine(there, further, start, modules=MODULES), cosine(there, back, start, modules=MODULES)
    assert parallel == pytest.approx(dict.fromkeys(MODULES, 1.0))
    assert opposite == pytest.approx(dict.fromkeys(MODULES, -1.0))
    assert max(value for value in parallel.values() if value is not None) <= 1
    assert cosine(there, other, start, modules=MODULES) == pytest.approx(cosine(other, there, start, modules=MODULES))


def test_who_did_not_move_has_no_direction() -> None:
    start, moved = weights(1), weights(2)
    assert set(cosine(start, moved, start, modules=MODULES).values()) == {None}
    assert set(cosine(moved, start, start, modules=MODULES).values()) == {None}


# --- both ---------------------------------------------------------------------------------------------------------


def test_wrong_tensors_are_refused_by_name() -> None:
    a, b = weights(1), weights(2)
    without = {name: tensor for name, tensor in b.items() if name != "lm_head.weight"}
    other = {**b, "lm_head.weight": np.zeros((8, 4), np.float32)}
    broken = {**b, "lm_head.weight": np.full((7, 4), np.nan, np.float32)}
    for second, said in ((without, "lm_head.weight is only"), (other, r"lm_head.weight has shape"), (broken, "finite")):
        with pytest.raises(ValueError, match=said):
            relative_l2(a, second, modules=MODULES)
        with pytest.raises(ValueError, match=said):
            cosine(a, second, a, modules=MODULES)


def test_each_tensor_is_read_only_once_though_modules_overlap() -> None:
    class Counted(dict[str, np.ndarray]):
        read = 0

        def __getitem__(self, name: str) -> np.ndarray:
            type(self).read += 1
            return super().__getitem__(name)

    a, b = Counted(weights(1)), weights(2)
    relative_l2(a, b, modules=MODULES)
    # Once for the shapes, once for the numbers.
    assert Counted.read == 2 * len(SHAPES)


# --- adapters -----------------------------------------------------------------------------------------------------

PREFIX = "base_model.model.model.layers.0.self_attn.q_proj"
A_NAME, B_NAME = f"{PREFIX}.lora_A.default.weight", f"{PREFIX}.lora_B.default.weight"


def adapter(seed: int, rank: int = 3) -> dict[str, np.ndarray]:
    generator = draws(seed)
    return {A_NAME: generator.normal(size=(rank, 5)), B_NAME: generator.normal(size=(6, rank))}


def regauged(tensors: dict[str, np.ndarray], mixing: np.ndarray) -> dict[str, np.ndarray]:
    return {A_NAME: mixing @ tensors[A_NAME], B_NAME: tensors[B_NAME] @ np.linalg.inv(mixing)}


def test_merged_changes_are_the_scaled_products_by_the_weights_names() -> None:
    found = merged_changes(adapter(1), 0.5)
    assert list(found) == ["model.layers.0.self_attn.q_proj.weight"]
    assert found["model.layers.0.self_attn.q_proj.weight"] == pytest.approx(
        0.5 * adapter(1)[B_NAME] @ adapter(1)[A_NAME]
    )


@given(st.integers(0, 999))
def test_raw_adapters_depend_on_the_gauge_and_merged_ones_do_not(seed: int) -> None:
    """`B R^-1, R A` is the same model for every invertible R: merged numbers stay, raw ones move."""
    one, two = adapter(seed), adapter(seed + 1000)
    mixing = np.linalg.qr(draws(seed + 2000).normal(size=(3, 3)))[0] @ np.diag([0.5, 1.0, 3.0])
    same = regauged(one, mixing)
    modules = modules_of(merged_changes(one, 1.0))
    merged = relative_l2(merged_changes(one, 1.0), merged_changes(two, 1.0), modules=modules)
    again = relative_l2(merged_changes(same, 1.0), merged_changes(two, 1.0), modules=modules)
    assert again == pytest.approx(merged, rel=1e-9)
    nothing = relative_l2(merged_changes(same, 1.0), merged_changes(one, 1.0), modules=modules)["all"]
    assert nothing == pytest.approx(0, abs=1e-12)

    raw = relative_l2(same, one, modules=modules_of(one))["all"]
    assert raw is not None
    assert raw > 0.1, "one model, and its raw tensors are far from themselves"
    assert relative_l2(same, two, modules=modules_of(one))["all"] != pytest.approx(
        relative_l2(one, two, modules=modules_of(one))["all"], rel=1e-6
    )


@pytest.mark.parametrize("wrong", [A_NAME, B_NAME])
def test_an_adapter_with_a_missing_half_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="no partner"):
        merged_changes({name: tensor for name, tensor in adapter(1).items() if name != wrong}, 1.0)
    with pytest.raises(ValueError, match=r"lm_head\.weight has no partner"):
        merged_changes({**adapter(1), "lm_head.weight": np.zeros((2, 2))}, 1.0)
