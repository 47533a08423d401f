"""A training resumed from any of its states is the uninterrupted one, bit for bit, through the checkpoint's bytes."""

from dataclasses import replace

import pytest
import torch

from retrain_equivalence.core.errors import RunError, StoreError
from retrain_equivalence.objectives.nll import NLL
from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.recipes.passes import Split
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.training.checkpoint import ABOUT, TENSORS, from_files, to_files
from retrain_equivalence.training.companions import Companions
from retrain_equivalence.training.loop import train
from retrain_equivalence.training.reference import reference_logps

STEPS = 12


def recipe(optimizer="adamw"):
    return TrainingRecipe(
        learning_rate=3e-3,
        max_steps=STEPS,
        global_batch_size=4,
        micro_batch_size=3,
        optimizer=optimizer,
        weight_decay=0.01,
        lr_scheduler_type="wsd",
        warmup_ratio=0.2,
        decay_ratio=0.3,
    )


def run(model, rows, asked, objective, reference, start=None):
    return train(
        model,
        rows,
        recipe=asked,
        objective=objective,
        order_seed=5,
        pad_id=0,
        companions=Companions(reference={Split.FORGET: reference}),
        start=start,
    )


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("objective", [NLL(), NPO()], ids=lambda o: o.name)
def test_resumed_at_every_step(model_of, rows, tuning, optimizer, objective):
    asked = recipe(optimizer)
    reference = reference_logps(model_of(tuning), rows, 0)
    files, losses = [], []
    for step in run(model_of(tuning), rows, asked, objective, reference):
        files.append(to_files(step.state()))
        losses.append(step.loss)
    assert len(files) == STEPS
    for at in range(STEPS):
        start = from_files(files[at].__getitem__)
        resumed = list(run(model_of(tuning), rows, asked, objective, reference, start))
        assert [step.step for step in resumed] == list(range(at + 2, STEPS + 1))
        assert [step.loss for step in resumed] == losses[at + 1 :]
        if resumed:
            assert to_files(resumed[-1].state()) == files[-1]


def test_a_state_moves_the_model_even_when_nothing_is_left_to_do(model_of, rows):
    *_, last = run(model_of(), rows, recipe(), NLL(), None)
    state = last.state()
    model = model_of()
    assert list(run(model, rows, recipe(), NLL(), None, state)) == []
    assert all(torch.equal(p.detach(), state.weights[name]) for name, p in model.named_parameters())


def test_the_optimizer_is_fresh_without_a_state(model_of, rows):
    model = model_of()
    first = list(run(model, rows, recipe(), NLL(), None))[-1].state()
    again = model_of()
    with torch.no_grad():
        for name, p in again.named_parameters():
            p.copy_(first.weights[name])
    one = next(run(model, rows, recipe(), NLL(), None)).state()
    two = next(run(again, rows, recipe(), NLL(), None)).state()
    assert to_files(one) == to_files(two)


def test_states_are_copies_on_the_cpu(model_of, rows):
    model = model_of()
    steps = run(model, rows, recipe(), NLL(), None)
    state = next(steps).state()
    before = {name: tensor.clone() for name, tensor in {**state.weights, **state.moments}.items()}
    list(steps)
    assert all(torch.equal({**state.weights, **state.moments}[name], tensor) for name, tensor in before.items())
    assert {name.partition("/")[0] for name in state.moments} == {"exp_avg", "exp_avg_sq", "step"}


def test_bytes_do_not_depend_on_the_order_of_names(model_of, rows):
    state = next(run(model_of(), rows, recipe(), NLL(), None)).state()
    turned = replace(
        state, weights=dict(reversed(state.weights.items())), moments=dict(reversed(state.moments.items()))
    )
    assert to_files(turned) == to_files(state)
    assert set(to_files(state)) == {TENSORS, ABOUT}


def test_a_state_of_something_else_is_refused(model_of, rows):
    state = next(run(model_of(), rows, recipe(), NLL(), None)).state()
    one_less = dict(list(state.moments.items())[1:])
    for asked, odd in (
        (recipe("sgd"), state),
        (recipe(), replace(state, moments=one_less)),
        (recipe(), replace(state, weights={})),
        (recipe(), replace(state, moments={name: tensor.new_zeros(1) for name, tensor in state.moments.items()})),
    ):
        with pytest.raises(RunError, match=r"E-RUN-06.*the state at step 1"):
            next(run(model_of(), rows, asked, NLL(), None, odd))


@pytest.mark.parametrize(
    "files",
    [
        {TENSORS: b"", ABOUT: b"{}"},
        {TENSORS: b"\x00" * 40, ABOUT: b'{"step":1,"tokens":1}'},
        {ABOUT: b'{"step":1,"tokens":1}'},
    ],
)
def test_files_of_something_else_are_refused(files):
    with pytest.raises(StoreError, match="E-STORE-20"):
        from_files(files.__getitem__)
