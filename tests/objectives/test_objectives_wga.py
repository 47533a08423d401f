import numpy as np
import pytest

from retrain_equivalence.objectives.base import POLICY_LOGPS
from retrain_equivalence.objectives.ga import GradientAscent
from retrain_equivalence.objectives.wga import WGA
from retrain_equivalence.recipes.passes import Split


def weighted(logps, held, beta):
    return float((np.exp(held) ** beta * logps).mean())


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0])
def test_value_and_gradient_agree_with_the_formula(agrees_on_passes, beta):
    """The weight carries no gradient: differences are taken with the weights held."""
    agrees_on_passes(
        WGA(beta=beta),
        lambda drawn, labels: weighted(*[np.concatenate(drawn[POLICY_LOGPS])] * 2, beta),
        surrogate=lambda drawn, labels, base: weighted(
            np.concatenate(drawn[POLICY_LOGPS]), np.concatenate(base[POLICY_LOGPS]), beta
        ),
    )


def test_hand_arithmetic(evaluated_on_passes):
    rows, labels = {POLICY_LOGPS: [np.log([0.5, 0.25])]}, {Split.FORGET: [np.zeros(2)]}
    loss, gradients = evaluated_on_passes(WGA(beta=2.0), rows, labels)
    assert loss == pytest.approx((0.25 * np.log(0.5) + 0.0625 * np.log(0.25)) / 2, rel=1e-14)
    assert gradients[POLICY_LOGPS][0] == pytest.approx([0.125, 0.03125], rel=1e-14)


def test_power_zero_is_gradient_ascent(evaluated_on_passes):
    rows, labels = (
        {POLICY_LOGPS: [np.array([-1.0, -50.0]), np.array([-3.0])]},
        {Split.FORGET: [np.zeros(2), np.zeros(1)]},
    )
    ours, theirs = (evaluated_on_passes(loss, rows, labels) for loss in (WGA(beta=0.0), GradientAscent()))
    assert ours[0] == theirs[0]
    assert all((a == b).all() for a, b in zip(ours[1][POLICY_LOGPS], theirs[1][POLICY_LOGPS], strict=True))


def test_a_forgotten_token_is_left_alone(evaluated_on_passes):
    rows, labels = {POLICY_LOGPS: [np.array([-1e4, -1e-4])]}, {Split.FORGET: [np.zeros(2)]}
    _, gradients = evaluated_on_passes(WGA(), rows, labels)
    assert gradients[POLICY_LOGPS][0] == pytest.approx([0.0, 0.49995], abs=1e-6)


def test_a_negative_power_is_refused():
    with pytest.raises(ValueError, match="beta must be a finite number of at least 0"):
        WGA(beta=-0.1)
