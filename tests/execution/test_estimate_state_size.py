"""Sizes of saved states from shapes: exactly what the models have."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from retrain_equivalence.execution.state_size import adapter_bytes, saved_bytes, weight_shapes
from retrain_equivalence.models.lora import adapter_weights, attach
from retrain_equivalence.models.tiny import SIZES, tiny_model
from retrain_equivalence.models.weights import to_safetensors, weights_of
from retrain_equivalence.recipes.model import GgufModel, HubModel, LocalModel, Lora, TinyModel


@pytest.mark.parametrize("name", SIZES)
def test_a_tiny_size_has_these_parameters(name: str) -> None:
    shapes = weight_shapes(TinyModel(tiny=name), Path())  # type: ignore[arg-type]
    assert shapes is not None
    own = sorted(tuple(weight.shape) for weight in weights_of(tiny_model(name, seed=0)).values())
    assert sorted(shapes.values()) == own


def test_an_adapter_has_these_numbers() -> None:
    shapes = weight_shapes(TinyModel(tiny="nano"), Path())
    assert shapes is not None
    for lora in (Lora(rank=4, alpha=8), Lora(rank=2, alpha=8, target_modules=("q_proj", "down_proj"))):
        own = adapter_weights(attach(tiny_model("nano", seed=0), lora, seed=1))
        assert adapter_bytes(lora, shapes) == 4 * sum(weight.numel() for weight in own.values())


def test_a_folder_of_weights_is_read_by_its_headers(tmp_path: Path) -> None:
    weights = weights_of(tiny_model("nano", seed=0))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors").write_bytes(to_safetensors(weights))
    shapes = weight_shapes(LocalModel(path="m"), tmp_path)
    assert shapes == {name: tuple(weight.shape) for name, weight in weights.items()}


def test_what_no_file_tells_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"\xff" * 20)
    (tmp_path / "damaged.gguf").write_bytes(b"GGUF")
    for model in (LocalModel(path="none"), LocalModel(path="damaged"), GgufModel(gguf="none.gguf"),
                  GgufModel(gguf="damaged.gguf"), HubModel(hub="nobody/nothing")):  # fmt: skip
        assert weight_shapes(model, tmp_path) is None, model


def test_a_gguf_file_names_the_same_matrices(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    import numpy as np

    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    for name, shape in {"token_embd": (8, 4), "blk.0.attn_q": (4, 4), "blk.0.ffn_down": (4, 6)}.items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    shapes = weight_shapes(GgufModel(gguf="m.gguf"), tmp_path)
    assert shapes is not None
    assert sum(math.prod(shape) for shape in shapes.values()) == 32 + 16 + 24
    assert adapter_bytes(Lora(rank=2, alpha=2), shapes) == 4 * 2 * (8 + 10)


def test_saved_steps_and_the_type_count() -> None:
    import small_study

    plan = small_study.planned("unlearnings.ga.save_at=[0, 1, 2, 4]")
    model = plan.study.model
    shapes = weight_shapes(model, Path())
    assert shapes is not None
    whole = 4 * sum(math.prod(shape) for shape in shapes.values())
    of_label = {planned.task.label: planned.spec for planned in plan.planned.values()}
    ga, npo = (of_label[f"unlearn facts>sums>safety {name} r0"] for name in ("ga", "npo"))
    assert saved_bytes(ga, shapes, model) == 3 * whole
    assert saved_bytes(npo, shapes, model) == 2 * whole
    assert saved_bytes(npo, shapes, replace(model, dtype="bfloat16")) == whole
    assert saved_bytes(of_label["prediction cells"], shapes, model) == 0
