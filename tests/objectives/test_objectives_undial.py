import math

import numpy as np
import pytest

from retrain_equivalence.objectives.base import POLICY_DISTRIBUTION, REFERENCE_DISTRIBUTION
from retrain_equivalence.objectives.undial import UNDIAL
from retrain_equivalence.recipes.passes import Needs, Split


def lowered(rows, ids, beta):
    logits = rows - beta * np.eye(rows.shape[1])[ids]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def cross_entropy(beta):
    """Mean over scored tokens of -sum q log p, q the reference with the target's logit lowered."""

    def formula(drawn, labels):
        terms = [
            -(lowered(r, ids, beta) * p).sum(axis=1)
            for p, r, ids in zip(
                drawn[POLICY_DISTRIBUTION], drawn[REFERENCE_DISTRIBUTION], labels[Split.FORGET], strict=True
            )
            if len(ids)
        ]
        return float(np.concatenate(terms).mean())

    return formula


@pytest.mark.parametrize("beta", [0.0, 2.0, 10.0])
def test_value_and_gradient_agree_with_the_formula(agrees_on_passes, beta):
    agrees_on_passes(UNDIAL(beta=beta), cross_entropy(beta))


def test_hand_arithmetic(evaluated_on_passes):
    drawn = {REFERENCE_DISTRIBUTION: [np.log([[0.5, 0.5]])], POLICY_DISTRIBUTION: [np.log([[0.5, 0.5]])]}
    loss, gradients = evaluated_on_passes(UNDIAL(beta=math.log(3)), drawn, {Split.FORGET: [np.zeros(1, dtype=int)]})
    assert loss == pytest.approx(math.log(2), rel=1e-14)
    assert gradients[POLICY_DISTRIBUTION][0][0] == pytest.approx([-0.25, -0.75], rel=1e-14)


def test_without_lowering_nothing_moves_at_the_start():
    import torch

    from retrain_equivalence.objectives.base import Observed, Seen

    logits = torch.randn(1, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask, ids = torch.ones(1, 2).bool(), torch.tensor([[1, 3]])
    seen = Observed(values_BT=logits.log_softmax(-1), mask_BT=mask, targets_BT=ids)
    observed = {POLICY_DISTRIBUTION: seen, REFERENCE_DISTRIBUTION: seen}
    for beta, moves in ((0.0, False), (5.0, True)):
        total = UNDIAL(beta=beta)(Seen(observed, declared=UNDIAL.passes)).total
        (gradient,) = torch.autograd.grad(total, logits, retain_graph=True)
        assert bool(gradient.abs().max() > 1e-12) == moves


def test_it_is_local_with_a_reference():
    needs = Needs.of(UNDIAL.passes)
    assert needs.is_local
    assert needs.names() == ("forget", "reference")


def test_a_negative_beta_is_refused():
    with pytest.raises(ValueError, match="beta must be a finite number of at least 0"):
        UNDIAL(beta=-1.0)


@pytest.mark.parametrize("beta", [0.0, 2.0, 10.0])
def test_the_lowered_reference_is_the_fixed_point(beta):
    """There the gradient in the logits vanishes and the value is the target's entropy; elsewhere it is more."""
    import torch
    from scipy.stats import entropy

    from retrain_equivalence.objectives.base import Observed, Seen

    reference = torch.randn(1, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    mask, ids = torch.ones(1, 2).bool(), torch.tensor([[1, 3]])
    q = lowered(reference[0].numpy(), ids[0].numpy(), beta)

    def at(logits):
        logits = logits.clone().requires_grad_()
        observed = {
            POLICY_DISTRIBUTION: Observed(values_BT=logits.log_softmax(-1), mask_BT=mask, targets_BT=ids),
            REFERENCE_DISTRIBUTION: Observed(values_BT=reference.log_softmax(-1), mask_BT=mask, targets_BT=ids),
        }
        total = UNDIAL(beta=beta)(Seen(observed, declared=UNDIAL.passes)).total
        (gradient,) = torch.autograd.grad(total, logits)
        return float(total.detach()), gradient

    fixed = torch.from_numpy(np.log(q)).unsqueeze(0)
    least, gradient = at(fixed)
    assert least == pytest.approx(sum(entropy(row) for row in q), rel=1e-12)
    assert float(gradient.abs().max()) < 1e-14
    moved, gradient = at(fixed + torch.tensor([0.1, 0.0, 0.0, 0.0, 0.0]))
    assert moved > least
    assert float(gradient.abs().max()) > 1e-3


def test_extreme_ratios_are_exact(evaluated_on_passes):
    flat, sharp = [np.full((1, 3), -math.log(3))], [np.array([[0.0, -1e4, -1e4]])]
    drawn, labels = {REFERENCE_DISTRIBUTION: flat, POLICY_DISTRIBUTION: sharp}, {Split.FORGET: [np.zeros(1, dtype=int)]}
    loss, gradients = evaluated_on_passes(UNDIAL(beta=1e4), drawn, labels)
    assert loss == pytest.approx(1e4, rel=1e-14)
    assert gradients[POLICY_DISTRIBUTION][0][0] == pytest.approx([0.0, -0.5, -0.5], rel=1e-14)
