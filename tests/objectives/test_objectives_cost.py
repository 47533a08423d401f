"""Costs by hand, and by counting what the training loop's passes really do to a model."""

import pytest
import torch

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, Unlearning, WeightEdit
from retrain_equivalence.models.codec import Encoded
from retrain_equivalence.models.tiny import tiny_model
from retrain_equivalence.objectives.catalogue import OBJECTIVES, build, resolve, resolve_sum
from retrain_equivalence.objectives.cost import Cost, cost_of, cost_of_passes
from retrain_equivalence.recipes.objective import ObjectiveRecipe, Term
from retrain_equivalence.recipes.passes import ForwardPass, Signal, Split, Weights
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.training.companions import Companions
from retrain_equivalence.training.passes import PassMaker

REQUIRED = {
    "rmu": {"layer": 1},
    "rmu_forget": {"layer": 1},
    "retain_hidden": {"layer": 1},
    "pdu": {"retain_bound": 1.0},
}


def recipe(name, **parameters):
    return resolve(name, {**REQUIRED.get(name, {}), **parameters}, "")


def phase(name, **parameters):
    return Phase(objective=recipe(name, **parameters), training=TrainingRecipe(learning_rate=0.1, max_steps=5))


@pytest.mark.parametrize(
    ("name", "parameters", "forward", "backward", "once"),
    [
        ("nll", {}, 1, 1, 0),
        ("ga", {}, 1, 1, 0),
        ("npo", {}, 1, 1, 1),
        ("dpo", {}, 2, 2, 2),
        ("idk", {}, 1, 1, 0),
        ("graddiff", {}, 2, 2, 0),
        ("graddiff", {"retain": "kl"}, 3, 2, 0),
        ("npo_retain", {}, 2, 2, 1),
        ("distill", {}, 2, 1, 0),
        ("undial", {}, 2, 1, 0),
        ("uniform", {}, 1, 1, 0),
        ("pdu", {}, 2, 2, 0),
        ("rmu", {}, 3, 2, 0),
    ],
)
def test_costs_by_hand(name, parameters, forward, backward, once):
    assert cost_of(recipe(name, **parameters)) == Cost(forward=forward, backward=backward, once=once)


def test_signals_of_the_same_rows_and_weights_share_one_pass():
    both = [ForwardPass(), ForwardPass(signal=Signal.LOG_DISTRIBUTION), ForwardPass(signal=Signal.HIDDEN, layer=2)]
    assert cost_of_passes(both) == Cost(forward=1, backward=1)
    terms = (Term(objective=recipe("ga"), weight=1.0), Term(objective=recipe("uniform"), weight=2.0))
    assert cost_of(resolve_sum(terms, "")) == Cost(forward=1, backward=1)


def test_what_is_kept_of_the_reference_is_token_log_probabilities_alone():
    reference = [ForwardPass(weights=Weights.REFERENCE, signal=s) for s in (Signal.TOKEN_LOGPS, Signal.LOGITS)]
    assert cost_of_passes(reference) == Cost(forward=1, once=1)
    assert cost_of_passes([ForwardPass(weights=Weights.TEACHER)]) == Cost(forward=1)
    assert cost_of_passes([]) == Cost()


def test_of_a_procedure_the_dearest_step_and_one_reference():
    procedure = (phase("npo"), phase("graddiff"), phase("npo", beta=1.0), WeightEdit(task_vector=1.0))
    assert cost_of(Unlearning(name="u", procedure=procedure)) == Cost(forward=2, backward=2, once=1)
    assert cost_of(Unlearning(name="u", procedure=(ReplayFrom(replay=1),))) == Cost()


def test_an_unknown_objective_has_no_cost():
    with pytest.raises(StudyError, match="E-CFG-40"):
        cost_of(ObjectiveRecipe(name="nowhere"))
    other = Phase(objective=ObjectiveRecipe(name="ga", source="ga@0"), training=TrainingRecipe(learning_rate=0.1))
    with pytest.raises(StudyError, match="E-CFG-47"):
        cost_of(Unlearning(name="u", procedure=(other,)))


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_the_loop_makes_as_many_passes_as_are_counted(name):
    """Every objective on a real model: calls of the models, calls with gradient, and rows looked up."""
    found = recipe(name)
    objective = build(found)
    rows = [Encoded(id=f"row-{i}", ids=(5, 6, 7 + i, 8), n_prompt=1) for i in range(2)]
    model = tiny_model("nano", seed=3)
    frozen = {weights: tiny_model("nano", seed=4) for weights in (Weights.REFERENCE, Weights.TEACHER)}
    calls, looked_up = [], []
    for called in (model, *frozen.values()):
        called.base_model.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))

    class Kept(dict):
        def __getitem__(self, split):
            looked_up.append(split)
            return {row.id: torch.zeros(3) for row in rows}

    companions = Companions(reference=Kept(), retain=rows, preferred={row.id: row for row in rows}, frozen=frozen)
    make = PassMaker(model=model, companions=companions, passes=objective.passes, pad_id=0, device=torch.device("cpu"))
    seen = make(dict.fromkeys(Split, rows))
    assert set(seen) == set(objective.passes)
    assert Cost(forward=len(calls), backward=sum(calls), once=len(looked_up)) == cost_of(found)


def test_work_counts_a_backward_pass_as_two_forward_passes():
    assert cost_of(recipe("nll")).work == 1.0
    assert Cost(forward=3, backward=2, once=7).work == pytest.approx(7 / 3)
