import math

import numpy as np
import pytest

from retrain_equivalence.objectives.npo import NPO
from retrain_equivalence.objectives.simnpo_sequence import SimNPOSequence


def stated(beta):
    """-(2/beta) mean_b log sigma(-beta log pi(y|x))."""

    def formula(policy, reference):
        terms = [2 / beta * np.logaddexp(0.0, beta * p.sum()) for p in policy if len(p)]
        return sum(terms) / len(terms)

    return formula


@pytest.mark.parametrize("beta", [1.0, 0.25])
def test_value_and_gradient_agree_with_the_formula(agrees, beta):
    agrees(SimNPOSequence(beta=beta), stated(beta))


def test_it_is_npo_with_a_reference_that_is_certain(evaluated):
    rows = [np.array([-0.5, -0.25]), np.array([-1.0])]
    certain = [np.zeros(2), np.zeros(1)]
    loss, gradient = evaluated(SimNPOSequence(beta=0.5), rows, certain)
    same, same_gradient = evaluated(NPO(beta=0.5), rows, certain)
    assert loss == pytest.approx(same, rel=1e-15)
    assert np.concatenate(gradient) == pytest.approx(np.concatenate(same_gradient), rel=1e-15)


def test_the_gradient_weight_vanishes_with_the_sequence_probability(evaluated):
    for nll in (0.5, 5.0, 25.0):
        _, gradient = evaluated(SimNPOSequence(), [np.full(5, -nll / 5)], [np.zeros(5)])
        assert gradient[0] == pytest.approx([2 * math.exp(-nll) / (1 + math.exp(-nll))] * 5, rel=1e-12)
