"""The negated task vector, with all weights and with an adapter."""

import pytest
import torch

from retrain_equivalence.models.lora import merge
from retrain_equivalence.training.weight_edit import subtract_task_vector, trainable


def moved(model, scale):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_all_weights_are_mirrored_at_the_start(model_of, strength):
    model = model_of()
    start = trainable(model)
    moved(model, 0.01)
    there = trainable(model)
    subtract_task_vector(model, start, strength)
    for name, parameter in model.named_parameters():
        expected = start[name].double() - strength * (there[name].double() - start[name].double())
        torch.testing.assert_close(parameter.double(), expected, rtol=0, atol=1e-7)


def test_strength_one_twice_is_no_edit(model_of):
    model = model_of()
    start = trainable(model)
    moved(model, 0.01)
    there = trainable(model)
    subtract_task_vector(model, start, 1.0)
    subtract_task_vector(model, start, 1.0)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, there[name], rtol=0, atol=1e-7)


def test_an_adapter_is_edited_in_weight_space(model_of):
    adapted, start_model = model_of("lora"), model_of()
    start = trainable(adapted)
    moved(adapted, 0.05)
    subtract_task_vector(adapted, start, 0.7)
    edited = merge(adapted)
    again = model_of("lora")
    moved(again, 0.05)
    there = merge(again)
    changed = 0
    for (name, w), w0, w1 in zip(edited.named_parameters(), start_model.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(w, w0 - 0.7 * (w1 - w0), rtol=0, atol=1e-6, msg=name)
        changed += not torch.equal(w, w0)
    assert changed


def test_an_adapter_that_did_not_begin_at_zero_is_refused(model_of):
    model = model_of("lora")
    moved(model, 0.05)
    with pytest.raises(ValueError, match="did not begin at zero"):
        subtract_task_vector(model, trainable(model), 1.0)
