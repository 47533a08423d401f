"""Procedures: their steps counted through, and what a replay keeps and becomes."""

import pytest

from retrain_equivalence.histories.history import History, Role, Stage
from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, Unlearning, WeightEdit
from retrain_equivalence.recipes.dataset import GeneratedDataset
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.recipes.training import TrainingRecipe


def stage(name: str, role: Role = Role.RETAIN) -> Stage:
    training = TrainingRecipe(learning_rate=1e-3, num_train_epochs=1)
    return Stage(name=name, role=role, dataset=GeneratedDataset(generated="instructions"), training=training)


A, B, C, F = stage("a"), stage("b"), stage("c"), stage("f", Role.FORGET)


def phase(**duration: int) -> Phase:
    training = TrainingRecipe(learning_rate=1e-4, **duration)
    return Phase(objective=ObjectiveRecipe(name="ga"), training=training)


def test_saved_steps_default_to_the_first_and_the_last() -> None:
    assert Unlearning(name="ga", procedure=(phase(max_steps=30),)).steps == (0, 30)
    assert Unlearning(name="ga", procedure=(phase(max_steps=30),), save_at=(0, 5, 30)).steps == (0, 5, 30)
    with pytest.raises(ValueError, match="max_steps"):
        _ = Unlearning(name="ga", procedure=(phase(num_train_epochs=1),)).steps


def test_the_steps_of_a_procedure_are_counted_through() -> None:
    both = Unlearning(name="x", procedure=(phase(max_steps=10), WeightEdit(task_vector=1.0), phase(max_steps=5)))
    assert both.last == 16
    assert len(both.phases) == 2
    assert both.replay is None
    rewind = Unlearning(name="r", procedure=(ReplayFrom(replay="since_forget"),))
    assert (rewind.last, rewind.steps, rewind.replay) == (1, (0, 1), ReplayFrom(replay="since_forget"))


@pytest.mark.parametrize("position", range(4))
def test_a_rewound_history_is_its_own_oracle(position: int) -> None:
    stages = [A, B, C]
    stages.insert(position, F)
    history = History(stages=tuple(stages))
    rewind = ReplayFrom(replay="since_forget")
    assert rewind.kept(history).stages == tuple(stages[:position])
    assert rewind.result(history) == history.oracle()


def test_a_replay_reaches_the_forget_stage_or_changes_nothing() -> None:
    history = History(stages=(A, F, B, C))
    assert ReplayFrom(replay=3).result(history) == history.oracle()
    assert ReplayFrom(replay=4).kept(history).stages == ()
    assert ReplayFrom(replay=2).kept(history).stages == (A, F)
    assert ReplayFrom(replay=2).result(history) == history


def test_a_shuffled_control_is_replayed_in_its_own_sample_order() -> None:
    control = History(stages=(A, F, B), shuffle=1)
    assert ReplayFrom(replay="since_forget").result(control) == History(stages=(A, B), shuffle=1)
