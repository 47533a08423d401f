import math

import pytest
import torch
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
    get_wsd_schedule,
)

from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.training.schedule import Shape

SIZES = [(10, 0), (10, 3), (37, 1), (100, 10), (5, 5)]


def ours(kind, n_steps, n_warmup, n_decay=0, floor=0.1):
    shape = Shape(kind=kind, n_steps=n_steps, n_warmup=n_warmup, n_decay=n_decay, floor=floor)
    return [shape.factor(step) for step in range(n_steps)]


def theirs(schedule, n_steps, **arguments):
    """The factors that a scheduler of transformers gives at the steps 0 .. n_steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedule(optimizer, **arguments)
    found = []
    for _ in range(n_steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def get_wsd(step, n_steps, n_warmup, n_decay):
    """The factor of Yu et al. 2025, as `reference` documents their `get_wsd`: warm-up first, 10 % at the end."""
    if step < n_warmup:
        return step / max(1, n_warmup)
    if step > n_steps - n_decay:
        return 0.1 + max(0.9 * (n_steps - step) / n_decay, 0)
    return 1.0


@pytest.mark.parametrize(("n_steps", "n_warmup"), SIZES)
@pytest.mark.parametrize(
    ("kind", "schedule", "counts_steps"),
    [
        ("constant", get_constant_schedule_with_warmup, False),
        ("linear", get_linear_schedule_with_warmup, True),
        ("cosine", get_cosine_schedule_with_warmup, True),
    ],
)
def test_transformers_with_the_warm_up_one_step_ahead(kind, schedule, counts_steps, n_steps, n_warmup):
    total = {"num_training_steps": n_steps} if counts_steps else {}
    reference = theirs(schedule, n_steps, num_warmup_steps=n_warmup, **total)
    factors = ours(kind, n_steps, n_warmup)
    warming = [step + 1 for step in range(n_warmup)]
    # At the end of a warm-up over all steps transformers' own factor is that of a finished decay.
    expected = [1.0 if step == n_warmup else reference[step] for step in warming] + reference[n_warmup:n_steps]
    assert factors == pytest.approx(expected, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize(("n_steps", "n_warmup"), SIZES)
@pytest.mark.parametrize("n_decay", [1, 2, 8])
def test_wsd_is_the_papers_one_step_ahead(n_steps, n_warmup, n_decay):
    n_decay = min(n_decay, n_steps)
    factors = ours("wsd", n_steps, n_warmup, n_decay)
    expected = [get_wsd(step + 1, n_steps, n_warmup, n_decay) for step in range(n_steps)]
    # Where the warm-up reaches the peak inside the decay, theirs has already left the warm-up branch.
    expected = [1.0 if step == n_warmup - 1 else value for step, value in enumerate(expected)]
    assert factors == pytest.approx(expected, rel=1e-14)


def test_wsd_is_transformers_with_linear_decay_one_step_ahead_after_the_warm_up():
    reference = theirs(
        get_wsd_schedule,
        40,
        num_warmup_steps=4,
        num_decay_steps=6,
        num_training_steps=40,
        min_lr_ratio=0.1,
        decay_type="linear",
    )
    assert ours("wsd", 40, 4, 6)[3:] == pytest.approx(reference[4:], rel=1e-12)


def test_no_step_has_rate_zero_and_wsd_ends_at_its_floor():
    for kind in ("constant", "linear", "cosine", "wsd"):
        for n_steps in (1, 2, 30, 100):
            recipe = TrainingRecipe(learning_rate=1e-3, max_steps=n_steps, lr_scheduler_type=kind)
            shape = Shape.of(recipe, n_steps)
            factors = [shape.factor(step) for step in range(n_steps)]
            assert all(0 < factor <= 1 for factor in factors)
    assert ours("wsd", 100, 2, 2)[-2:] == pytest.approx([0.55, 0.1])


def test_a_hand_worked_cosine():
    assert ours("cosine", 4, 0) == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])


@pytest.mark.parametrize(
    ("share", "n_steps", "expected"), [(0.02, 30, 1), (0.02, 50, 1), (0.07, 100, 7), (0.0, 10, 0), (0.99, 10, 10)]
)
def test_shares_are_rounded_up_to_steps(share, n_steps, expected):
    recipe = TrainingRecipe(learning_rate=1e-3, max_steps=n_steps, lr_scheduler_type="wsd", warmup_ratio=share)
    assert Shape.of(recipe, n_steps).n_warmup == expected


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_is_refused(step):
    with pytest.raises(ValueError, match=r"not one of 0\.\.9"):
        Shape(kind="constant", n_steps=10, n_warmup=0, n_decay=0, floor=0.1).factor(step)
