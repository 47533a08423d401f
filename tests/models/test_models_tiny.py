"""Tiny models: sizes, and an initialisation that reads its own seed only."""

from __future__ import annotations

import pytest
import torch

from retrain_equivalence.models.tiny import SIZES, tiny_model
from retrain_equivalence.models.weights import to_safetensors, weights_of


@pytest.mark.parametrize(("size", "low", "high"), [("nano", 0.04, 0.06), ("micro", 0.13, 0.25), ("tiny", 1.0, 2.0)])
def test_sizes(size: str, low: float, high: float) -> None:
    model = tiny_model(size, 0)
    assert low < model.num_parameters() / 1e6 < high
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.config.vocab_size == SIZES[size].vocabulary


def test_initialisation_follows_its_seed_and_nothing_else() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = to_safetensors(weights_of(tiny_model("nano", 5)))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert to_safetensors(weights_of(tiny_model("nano", 5))) == one
    assert to_safetensors(weights_of(tiny_model("nano", 6))) != one


def test_initial_distribution() -> None:
    model = tiny_model("micro", 0)
    assert model.get_input_embeddings().weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert all(bool((p == 1).all()) for p in model.parameters() if p.dim() == 1)
    assert model(torch.tensor([[1, 2, 3]])).logits.std().item() < 1
