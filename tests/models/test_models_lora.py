"""Adapters: nothing at first, everything after merging, and their own stream of random numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models_support import NANO
from peft import PeftModel
from torch import Tensor

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.models.base import load_base
from retrain_equivalence.models.codec import Codec
from retrain_equivalence.models.forward import pad, token_logps
from retrain_equivalence.models.lora import adapter_weights, attach, load_adapter, merge, unmoved
from retrain_equivalence.models.weights import from_safetensors, to_safetensors, weights_of
from retrain_equivalence.recipes.model import Lora

LORA = Lora(rank=4, alpha=8.0)


def logps(model: torch.nn.Module, codec: Codec) -> Tensor:
    batch = pad([codec.encode("Who wrote it?", "The old captain."), codec.encode("", "Rain.")], codec.pad_id)
    with torch.no_grad():
        return token_logps(model, batch)[0]


def moved(model: PeftModel) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {
        name: tensor + 0.2 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in adapter_weights(model).items()
    }


def test_a_fresh_adapter_changes_nothing_and_alone_is_trainable(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    before = logps(model, codec)
    adapted = attach(model, LORA, seed=3)
    assert torch.equal(logps(adapted, codec), before)
    trainable = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trainable == adapter_weights(adapted).keys()
    assert len(trainable) == 2 * 7 * 2  # A and B, seven linear layers, two blocks


def test_initialisation_follows_its_seed_and_nothing_else(nano_directory: Path) -> None:
    def drawn(seed: int) -> bytes:
        return to_safetensors(adapter_weights(attach(load_base(nano_directory, NANO)[0], LORA, seed)))

    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = drawn(3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert drawn(3) == one
    assert drawn(4) != one


def test_initial_scale_of_a(nano: tuple[torch.nn.Module, Codec]) -> None:
    weights = adapter_weights(attach(nano[0], LORA, seed=3))
    a = weights["base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"]
    assert a.shape == (4, 32)
    # Kaiming uniform with a = sqrt 5 is U(-1/sqrt n, 1/sqrt n) for n inputs.
    assert 0.9 / 32**0.5 < a.abs().max().item() <= 1 / 32**0.5


def test_merging_equals_the_adapter_switched_on(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, codec = nano
    original = weights_of(model)
    before = logps(model, codec)
    adapted = attach(model, LORA, seed=3)
    load_adapter(adapted, moved(adapted))
    on = logps(adapted, codec)
    with adapted.disable_adapter():
        assert torch.equal(logps(adapted, codec), before)
    merged = merge(adapted)
    assert not isinstance(merged, PeftModel)
    assert float((on - before).abs().max()) > 0.1
    assert torch.allclose(logps(merged, codec), on, atol=1e-5 * max(1.0, float(on.abs().max())))
    assert weights_of(merged).keys() == original.keys()
    assert all(p.requires_grad for p in merged.parameters())


def test_a_bfloat16_merge_is_rounded_once(nano_directory: Path) -> None:
    model, _ = load_base(nano_directory, replace(NANO, dtype="bfloat16"))
    name = "model.layers.0.mlp.up_proj.weight"
    weight = weights_of(model)[name].float()
    adapted = attach(model, LORA, seed=3)
    load_adapter(adapted, moved(adapted))
    parts = adapter_weights(adapted)
    a, b = (parts[f"base_model.model.model.layers.0.mlp.up_proj.lora_{x}.default.weight"] for x in "AB")
    assert a.dtype is torch.float32
    expected = (weight + (b @ a) * (8.0 / 4)).to(torch.bfloat16)
    assert torch.equal(weights_of(merge(adapted))[name], expected)


def test_adapter_goes_to_the_store_and_back(nano_directory: Path, tmp_path: Path) -> None:
    first = attach(load_base(nano_directory, NANO)[0], LORA, seed=3)
    load_adapter(first, moved(first))
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(to_safetensors(adapter_weights(first)))
    model, codec = load_base(nano_directory, NANO)
    second = attach(model, LORA, seed=77)
    load_adapter(second, from_safetensors(path))
    assert torch.equal(logps(second, codec), logps(first, codec))


def test_an_adapter_of_another_shape_or_name_is_refused(nano: tuple[torch.nn.Module, Codec]) -> None:
    adapted = attach(nano[0], LORA, seed=3)
    weights = adapter_weights(adapted)
    name = min(weights)
    with pytest.raises(ValueError, match=f"missing: {name}"):
        load_adapter(adapted, {other: tensor for other, tensor in weights.items() if other != name})
    with pytest.raises(ValueError, match="shape"):
        load_adapter(adapted, weights | {name: torch.zeros(1, 1)})


def test_unmoved_names_what_did_not_move(nano: tuple[torch.nn.Module, Codec]) -> None:
    adapted = attach(nano[0], LORA, seed=3)
    before = adapter_weights(adapted)
    after = moved(adapted)
    stuck = min(before)
    assert unmoved(before, after | {stuck: before[stuck]}) == [stuck]


def test_wrong_requests_are_refused(nano: tuple[torch.nn.Module, Codec]) -> None:
    model, _ = nano
    with pytest.raises(InputError, match=r"E-DATA-61.*'c_attn'.*down_proj, gate_proj"):
        attach(model, replace(LORA, target_modules=("c_attn",)), seed=0)
    with pytest.raises(ValueError, match="dropout"):
        attach(model, replace(LORA, dropout=0.1), seed=0)
    adapted = attach(model, LORA, seed=0)
    with pytest.raises(ValueError, match="already carries"):
        attach(adapted, LORA, seed=0)
