import numpy as np

from retrain_equivalence.objectives.ga import GradientAscent
from retrain_equivalence.objectives.nll import NLL


def test_value_and_gradient_agree_with_the_formula(agrees):
    agrees(GradientAscent(), lambda policy, reference: np.concatenate(policy).mean())


def test_it_is_nll_with_the_sign_turned(evaluated):
    rows = [np.array([-1.5, -0.25]), np.array([-4.0])]
    loss, gradient = evaluated(GradientAscent(), rows, rows)
    opposite, opposite_gradient = evaluated(NLL(), rows, rows)
    assert loss == -opposite == -1.9166666666666667
    assert all((a == -b).all() for a, b in zip(gradient, opposite_gradient, strict=True))
