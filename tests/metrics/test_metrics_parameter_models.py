"""Modules and merged changes against real models: names of every supported architecture, and adapters as they merge."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from retrain_equivalence.metrics.parameter.modules import merged_changes, modules_of
from retrain_equivalence.models import lora
from retrain_equivalence.models.directory import MODEL_TYPES
from retrain_equivalence.models.tiny import tiny_model
from retrain_equivalence.models.weights import weights_of
from retrain_equivalence.recipes.model import Lora


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_tensor_of_a_supported_architecture_has_a_module(model_type: str) -> None:
    layers = {"n_layer": 2, "n_embd": 16, "n_head": 2} if model_type == "gpt2" else {"num_hidden_layers": 2}
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
    }
    special = {"vocab_size": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(model_type, **layers, **({} if model_type == "gpt2" else sizes), **special)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    found = modules_of(name for name, _ in model.named_parameters())
    wanted = ["embed", *(f"layers.{k}.{part}" for k in (0, 1) for part in ("attention", "mlp")), "norms"]
    assert [module for module in found if module not in ("all", "head")] == wanted


def test_merged_changes_are_what_merging_adds() -> None:
    model = tiny_model("nano", seed=1)
    before = weights_of(model)
    adapted = lora.attach(model, Lora(rank=3, alpha=12.0, target_modules=("q_proj", "down_proj")), seed=2)
    generator = torch.Generator().manual_seed(3)
    filled = {name: torch.randn(t.shape, generator=generator) for name, t in lora.adapter_weights(adapted).items()}
    lora.load_adapter(adapted, filled)
    changes = merged_changes({name: tensor.numpy() for name, tensor in filled.items()}, 12.0 / 3)
    after = weights_of(lora.merge(adapted))
    assert len(changes) == 4
    for name in before:
        added = (after[name] - before[name]).numpy()
        # Merging rounds to float32 once.
        assert added == pytest.approx(changes[name] if name in changes else 0 * added, abs=1e-5), name
