import pytest

from retrain_equivalence.objectives.dpo import DPO
from retrain_equivalence.objectives.idk_dpo import IdkDPO


def test_it_is_dpo_and_nothing_else():
    (part,) = IdkDPO(beta=0.3).composed().parts
    assert part.objective == DPO(beta=0.3)
    assert part.weight == 1.0
    assert IdkDPO().composed().passes == DPO.passes


def test_a_beta_without_meaning_is_refused():
    with pytest.raises(ValueError, match="beta must be a finite number above 0"):
        IdkDPO(beta=0.0)
