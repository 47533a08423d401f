import math

import numpy as np
import pytest
from scipy.stats import entropy

from retrain_equivalence.objectives.base import POLICY_DISTRIBUTION
from retrain_equivalence.objectives.uniform import Uniform
from retrain_equivalence.recipes.passes import Needs, Split


def from_uniform(drawn, labels):
    """Mean over tokens of KL(U || p), by scipy."""
    rows = np.concatenate(drawn[POLICY_DISTRIBUTION])
    flat = np.full(rows.shape[1], 1 / rows.shape[1])
    return float(np.mean([entropy(flat, np.exp(row)) for row in rows]))


def written_out(drawn, labels, base):
    rows = np.concatenate(drawn[POLICY_DISTRIBUTION])
    return float((-rows.mean(axis=1) - math.log(rows.shape[1])).mean())


def test_value_and_gradient_agree_with_the_formula(agrees_on_passes):
    agrees_on_passes(Uniform(), from_uniform, surrogate=written_out)


def test_hand_arithmetic_and_the_minimum(evaluated_on_passes):
    labels = {Split.FORGET: [np.zeros(1)]}
    loss, _ = evaluated_on_passes(Uniform(), {POLICY_DISTRIBUTION: [np.log([[0.25, 0.75]])]}, labels)
    assert loss == pytest.approx(0.5 * math.log(4 / 3), rel=1e-13)
    least, _ = evaluated_on_passes(Uniform(), {POLICY_DISTRIBUTION: [np.log(np.full((1, 8), 1 / 8))]}, labels)
    assert least == pytest.approx(0.0, abs=1e-15)


def test_the_gradient_in_the_logits_is_p_minus_u():
    import torch

    from retrain_equivalence.objectives.base import Observed, Seen

    logits = torch.randn(1, 1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    seen = Observed(values_BT=logits.log_softmax(-1), mask_BT=torch.ones(1, 1).bool())
    total = Uniform()(Seen({POLICY_DISTRIBUTION: seen}, declared=Uniform.passes)).total
    (gradient,) = torch.autograd.grad(total, logits)
    torch.testing.assert_close(gradient, logits.detach().softmax(-1) - 0.2)


def test_it_is_local():
    assert Needs.of(Uniform.passes).is_local


def test_extreme_ratios_are_exact(evaluated_on_passes):
    drawn = {POLICY_DISTRIBUTION: [np.array([[0.0, -1e4, -1e4]])]}
    loss, gradients = evaluated_on_passes(Uniform(), drawn, {Split.FORGET: [np.zeros(1)]})
    assert loss == pytest.approx(2e4 / 3 - math.log(3), rel=1e-14)
    assert gradients[POLICY_DISTRIBUTION][0][0] == pytest.approx([-1 / 3] * 3, rel=1e-14)
