import math

import numpy as np
import pytest
import torch

from retrain_equivalence.objectives.base import POLICY_DISTRIBUTION, Observed, Seen
from retrain_equivalence.objectives.flat_logits import FlatLogits
from retrain_equivalence.recipes.passes import Split


def flattening(drawn, labels):
    rows = np.concatenate(drawn[POLICY_DISTRIBUTION])
    return float(((rows.max(axis=1) - rows.mean(axis=1)) ** 2).mean())


def test_value_and_gradient_agree_with_the_formula(agrees_on_passes):
    agrees_on_passes(FlatLogits(), flattening)


def test_hand_arithmetic(evaluated_on_passes):
    drawn, labels = {POLICY_DISTRIBUTION: [np.log([[0.25, 0.75]])]}, {Split.FORGET: [np.zeros(1)]}
    loss, gradients = evaluated_on_passes(FlatLogits(), drawn, labels)
    half = 0.5 * math.log(3)
    assert loss == pytest.approx(half**2, rel=1e-13)
    assert gradients[POLICY_DISTRIBUTION][0][0] == pytest.approx([-half, half], rel=1e-13)


def test_a_constant_added_to_the_logits_cancels():
    logits = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 3).bool()

    def loss(values):
        return float(FlatLogits()(Seen({POLICY_DISTRIBUTION: Observed(values_BT=values, mask_BT=mask)},
                                       declared=FlatLogits.passes)).total)  # fmt: skip

    assert loss(logits.log_softmax(-1)) == pytest.approx(loss(logits + 17.0), rel=1e-12)


def test_it_is_zero_at_the_uniform_distribution(evaluated_on_passes):
    drawn, labels = {POLICY_DISTRIBUTION: [np.log(np.full((1, 4), 0.25))]}, {Split.FORGET: [np.zeros(1)]}
    assert evaluated_on_passes(FlatLogits(), drawn, labels)[0] == 0.0


def test_extreme_ratios_are_exact(evaluated_on_passes):
    drawn, labels = {POLICY_DISTRIBUTION: [np.array([[0.0, -1e4, -1e4]])]}, {Split.FORGET: [np.zeros(1)]}
    loss, gradients = evaluated_on_passes(FlatLogits(), drawn, labels)
    assert loss == pytest.approx(4e8 / 9, rel=1e-14)
    assert gradients[POLICY_DISTRIBUTION][0][0] == pytest.approx([8e4 / 9, -4e4 / 9, -4e4 / 9], rel=1e-14)
