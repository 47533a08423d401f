import numpy as np
import pytest

from retrain_equivalence.objectives.base import RETAIN_LOGPS
from retrain_equivalence.objectives.retain_nll import RetainNLL
from retrain_equivalence.recipes.passes import Needs, Split


def test_value_and_gradient_agree_with_the_formula(agrees_on_passes):
    agrees_on_passes(RetainNLL(), lambda drawn, labels: -np.concatenate(drawn[RETAIN_LOGPS]).mean())


def test_hand_arithmetic_weighs_tokens_not_rows(evaluated_on_passes):
    rows = [np.array([-1.0, -2.0, -3.0]), np.array([-6.0])]
    loss, gradients = evaluated_on_passes(RetainNLL(), {RETAIN_LOGPS: rows}, {Split.RETAIN: [np.zeros(3), np.zeros(1)]})
    assert loss == 3.0
    assert [list(row) for row in gradients[RETAIN_LOGPS]] == [[-0.25] * 3, [-0.25]]


def test_it_is_not_local():
    needs = Needs.of(RetainNLL.passes)
    assert needs.retain
    assert not needs.is_local
    assert needs.names() == ("forget", "retain")


def test_it_refuses_parameters():
    with pytest.raises(TypeError):
        RetainNLL(weight=2.0)  # weights live in `weighted_sum` alone
