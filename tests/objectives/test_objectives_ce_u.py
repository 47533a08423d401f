import math

import numpy as np
import pytest
import torch

from retrain_equivalence.objectives.base import POLICY_DISTRIBUTION, Observed, Seen
from retrain_equivalence.objectives.ce_u import CEU
from retrain_equivalence.recipes.passes import Split


def struck_out(rows, ids):
    p = np.exp(rows)
    p[np.arange(len(ids)), ids] = 0.0
    return p / p.sum(axis=1, keepdims=True)


def cross_entropy(drawn, labels, base=None):
    held = drawn if base is None else base
    rows = zip(drawn[POLICY_DISTRIBUTION], held[POLICY_DISTRIBUTION], labels[Split.FORGET], strict=True)
    terms = [-(struck_out(h, ids) * p).sum(axis=1) for p, h, ids in rows if len(ids)]
    return float(np.concatenate(terms).mean())


def test_value_and_gradient_agree_with_the_formula(agrees_on_passes):
    agrees_on_passes(CEU(), cross_entropy, surrogate=cross_entropy)


def test_hand_arithmetic(evaluated_on_passes):
    drawn = {POLICY_DISTRIBUTION: [np.log([[0.5, 0.25, 0.25]])]}
    loss, gradients = evaluated_on_passes(CEU(), drawn, {Split.FORGET: [np.zeros(1, dtype=int)]})
    assert loss == pytest.approx(math.log(4), rel=1e-14)
    assert gradients[POLICY_DISTRIBUTION][0][0] == pytest.approx([0.0, -0.5, -0.5], rel=1e-14)


def test_the_gradient_in_the_logits_lowers_the_target_alone():
    logits = torch.randn(1, 1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).requires_grad_()
    ids = torch.tensor([[2]])
    seen = Observed(values_BT=logits.log_softmax(-1), mask_BT=torch.ones(1, 1).bool(), targets_BT=ids)
    total = CEU()(Seen({POLICY_DISTRIBUTION: seen}, declared=CEU.passes)).total
    (gradient,) = torch.autograd.grad(total, logits)
    p = logits.detach().softmax(-1)[0, 0]
    expected = p - p.where(torch.arange(6) != 2, 0.0) / (1 - p[2])
    torch.testing.assert_close(gradient[0, 0], expected)
    assert float(gradient[0, 0, 2]) == pytest.approx(float(p[2]))
    assert bool((gradient[0, 0][torch.arange(6) != 2] < 0).all())


def test_a_certain_target_leaves_the_others_in_their_proportions(evaluated_on_passes):
    """At p_y = 1 - 1e-300 the difference 1 - p_y is 0 in float64; the proportions of the rest are not."""
    row = np.array([[0.0, -700.0, -700.0 + math.log(3)]])
    loss, gradients = evaluated_on_passes(CEU(), {POLICY_DISTRIBUTION: [row]}, {Split.FORGET: [np.zeros(1, dtype=int)]})
    assert loss == pytest.approx(700 - 0.75 * math.log(3), rel=1e-14)
    assert gradients[POLICY_DISTRIBUTION][0][0] == pytest.approx([0.0, -0.25, -0.75], rel=1e-12)
