"""The package's common suite, and what is special about this loss: it stops at its floor."""

import pytest
import torch
from bounded_ascent import BoundedAscent

from retrain_equivalence.objectives.base import POLICY_LOGPS, Observed, Seen
from retrain_equivalence.testing import check_objective


@pytest.mark.parametrize("nats", [0.5, 6.0])
def test_it_passes_the_common_suite(nats: float) -> None:
    check_objective(BoundedAscent(nats=nats))


def test_the_gradient_is_that_of_ascent_above_the_floor_and_zero_below() -> None:
    logps_BT = torch.tensor([[-1.0, -7.0, -3.0]], dtype=torch.float64, requires_grad=True)
    observed = Observed(values_BT=logps_BT, mask_BT=torch.tensor([[True, True, False]]))
    terms = BoundedAscent(nats=6.0)(Seen({POLICY_LOGPS: observed}, declared=BoundedAscent.passes))
    terms.total.backward()
    assert (terms.total.item(), terms.count) == (5.0, 2)
    assert logps_BT.grad is not None
    assert logps_BT.grad.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("nats", [0.0, -1.0, float("inf"), float("nan")])
def test_a_floor_that_is_none_is_refused(nats: float) -> None:
    with pytest.raises(ValueError, match="nats must be a finite number above 0"):
        BoundedAscent(nats=nats)
