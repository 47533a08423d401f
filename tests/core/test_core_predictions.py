from __future__ import annotations

from retrain_equivalence.core.predictions import PREDICTED, Prediction
from retrain_equivalence.objectives.catalogue import OBJECTIVES
from retrain_equivalence.theory.method_table import METHODS

ALSO = {
    "distillation, common teacher": "distill",
    "distillation, own teacher": None,
    "task vector": None,
    "relearn_first": None,
    "rewind": None,
}
"""Rows of the theory's table under the name of an objective; None: a procedure, or what no objective here does."""


def test_theory_and_list_say_the_same_of_every_method_that_both_know() -> None:
    compared = 0
    for row in METHODS:
        name = ALSO.get(row.method, row.method)
        if name is not None:
            assert PREDICTED[name] is row.on_span, row.method
            compared += 1
    assert compared == len(METHODS) - 4


def test_every_predicted_objective_exists() -> None:
    assert set(PREDICTED) <= set(OBJECTIVES)


def test_some_objectives_have_no_prediction() -> None:
    assert not {"ce_u", "flat_logits", "pdu"} & set(PREDICTED)


def test_what_only_a_procedure_does_is_no_objective_of_the_list() -> None:
    of_procedures = {Prediction.ONE_EXPANSION, Prediction.SHRINKS_THEN_EXPANDS, Prediction.REMOVED}
    assert not of_procedures & set(PREDICTED.values())
