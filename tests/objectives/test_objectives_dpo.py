import math

import numpy as np
import pytest

from retrain_equivalence.objectives.base import POLICY_LOGPS, PREFERRED_LOGPS, REFERENCE_LOGPS
from retrain_equivalence.objectives.dpo import DPO, PREFERRED_REFERENCE_LOGPS
from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.recipes.passes import Needs, Split


def dpo(beta):
    """-(2/beta) mean_b log sigma(beta (Delta_w - Delta_l)) over the rows with a forget target, term by term."""

    def formula(drawn, labels):
        sides = (POLICY_LOGPS, REFERENCE_LOGPS, PREFERRED_LOGPS, PREFERRED_REFERENCE_LOGPS)
        rows = zip(*(drawn[side] for side in sides), strict=True)
        terms = [
            2 / beta * np.logaddexp(0.0, -beta * ((w.sum() - wr.sum()) - (y.sum() - yr.sum())))
            for y, yr, w, wr in rows
            if len(y)
        ]
        return sum(terms) / len(terms)

    return formula


def one_row(y, yr, w, wr):
    return {
        POLICY_LOGPS: [np.array([y])], REFERENCE_LOGPS: [np.array([yr])], PREFERRED_LOGPS: [np.array([w])],
        PREFERRED_REFERENCE_LOGPS: [np.array([wr])],
    }  # fmt: skip


LABELS = {Split.FORGET: [np.zeros(1)], Split.PREFERRED: [np.zeros(1)]}


@pytest.mark.parametrize("beta", [0.1, 0.5, 3.0])
def test_value_and_gradient_agree_with_the_formula(agrees_on_passes, beta):
    agrees_on_passes(DPO(beta=beta), dpo(beta))


def test_hand_arithmetic(evaluated_on_passes):
    # The preferred answer three times likelier against the reference, the forget answer as likely: sigma(ln 3) = 3/4.
    loss, gradients = evaluated_on_passes(DPO(beta=1.0), one_row(-1.0, -1.0, -2.0, -2.0 - math.log(3)), LABELS)
    assert loss == pytest.approx(2 * math.log(4 / 3), rel=1e-14)
    assert gradients[POLICY_LOGPS][0] == pytest.approx([0.5], rel=1e-14)
    assert gradients[PREFERRED_LOGPS][0] == pytest.approx([-0.5], rel=1e-14)


def test_without_its_preferred_side_it_is_npo(evaluated_on_passes):
    rng = np.random.default_rng(2)
    for _ in range(20):
        y, yr, w = -rng.exponential(2.0, size=3)
        ours, gradients = evaluated_on_passes(DPO(beta=0.7), one_row(y, yr, w, w), LABELS)
        theirs, expected = evaluated_on_passes(
            NPO(beta=0.7), {POLICY_LOGPS: [np.array([y])], REFERENCE_LOGPS: [np.array([yr])]}, LABELS
        )
        assert ours == pytest.approx(theirs, rel=1e-14)
        assert gradients[POLICY_LOGPS][0] == pytest.approx(expected[POLICY_LOGPS][0], rel=1e-13)


def test_extreme_ratios_are_exact(evaluated_on_passes):
    loss, gradients = evaluated_on_passes(DPO(beta=0.1), one_row(0.0, -1e4, -1.0, -1.0), LABELS)
    assert loss == pytest.approx(20 * 1000, rel=1e-15)
    assert gradients[POLICY_LOGPS][0][0] == pytest.approx(2.0, rel=1e-15)
    loss, gradients = evaluated_on_passes(DPO(beta=0.1), one_row(-1e4, 0.0, -1.0, -1.0), LABELS)
    assert 0 <= loss < 1e-300
    assert 0 <= gradients[POLICY_LOGPS][0][0] < 1e-300


def test_a_row_counts_by_its_forget_answer_alone(evaluated_on_passes):
    """Row 0 has no preferred target (Δ^w = 0), row 1 no forget target (no sequence): the loss is row 0's NPO."""
    none, y, yr, w = np.array([]), np.array([-1.0]), np.array([-3.0]), np.array([-4.0])
    drawn = {
        POLICY_LOGPS: [y, none], REFERENCE_LOGPS: [yr, none], PREFERRED_LOGPS: [none, w],
        PREFERRED_REFERENCE_LOGPS: [none, yr],
    }  # fmt: skip
    labels = {Split.FORGET: [np.zeros(1), none], Split.PREFERRED: [none, np.zeros(1)]}
    loss, gradients = evaluated_on_passes(DPO(beta=0.5), drawn, labels)
    assert loss == pytest.approx(4 * math.log1p(math.e), rel=1e-14)  # β Δ^l = 0.5 · 2 = 1
    assert gradients[POLICY_LOGPS][0] == pytest.approx([2 * math.e / (1 + math.e)], rel=1e-14)
    assert list(gradients[PREFERRED_LOGPS][1]) == [0.0]


def test_needs():
    assert Needs.of(DPO.passes).names() == ("forget", "reference", "preferred")


@pytest.mark.parametrize("beta", [0.0, -1.0, float("inf"), float("nan")])
def test_a_beta_without_meaning_is_refused(beta):
    with pytest.raises(ValueError, match="beta must be a finite number above 0"):
        DPO(beta=beta)
