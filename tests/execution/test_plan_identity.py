"""Identities that a plan must keep: seeds by content, givens that stand for something, probes at odd steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_study import FOLDER, planned, small

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.execution.api import Runtime, environment_of
from retrain_equivalence.execution.inputs import read_inputs
from retrain_equivalence.execution.plan import Plan, plan_study
from retrain_equivalence.execution.specs import StageSpec, UnlearnSpec
from retrain_equivalence.study.study import Given


def test_a_shuffled_control_is_unlearned_on_the_same_batches() -> None:
    plan = planned("histories=shuffle_only", "replicates=1")
    runs = [item.spec for item in plan.planned.values() if isinstance(item.spec, UnlearnSpec)]
    by_objective: dict[str, set[int]] = {}
    for run in runs:
        by_objective.setdefault(run.procedure[0].objective.name, set()).add(run.order_seeds[0])
    assert len({run.end for run in runs}) == 2
    assert all(len(seeds) == 1 for seeds in by_objective.values())


def test_the_trained_stages_of_a_shuffled_control_differ_in_their_batches() -> None:
    plan = planned("histories=shuffle_only", "replicates=1")
    seeds = [item.spec.order_seed for item in plan.planned.values() if isinstance(item.spec, StageSpec)]
    assert len(set(seeds)) == len(seeds)


def test_level_items_are_cut_where_the_stage_cuts_them() -> None:
    plan = planned("training.max_length=100", "unlearning_training.max_length=120", "replicates=1")
    runs = [item.spec for item in plan.planned.values() if isinstance(item.spec, UnlearnSpec)]
    assert {(run.level_max_length, run.procedure[0].training.max_length) for run in runs} == {(100, 120)}


def test_a_given_that_stands_for_no_state_is_refused() -> None:
    study = small()
    inputs = read_inputs(study, Runtime(study_dir=FOLDER).locations)
    backwards = tuple(stage.name for stage in reversed(study.all_histories()[0].stages))
    given = replace(study, given=(Given(history=backwards, path="model"),))
    named = replace(inputs, given_sources=("0" * 64,))
    with pytest.raises(StudyError, match=r"E-CFG-36.*no state of this study is"):
        plan_study(given, named, environment_of(study, "cpu"))


FULL = ("facts", "sums", "safety")
REWIND = "unlearnings=[{name: rewind, procedure: [{replay: since_forget}]}]"


def plan_with_given(*histories: tuple[str, ...]) -> Plan:
    """Plan the rewinding of `facts>sums>safety` where some states were trained elsewhere."""
    study = replace(
        small(REWIND, "comparisons=[]", "histories=[[facts, sums, safety]]", "replicates=1", "oracle_replicates=0"),
        given=tuple(Given(history=history, path="model") for history in histories),
    )
    inputs = read_inputs(replace(study, given=()), Runtime(study_dir=FOLDER).locations)
    named = replace(inputs, given_sources=tuple(str(number) * 64 for number in range(len(histories))))
    return plan_study(study, named, environment_of(study, "cpu"))


def test_a_history_that_was_given_without_its_earlier_states_is_not_rewound() -> None:
    """What we would train ourselves from our own base is another model's past."""
    with pytest.raises(StudyError, match=r"E-CFG-62.*unlearnings.rewind: 'facts>sums>safety' is given.*after 2 stages"):
        plan_with_given(FULL)


@pytest.mark.parametrize(("histories", "stages"), [([("facts", "sums")], 1), ([("facts", "sums"), FULL], 0)])
def test_with_the_state_before_the_forget_stage_it_is(histories: list[tuple[str, ...]], stages: int) -> None:
    plan = plan_with_given(*histories)
    assert plan.count("given") == len(histories)
    assert plan.count("stage") == stages, "safety alone is trained here, or nothing: the rewound model is given"
