"""Peers' forms under names of their own: each agrees with its formula and differs from its namesake as it says."""

import math

import numpy as np
import pytest
from scipy.special import log_expit

from retrain_equivalence.objectives.base import POLICY_LOGPS, PREFERRED_LOGPS, REFERENCE_LOGPS
from retrain_equivalence.objectives.dpo import DPO, PREFERRED_REFERENCE_LOGPS
from retrain_equivalence.objectives.dpo_as_in_tofu import DPOAsInTOFU
from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.objectives.npo_as_in_muse import POLICY_LOGITS, REFERENCE_LOGITS, NPOAsInMUSE
from retrain_equivalence.objectives.npo_per_token import NPOPerToken
from retrain_equivalence.objectives.simnpo import SimNPO
from retrain_equivalence.objectives.simnpo_as_in_muse import SimNPOAsInMUSE
from retrain_equivalence.objectives.simnpo_as_in_open_unlearning import SimNPOAsInOpenUnlearning
from retrain_equivalence.recipes.passes import Split


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_npo_as_in_muse(agrees_on_passes, beta):
    def formula(drawn, labels):
        z, r = np.concatenate(drawn[POLICY_LOGITS]), np.concatenate(drawn[REFERENCE_LOGITS])
        return float(-2 / beta * log_expit(beta * (r - z)).mean())

    agrees_on_passes(NPOAsInMUSE(beta=beta), formula)


@pytest.mark.parametrize(("beta", "gamma"), [(0.7, 0.0), (2.0, 1.5)])
def test_simnpo_as_in_muse(agrees_on_passes, beta, gamma):
    def formula(drawn, labels):
        return float(-2 / beta * log_expit(beta * (-np.concatenate(drawn[POLICY_LOGITS]) - gamma)).mean())

    agrees_on_passes(SimNPOAsInMUSE(beta=beta, gamma=gamma), formula)


def test_both_move_with_a_constant_that_no_probability_sees(evaluated_on_passes):
    logits, labels = np.array([[1.0, -2.0, 0.5]]), {Split.FORGET: [np.zeros(1)]}
    reference = {REFERENCE_LOGITS: [np.zeros((1, 3))]}
    for loss, more in ((NPOAsInMUSE(), reference), (SimNPOAsInMUSE(), {})):
        one, two = (evaluated_on_passes(loss, {POLICY_LOGITS: [logits + c], **more}, labels)[0] for c in (0.0, 3.0))
        assert abs(one - two) > 1.0


@pytest.mark.parametrize("beta", [0.1, 1.0, 5.0])
def test_npo_per_token(agrees_on_passes, beta):
    def formula(drawn, labels):
        rows = [(p, r) for p, r in zip(drawn[POLICY_LOGPS], drawn[REFERENCE_LOGPS], strict=True) if len(p)]
        return float(np.mean([-2 / beta * log_expit(beta * (r.mean() - p.mean())) for p, r in rows]))

    agrees_on_passes(NPOPerToken(beta=beta), formula)


def test_npo_per_token_is_npo_for_rows_of_one_token(evaluated_on_passes):
    drawn = {POLICY_LOGPS: [np.array([-3.0]), np.array([-0.5])], REFERENCE_LOGPS: [np.array([-1.0]), np.array([-2.0])]}
    labels = {Split.FORGET: [np.zeros(1), np.zeros(1)]}
    one, two = (evaluated_on_passes(loss, drawn, labels)[0] for loss in (NPOPerToken(beta=0.7), NPO(beta=0.7)))
    assert one == pytest.approx(two, rel=1e-14)


@pytest.mark.parametrize(("beta", "delta"), [(4.5, 0.0), (2.0, 0.7), (0.5, -1.0)])
def test_simnpo_as_in_open_unlearning_is_simnpo_with_gamma_beta_delta(
    agrees_on_passes, evaluated_on_passes, beta, delta
):
    def formula(drawn, labels):
        rows = [p for p in drawn[POLICY_LOGPS] if len(p)]
        return float(np.mean([-2 / beta * log_expit(beta * (-p.mean() - delta)) for p in rows]))

    theirs = SimNPOAsInOpenUnlearning(beta=beta, delta=delta)
    agrees_on_passes(theirs, formula)
    drawn, labels = (
        {POLICY_LOGPS: [np.array([-1.0, -4.0]), np.array([-0.1])]},
        {Split.FORGET: [np.zeros(2), np.zeros(1)]},
    )
    ours = SimNPO(beta=beta, gamma=beta * delta)
    assert evaluated_on_passes(theirs, drawn, labels)[0] == pytest.approx(
        evaluated_on_passes(ours, drawn, labels)[0], rel=1e-13
    )


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_dpo_as_in_tofu_is_dpo_times_half_beta(agrees_on_passes, evaluated_on_passes, beta):
    def formula(drawn, labels):
        sides = (POLICY_LOGPS, REFERENCE_LOGPS, PREFERRED_LOGPS, PREFERRED_REFERENCE_LOGPS)
        rows = [row for row in zip(*(drawn[side] for side in sides), strict=True) if len(row[0])]
        margins = [(w.sum() - wr.sum()) - (y.sum() - yr.sum()) for y, yr, w, wr in rows]
        return float(-log_expit(beta * np.array(margins)).mean())

    agrees_on_passes(DPOAsInTOFU(beta=beta), formula)
    drawn = {asked: [np.array([-1.0 - i])] for i, asked in enumerate(DPO.passes)}
    labels = {Split.FORGET: [np.zeros(1)], Split.PREFERRED: [np.zeros(1)]}
    one, two = (evaluated_on_passes(kind(beta=beta), drawn, labels)[0] for kind in (DPOAsInTOFU, DPO))
    assert one == pytest.approx(two * beta / 2, rel=1e-14)


@pytest.mark.parametrize("kind", [NPOAsInMUSE, SimNPOAsInMUSE, NPOPerToken, SimNPOAsInOpenUnlearning, DPOAsInTOFU])
def test_a_beta_without_meaning_is_refused(kind):
    with pytest.raises(ValueError, match="beta must be a finite number above 0"):
        kind(beta=0.0)


@pytest.mark.parametrize(
    "make", [lambda: SimNPOAsInMUSE(gamma=math.inf), lambda: SimNPOAsInOpenUnlearning(delta=math.nan)]
)
def test_a_margin_without_meaning_is_refused(make):
    with pytest.raises(ValueError, match="must be finite"):
        make()
