import math

import pytest
import torch

from retrain_equivalence.objectives.base import POLICY_DISTRIBUTION, RETAIN_LOGPS, Observed, Seen
from retrain_equivalence.objectives.flat_logits import FlatLogits
from retrain_equivalence.objectives.pdu import PDU
from retrain_equivalence.objectives.retain_nll import RetainNLL
from retrain_equivalence.objectives.weighted_sum import Dual
from retrain_equivalence.recipes.passes import Needs


def losses_of(composed, logits):
    """The two parts' losses on one forget token and one retain token, the first, both predicted by the same logits."""
    mask, ids = torch.ones(1, 1).bool(), torch.zeros(1, 1, dtype=torch.int64)
    logp = logits.log_softmax(-1)
    observed = {
        POLICY_DISTRIBUTION: Observed(values_BT=logp, mask_BT=mask, targets_BT=ids),
        RETAIN_LOGPS: Observed(values_BT=logp[..., 0], mask_BT=mask),
    }
    seen = Seen(observed, declared=composed.passes)
    return [part.objective(seen).total for part in composed.parts]


def test_it_is_flattening_plus_a_retain_loss_with_a_dual_weight():
    forget, retain = PDU(retain_bound=2.5, dual_start=3.0, dual_rate=0.5).composed().parts
    assert (forget.objective, forget.weight) == (FlatLogits(), 1.0)
    assert (retain.objective, retain.weight) == (RetainNLL(), Dual(start=3.0, rate=0.5, bound=2.5))
    needs = Needs.of(PDU(retain_bound=2.5).composed().passes)
    assert needs.names() == ("forget", "retain")
    assert not needs.is_local


def test_one_step_by_hand():
    """p = (1/2, 1/4, 1/4): flat (2/3 ln 2)², retain ln 2; λ = 1, η = 2, ε = 0 gives λ = 1 + 2 ln 2."""
    composed = PDU(retain_bound=0.0, dual_start=1.0, dual_rate=2.0).composed()
    logits = torch.tensor([[[0.5, 0.25, 0.25]]], dtype=torch.float64).log()
    losses = [float(loss) for loss in losses_of(composed, logits)]
    assert losses == pytest.approx([(2 / 3 * math.log(2)) ** 2, math.log(2)], rel=1e-14)
    memory = composed.init(seed=0, width=1)
    assert composed.weights(memory) == (1.0, 1.0)
    assert composed.weights(composed.after_step(memory, losses)) == pytest.approx((1.0, 1 + 2 * math.log(2)))
    assert composed.weights(memory) == (1.0, 1.0)  # the state of the step before is left alone


def test_it_settles_where_the_retain_loss_is_the_bound():
    """Logits (a, 0, 0): flat (2a/3)², retain ln(1 + 2e^-a) <= ln 2; so a = ln 2, and λ = (8a/9) / (1/2) = 16/9 ln 2."""
    composed = PDU(retain_bound=math.log(2), dual_start=0.0, dual_rate=0.1).composed()
    logits = torch.tensor([[[2.0, 0.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    memory = composed.init(seed=0, width=1)
    for _ in range(1500):
        losses = losses_of(composed, logits)
        loss = sum(w * part for w, part in zip(composed.weights(memory), losses, strict=True))
        (gradient,) = torch.autograd.grad(loss, logits)
        with torch.no_grad():
            logits -= 0.1 * gradient
        memory = composed.after_step(memory, [float(part.detach()) for part in losses])
    p = logits.detach().softmax(-1)
    torch.testing.assert_close(p, torch.tensor([[[0.5, 0.25, 0.25]]], dtype=torch.float64), rtol=0, atol=1e-6)
    assert composed.weights(memory)[1] == pytest.approx(16 / 9 * math.log(2), abs=1e-6)


def test_a_bound_that_is_met_leaves_flattening_alone():
    composed = PDU(retain_bound=5.0, dual_start=0.0).composed()
    memory = composed.init(seed=0, width=1)
    assert composed.weights(composed.after_step(memory, (40.0, 4.9))) == (1.0, 0.0)


def test_the_bound_has_no_default():
    with pytest.raises(TypeError, match="retain_bound"):
        PDU()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"retain_bound": float("nan")}, "bound must be finite, found nan"),
        ({"retain_bound": 1.0, "dual_rate": -0.5}, "rate must be a finite number above 0, found -0.5"),
        ({"retain_bound": 1.0, "dual_start": float("inf")}, "start must be a finite number of at least 0, found inf"),
    ],
)
def test_parameters_without_meaning_are_refused_where_they_are_given(parameters, said):
    with pytest.raises(ValueError, match=said):
        PDU(**parameters)
