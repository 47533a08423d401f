import numpy as np

from retrain_equivalence.objectives.base import PREFERRED_LOGPS
from retrain_equivalence.objectives.idk import IDK
from retrain_equivalence.objectives.idk_dpo import IdkDPO
from retrain_equivalence.recipes.passes import Split


def test_value_and_gradient_agree_with_the_formula(agrees_on_passes):
    agrees_on_passes(IDK(), lambda drawn, labels: -np.concatenate(drawn[PREFERRED_LOGPS]).mean())


def test_hand_arithmetic(evaluated_on_passes):
    rows = {PREFERRED_LOGPS: [np.array([-1.0, -3.0]), np.array([-5.0])]}
    loss, gradients = evaluated_on_passes(IDK(), rows, {Split.PREFERRED: [np.zeros(2), np.zeros(1)]})
    assert loss == 3.0
    assert np.allclose(np.concatenate(gradients[PREFERRED_LOGPS]), -1 / 3)


def test_it_reads_no_forget_answer():
    assert {asked.split for asked in IDK.passes} == {Split.PREFERRED}


def test_both_bring_their_own_answers():
    assert IDK.answers == IdkDPO.answers == "idk"
