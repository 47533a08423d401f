"""What a whole procedure needs is what its steps need, together."""

import pytest

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, Unlearning, WeightEdit
from retrain_equivalence.objectives.catalogue import resolve, resolve_sum
from retrain_equivalence.objectives.procedure_needs import needs_of
from retrain_equivalence.recipes.objective import ObjectiveRecipe, Term
from retrain_equivalence.recipes.passes import Needs
from retrain_equivalence.recipes.training import TrainingRecipe

TRAINING = TrainingRecipe(learning_rate=0.1, max_steps=3)


def phase(name, **parameters):
    return Phase(objective=resolve(name, parameters, ""), training=TRAINING)


def needed(*procedure):
    return needs_of(Unlearning(name="u", procedure=procedure))


@pytest.mark.parametrize(
    ("procedure", "names", "local"),
    [
        ((phase("ga"),), (), True),
        ((phase("nll"), phase("ga")), (), True),
        ((phase("nll"), phase("npo")), ("reference",), True),
        ((phase("graddiff", retain="kl"),), ("reference", "retain"), False),
        ((phase("ga"), phase("dpo")), ("reference", "preferred"), False),
        ((phase("distill"),), ("teacher",), False),
        ((phase("rmu", layer=2),), ("reference", "retain", "hidden"), False),
        ((phase("rmu_forget", layer=2),), ("hidden",), True),
        ((phase("nll"), WeightEdit(task_vector=1.0)), ("reference",), True),
        ((ReplayFrom(replay=2),), ("history",), False),
        ((ReplayFrom(replay="since_forget"),), ("history",), False),
        ((), (), True),
    ],
)
def test_the_union_over_the_steps(procedure, names, local):
    assert needed(*procedure) == Needs(**dict.fromkeys(names, True))
    assert needed(*procedure).is_local is local
    assert needed(*reversed(procedure)) == needed(*procedure)


def test_a_sum_needs_what_its_terms_need():
    terms = (Term(objective=resolve("npo", {}, "")), Term(objective=resolve("retain_nll", {}, "")))
    found = needed(Phase(objective=resolve_sum(terms, ""), training=TRAINING))
    assert found == Needs(reference=True, retain=True)


def test_what_is_unknown_has_no_needs():
    with pytest.raises(StudyError, match="E-CFG-40"):
        needed(Phase(objective=ObjectiveRecipe(name="nowhere"), training=TRAINING))
