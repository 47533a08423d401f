import math

import numpy as np
import pytest

from retrain_equivalence.objectives.simnpo import SimNPO


def published(beta, gamma):
    """-(2/beta) mean_b log sigma(-(beta/|y|) log pi - gamma)."""

    def formula(policy, reference):
        terms = [2 / beta * np.logaddexp(0.0, beta / len(p) * p.sum() + gamma) for p in policy if len(p)]
        return sum(terms) / len(terms)

    return formula


def open_unlearning(beta, delta):
    """-(2/beta) mean_b log sigma(beta (S_b/n_b - delta))."""

    def formula(policy, reference):
        terms = [-2 / beta * math.log(1 / (1 + math.exp(-beta * (-p.mean() - delta)))) for p in policy if len(p)]
        return sum(terms) / len(terms)

    return formula


@pytest.mark.parametrize(("beta", "gamma"), [(4.5, 0.0), (2.5, 0.0), (0.7, 0.3), (1.0, -0.5)])
def test_value_and_gradient_agree_with_the_published_formula(agrees, beta, gamma):
    agrees(SimNPO(beta=beta, gamma=gamma), published(beta, gamma))


def test_it_is_open_unlearnings_with_delta_gamma_over_beta(evaluated):
    rng = np.random.default_rng(5)
    for _ in range(50):
        beta, gamma = rng.uniform(0.5, 5.0), rng.uniform(-1.0, 1.0)
        policy = [-rng.exponential(1.0, size=n) for n in (1, 4, 6)]
        loss, _ = evaluated(SimNPO(beta=beta, gamma=gamma), policy, policy)
        assert loss == pytest.approx(open_unlearning(beta, gamma / beta)(policy, policy), rel=1e-12)


def test_hand_arithmetic(evaluated):
    # Mean NLL (ln 3 + 3 ln 3) / 2 = 2 ln 3, beta 1, gamma ln 3: sigma(ln 3) = 3/4; weight 2 (1/4) / 2 tokens.
    loss, gradient = evaluated(
        SimNPO(beta=1.0, gamma=math.log(3)), [np.array([-1.0, -3.0]) * math.log(3)], [np.zeros(2)]
    )
    assert loss == pytest.approx(2 * math.log(4 / 3), rel=1e-14)
    assert gradient[0] == pytest.approx([0.25, 0.25], rel=1e-14)


def test_a_row_written_twice_over_has_the_same_loss(evaluated):
    row = np.array([-0.5, -2.0, -1.0])
    once, _ = evaluated(SimNPO(), [row], [row])
    twice, _ = evaluated(SimNPO(), [np.tile(row, 2)], [np.tile(row, 2)])
    assert once == pytest.approx(twice, rel=1e-14)


def test_a_margin_without_meaning_is_refused():
    with pytest.raises(ValueError, match="gamma must be finite"):
        SimNPO(gamma=float("nan"))
