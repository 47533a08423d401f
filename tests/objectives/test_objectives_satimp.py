import numpy as np
import pytest

from retrain_equivalence.objectives.base import POLICY_LOGPS
from retrain_equivalence.objectives.ga import GradientAscent
from retrain_equivalence.objectives.satimp import SatImp
from retrain_equivalence.objectives.wga import WGA
from retrain_equivalence.recipes.passes import Split


def weighted(logps, held, beta1, beta2):
    p = np.exp(held)
    return float((p**beta1 * (1 - p) ** beta2 * logps).mean())


@pytest.mark.parametrize(("beta1", "beta2"), [(5.0, 1.0), (0.0, 1.0), (1.0, 0.5), (2.0, 3.0)])
def test_value_and_gradient_agree_with_the_formula(agrees_on_passes, beta1, beta2):
    agrees_on_passes(
        SatImp(beta1=beta1, beta2=beta2),
        lambda drawn, labels: weighted(*[np.concatenate(drawn[POLICY_LOGPS])] * 2, beta1, beta2),
        surrogate=lambda drawn, labels, base: weighted(
            np.concatenate(drawn[POLICY_LOGPS]), np.concatenate(base[POLICY_LOGPS]), beta1, beta2
        ),
    )


def test_hand_arithmetic(evaluated_on_passes):
    rows, labels = {POLICY_LOGPS: [np.log([0.5])]}, {Split.FORGET: [np.zeros(1)]}
    loss, gradients = evaluated_on_passes(SatImp(beta1=2.0, beta2=1.0), rows, labels)
    assert loss == pytest.approx(-np.log(2) / 8, rel=1e-14)
    assert gradients[POLICY_LOGPS][0] == pytest.approx([0.125], rel=1e-14)


@pytest.mark.parametrize(("ours", "theirs"), [((0.0, 0.0), GradientAscent()), ((2.0, 0.0), WGA(beta=2.0))])
def test_its_limits_are_gradient_ascent_and_wga(evaluated_on_passes, ours, theirs):
    rows, labels = {POLICY_LOGPS: [np.array([-1.0, 0.0, -1e4])]}, {Split.FORGET: [np.zeros(3)]}
    found, expected = (
        evaluated_on_passes(loss, rows, labels) for loss in (SatImp(beta1=ours[0], beta2=ours[1]), theirs)
    )
    assert found[0] == expected[0]
    assert (found[1][POLICY_LOGPS][0] == expected[1][POLICY_LOGPS][0]).all()


def test_neither_certain_nor_forgotten_tokens_move(evaluated_on_passes):
    rows, labels = {POLICY_LOGPS: [np.array([0.0, -1e4, np.log(5 / 6)])]}, {Split.FORGET: [np.zeros(3)]}
    _, gradients = evaluated_on_passes(SatImp(), rows, labels)
    # p^5 (1 - p) is largest at p = 5/6.
    assert gradients[POLICY_LOGPS][0] == pytest.approx([0.0, 0.0, (5 / 6) ** 5 / 6 / 3], rel=1e-12)


@pytest.mark.parametrize("wrong", [{"beta1": -1.0}, {"beta2": float("nan")}])
def test_powers_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a finite number of at least 0"):
        SatImp(**wrong)
