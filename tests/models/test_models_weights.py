"""Weights by name, in and out of a model and of a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from retrain_equivalence.models.tiny import tiny_model
from retrain_equivalence.models.weights import from_safetensors, load_weights, to_safetensors, weights_of


def test_bytes_do_not_depend_on_the_order_of_the_names(tmp_path: Path) -> None:
    weights = weights_of(tiny_model("nano", 0))
    data = to_safetensors(weights)
    assert to_safetensors(dict(reversed(weights.items()))) == data
    (tmp_path / "w.safetensors").write_bytes(data)
    back = from_safetensors(tmp_path / "w.safetensors")
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_tied_weights_appear_once_and_come_back_tied() -> None:
    one, two = tiny_model("nano", 0), tiny_model("nano", 1)
    weights = weights_of(one)
    assert [name for name in weights if "embed" in name or "head" in name] == ["model.embed_tokens.weight"]
    load_weights(two, weights)
    assert torch.equal(two.lm_head.weight, one.model.embed_tokens.weight)
    assert two.lm_head.weight is two.model.embed_tokens.weight


def test_weights_are_copies() -> None:
    model = tiny_model("nano", 0)
    kept = weights_of(model)
    with torch.no_grad():
        model.model.norm.weight.add_(1)
    assert bool((kept["model.norm.weight"] == 1).all())


def test_names_and_shapes_must_match() -> None:
    model = tiny_model("nano", 0)
    weights = weights_of(model)
    with pytest.raises(ValueError, match=r"unexpected: extra"):
        load_weights(model, weights | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"missing: model.norm.weight"):
        load_weights(model, {name: t for name, t in weights.items() if name != "model.norm.weight"})
    with pytest.raises(ValueError, match=r"model.norm.weight: shape \(1,\), expected \(32,\)"):
        load_weights(model, weights | {"model.norm.weight": torch.zeros(1)})
