import numpy as np
import pytest
import torch

from retrain_equivalence.objectives.retain_hidden import RetainHidden
from retrain_equivalence.objectives.rmu import RMU
from retrain_equivalence.objectives.rmu_forget import DIRECTION, RMUForget
from retrain_equivalence.recipes.passes import Needs, Split

WIDTH = 7


def rows_mean(gaps):
    """Mean over rows of the mean over their tokens of the mean over dimensions; rows without tokens do not count."""
    terms = [(gap**2).mean(axis=1).mean() for gap in gaps if len(gap)]
    return float(np.mean(terms))


def test_the_forget_term_agrees_with_the_formula(agrees_on_passes):
    loss = RMUForget(layer=2, steering=3.0)
    (hidden,) = loss.passes
    vector = 3.0 * loss.init(0, WIDTH)[DIRECTION].double().numpy()
    agrees_on_passes(loss, lambda drawn, labels: rows_mean([row - vector for row in drawn[hidden]]))


def test_the_retain_term_agrees_with_the_formula(agrees_on_passes):
    loss = RetainHidden(layer=1)
    policy, reference = loss.passes
    agrees_on_passes(
        loss,
        lambda drawn, labels: rows_mean([a - b for a, b in zip(drawn[policy], drawn[reference], strict=True)]),
    )


def test_hand_arithmetic_on_ragged_rows(evaluated_on_passes):
    """Rows of one and two tokens, D = 2, c = (3, 4): (25/2 + (0 + 25/2)/2) / 2 = 9.375, not the broadcast's value."""
    loss = RMUForget(layer=1, steering=5.0)
    (hidden,) = loss.passes
    drawn = {hidden: [np.zeros((1, 2)), np.array([[3.0, 4.0], [0.0, 0.0]])]}
    memory = {DIRECTION: torch.tensor([0.6, 0.8], dtype=torch.float64)}
    found, _ = evaluated_on_passes(loss, drawn, {Split.FORGET: [np.zeros(1), np.zeros(2)]}, memory)
    assert found == pytest.approx(9.375, rel=1e-14)


def test_the_direction_is_a_unit_vector_with_positive_entries_of_its_seed():
    loss = RMUForget(layer=1)
    one, again, other = (loss.init(seed, 64)[DIRECTION] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert float(one.double().norm()) == pytest.approx(1.0, abs=1e-6)
    assert bool((one >= 0).all())


def test_the_layer_decides_the_pass():
    assert RMUForget(layer=3).passes[0].layer == 3
    assert Needs.of(RMUForget(layer=3).passes).names() == ("forget", "hidden")
    assert Needs.of(RetainHidden(layer=3).passes).names() == ("forget", "reference", "retain", "hidden")


@pytest.mark.parametrize("kind", [RMUForget, RetainHidden, RMU])
def test_a_negative_layer_is_refused(kind):
    with pytest.raises(ValueError, match="layer must be at least 0, found -1"):
        kind(layer=-1)


@pytest.mark.parametrize(("kind", "parameter"), [(RMUForget, "steering"), (RMU, "steering"), (RMU, "retain_weight")])
@pytest.mark.parametrize("value", [0.0, -2.0, float("inf"), float("nan")])
def test_a_size_without_meaning_is_refused_where_it_is_given(kind, parameter, value):
    with pytest.raises(ValueError, match=f"{parameter} must be a finite number above 0"):
        kind(layer=1, **{parameter: value})
