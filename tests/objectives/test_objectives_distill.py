import math

import numpy as np
import pytest
from scipy.special import rel_entr

from retrain_equivalence.objectives.base import POLICY_DISTRIBUTION, TEACHER_DISTRIBUTION
from retrain_equivalence.objectives.distill import Distill
from retrain_equivalence.recipes.passes import Needs, Split


def lowered(rows, ids, beta):
    """softmax(z - beta onehot(y)), in probabilities: the target's odds divided by e^beta."""
    p = np.exp(rows)
    p[np.arange(len(ids)), ids] *= math.exp(-beta)
    return p / p.sum(axis=1, keepdims=True)


def target(drawn, labels, beta):
    pairs = zip(drawn[TEACHER_DISTRIBUTION], labels[Split.FORGET], strict=True)
    return np.concatenate([lowered(rows, ids, beta) for rows, ids in pairs if len(ids)])


def distance(beta):
    def formula(drawn, labels):
        q, p = target(drawn, labels, beta), np.exp(np.concatenate(drawn[POLICY_DISTRIBUTION]))
        return float(rel_entr(q, p).sum(axis=1).mean())

    return formula


def written_out(beta):
    def formula(drawn, labels, base):
        q, logp = target(drawn, labels, beta), np.concatenate(drawn[POLICY_DISTRIBUTION])
        return float((q * (np.log(q) - logp)).sum(axis=1).mean())

    return formula


@pytest.mark.parametrize("beta", [0.0, 1.0, 10.0])
def test_value_and_gradient_agree_with_the_formula(agrees_on_passes, beta):
    agrees_on_passes(Distill(beta=beta), distance(beta), surrogate=written_out(beta))


def test_it_is_zero_where_the_policy_is_the_teacher(evaluated_on_passes):
    rows = [np.log([[0.2, 0.3, 0.5]])]
    same = {POLICY_DISTRIBUTION: rows, TEACHER_DISTRIBUTION: rows}
    loss, _ = evaluated_on_passes(Distill(), same, {Split.FORGET: [np.zeros(1)]})
    assert loss == 0.0


def test_hand_arithmetic(evaluated_on_passes):
    # beta = ln 3 turns (1/2, 1/2) with the first token as target into (1/4, 3/4).
    drawn = {TEACHER_DISTRIBUTION: [np.log([[0.5, 0.5]])], POLICY_DISTRIBUTION: [np.log([[0.25, 0.75]])]}
    loss, gradients = evaluated_on_passes(Distill(beta=math.log(3)), drawn, {Split.FORGET: [np.zeros(1, dtype=int)]})
    assert loss == pytest.approx(0.0, abs=1e-15)
    assert gradients[POLICY_DISTRIBUTION][0][0] == pytest.approx([-0.25, -0.75], rel=1e-14)


def test_it_needs_a_teacher_and_is_not_local():
    needs = Needs.of(Distill.passes)
    assert needs.names() == ("forget", "teacher")
    assert not needs.is_local


def test_a_negative_beta_is_refused():
    with pytest.raises(ValueError, match="beta must be a finite number of at least 0"):
        Distill(beta=-1.0)


@pytest.mark.parametrize("beta", [0.0, 3.0])
def test_the_gradient_in_the_logits_is_p_minus_q(beta):
    import torch

    from retrain_equivalence.objectives.base import Observed, Seen

    drawn = torch.randn(2, 1, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits, teacher = drawn[0].requires_grad_(), drawn[1].log_softmax(-1)
    mask, ids = torch.ones(1, 2).bool(), torch.tensor([[1, 3]])
    observed = {
        POLICY_DISTRIBUTION: Observed(values_BT=logits.log_softmax(-1), mask_BT=mask, targets_BT=ids),
        TEACHER_DISTRIBUTION: Observed(values_BT=teacher, mask_BT=mask, targets_BT=ids),
    }
    total = Distill(beta=beta)(Seen(observed, declared=Distill.passes)).total
    (gradient,) = torch.autograd.grad(total, logits)
    q = torch.from_numpy(lowered(teacher[0].numpy(), ids[0].numpy(), beta))
    torch.testing.assert_close(gradient[0], logits.detach().softmax(-1)[0] - q)


def test_extreme_ratios_are_exact(evaluated_on_passes):
    flat, sharp = [np.full((1, 3), -math.log(3))], [np.array([[0.0, -1e4, -1e4]])]
    drawn, labels = {TEACHER_DISTRIBUTION: flat, POLICY_DISTRIBUTION: sharp}, {Split.FORGET: [np.zeros(1, dtype=int)]}
    assert evaluated_on_passes(Distill(), drawn, labels)[0] == pytest.approx(2e4 / 3 - math.log(3), rel=1e-14)
    loss, gradients = evaluated_on_passes(Distill(beta=1e4), drawn, labels)
    assert loss == pytest.approx(1e4 - math.log(2), rel=1e-14)
    assert gradients[POLICY_DISTRIBUTION][0][0] == pytest.approx([0.0, -0.5, -0.5], rel=1e-14)
