import math

import numpy as np
import pytest

from retrain_equivalence.objectives.ga import GradientAscent
from retrain_equivalence.objectives.npo import NPO


def npo(beta):
    """-(2/beta) mean_b log sigma(beta (S_b - S_b^ref)) over the rows that have a target, term by term."""

    def formula(policy, reference):
        terms = [
            2 / beta * np.logaddexp(0.0, -beta * (r.sum() - p.sum()))
            for p, r in zip(policy, reference, strict=True)
            if len(p)
        ]
        return sum(terms) / len(terms)

    return formula


@pytest.mark.parametrize("beta", [0.1, 0.5, 3.0])
def test_value_and_gradient_agree_with_the_formula(agrees, beta):
    agrees(NPO(beta=beta), npo(beta))


def test_hand_arithmetic(evaluated):
    # The row is three times less likely than under the reference: sigma(ln 3) = 3/4, loss 2 ln(4/3), weight 2 (1/4).
    loss, gradient = evaluated(NPO(beta=1.0), [np.array([-math.log(6.0), -1.0])], [np.array([-math.log(2.0), -1.0])])
    assert loss == pytest.approx(2 * math.log(4 / 3), rel=1e-14)
    assert gradient[0] == pytest.approx([0.5, 0.5], rel=1e-14)


def test_the_gradient_weight_is_that_of_the_paper(evaluated):
    rng = np.random.default_rng(3)
    beta = 0.7
    for _ in range(50):
        policy, reference = [-rng.exponential(1.0, size=4)], [-rng.exponential(1.0, size=4)]
        _, gradient = evaluated(NPO(beta=beta), policy, reference)
        likely, before = math.exp(policy[0].sum()) ** beta, math.exp(reference[0].sum()) ** beta
        assert gradient[0] == pytest.approx([2 * likely / (likely + before)] * 4, rel=1e-12)


def test_small_beta_approaches_gradient_ascent_up_to_normalisation(evaluated):
    rng = np.random.default_rng(4)
    policy = [-rng.exponential(1.0, size=n) for n in (2, 5, 3)]
    reference = [-rng.exponential(1.0, size=n) for n in (2, 5, 3)]
    _, ascent = evaluated(GradientAscent(), policy, reference)
    errors = []
    for beta in (1e-1, 1e-3, 1e-5):
        _, gradient = evaluated(NPO(beta=beta), policy, reference)
        # Ours is a mean over 3 sequences, gradient ascent's over 10 tokens.
        errors.append(max(np.abs(g * 3 - a * 10).max() for g, a in zip(gradient, ascent, strict=True)))
    # First order in beta, with |S - S_ref| / 2 as its constant, measured at 1.27.
    assert errors[0] > 1e-2
    assert errors[1] < 2e-3
    assert errors[2] < 2e-5


def test_extreme_ratios_are_exact(evaluated):
    loss, gradient = evaluated(NPO(beta=0.1), [np.array([0.0])], [np.array([-1e4])])
    assert loss == pytest.approx(20 * 1000, rel=1e-15)
    assert gradient[0][0] == pytest.approx(2.0, rel=1e-15)
    loss, gradient = evaluated(NPO(beta=0.1), [np.array([-1e4])], [np.array([0.0])])
    assert 0 <= loss < 1e-300
    assert 0 <= gradient[0][0] < 1e-300


def test_at_the_reference_the_loss_is_two_log_two_over_beta(evaluated):
    rows = [np.array([-1.0, -2.0]), np.array([-3.0])]
    loss, gradient = evaluated(NPO(), rows, rows)
    assert loss == pytest.approx(20 * math.log(2), rel=1e-15)
    assert all(row == pytest.approx(0.5, rel=1e-15) for row in np.concatenate(gradient))


@pytest.mark.parametrize("beta", [0.0, -1.0, float("inf"), float("nan")])
def test_a_beta_without_meaning_is_refused(beta):
    with pytest.raises(ValueError, match="beta must be a finite number above 0"):
        NPO(beta=beta)
