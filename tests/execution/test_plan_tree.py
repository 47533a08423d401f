"""Plans: pure, torch-free, each thing once, and every ordering that a study may name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import small_study

from retrain_equivalence.execution import api
from retrain_equivalence.execution.plan import Plan, plan_study
from retrain_equivalence.histories.history import Role
from retrain_equivalence.recipes.dataset import GeneratedDataset
from retrain_equivalence.study.study import Study

FOUR = """[
 {name: instruct, dataset: {generated: instructions, rows: 24}, num_train_epochs: 1},
 {name: facts, dataset: {generated: authors, rows: 24}, num_train_epochs: 1},
 {name: sums, dataset: {generated: arithmetic, rows: 24}, num_train_epochs: 1},
 {name: safety, role: forget, dataset: {generated: refusals, rows: 24}, num_train_epochs: 1}]"""


def plan_of(*overrides: str) -> Plan:
    return small_study.planned(*overrides)


def per_replicate(plan: Plan, replicate: int) -> int:
    return sum(t.kind == "stage" and t.label.endswith(f" r{replicate}") for t in plan.tasks)


def test_a_plan_is_equal_twice() -> None:
    study = small_study.small()
    inputs = api.read_inputs(study, api.Runtime(study_dir=small_study.FOLDER).locations)
    environment = api.environment_of(study, "cpu")
    one, two = (plan_study(study, inputs, environment) for _ in range(2))
    assert one.planned == two.planned
    assert one.measurements == two.measurements
    assert [task.key for task in one.tasks] == [task.key for task in two.tasks]


def test_planning_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, small_study; small_study.planned(); "
        "assert not {'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=small_study.FOLDER)


def test_parents_come_before_children_and_every_need_is_planned() -> None:
    seen = set()
    for task in plan_of().tasks:
        assert set(task.needs) <= seen
        seen.add(task.key)


def test_four_positions_are_thirteen_trainings_a_replicate() -> None:
    plan = plan_of(f"stages={FOUR}", "histories=forget_at_each_position", "replicates=2", "oracle_replicates=3")
    assert per_replicate(plan, 0) == per_replicate(plan, 1) == 13
    assert (plan.saving.shared, plan.saving.naive) == (13, 16 + 3)
    # An oracle-only replicate trains the one oracle that four positions share, and nothing else.
    assert [per_replicate(plan, r) for r in (2, 3, 4)] == [3, 3, 3]
    assert sum(cost.trainings for cost in plan.stage_costs) == plan.count("stage") == 2 * 13 + 3 * 3


def test_all_24_orders_are_64_trainings_and_their_oracles_add_none() -> None:
    plan = plan_of(f"stages={FOUR}", "histories=all_orders", "replicates=1", "oracle_replicates=0")
    assert per_replicate(plan, 0) == 64
    assert len(plan.study.all_histories()) == 24
    assert len(plan.study.oracles()) == 6


@pytest.mark.parametrize(
    ("histories", "trainings", "names"),
    [
        # Two sample orders of one order share the base only; the oracle is the first two stages of the first.
        ("shuffle_only", 6, ["facts>sums>safety", "facts>sums>safety~1"]),
        ("adjacent_swaps", 3 + 2 + 3, ["facts>sums>safety", "sums>facts>safety", "facts>safety>sums"]),
        ("forget_at_each_position", 8, ["safety>facts>sums", "facts>safety>sums", "facts>sums>safety"]),
        ("all_orders", 15, None),
    ],
)
def test_every_ordering_plans(histories: str, trainings: int, names: list[str] | None) -> None:
    plan = plan_of(f"histories={histories}")
    if names is not None:
        assert [history.name for history in plan.study.all_histories()] == names
    assert per_replicate(plan, 0) == trainings


def test_a_placebo_history_is_trained_and_not_unlearned() -> None:
    study: Study = replace(
        small_study.small(), histories=("forget_at_each_position", "placebo"),
        placebo=GeneratedDataset(generated="instructions", rows=24),
    )  # fmt: skip
    plan, _ = api.plan(study, api.Runtime(study_dir=small_study.FOLDER))
    unlearned = {task.label.split()[1] for task in plan.tasks if task.kind == "unlearn"}
    assert unlearned == {"safety>facts>sums", "facts>safety>sums", "facts>sums>safety"}
    placebos = [h for h in study.all_histories() if any(s.role is Role.PLACEBO for s in h.stages)]
    assert len(placebos) == 3
    ends = {(m.state.history, m.probe) for m in plan.measurements if not m.state.unlearning}
    assert all((h.name, "forget_loss") in ends for h in placebos)
    assert {h.oracle().name for h in study.all_histories()} == {"facts>sums"}


def test_a_given_state_is_neither_trained_nor_are_its_parents(nano_folder: Path) -> None:
    given = f"given=[{{history: [facts, sums, safety], path: '{nano_folder}'}}]"
    plan = plan_of("replicates=1", "oracle_replicates=0", "histories=[[facts, sums, safety]]", given)
    assert plan.count("given") == 1
    # The oracle facts>sums is still trained here, the forget stage is not.
    assert [t.label for t in plan.tasks if t.kind == "stage"] == ["train facts r0", "train facts>sums r0"]


def test_every_state_of_the_table_is_measured_once() -> None:
    plan = plan_of()
    named = [(m.state, m.probe) for m in plan.measurements]
    assert len(named) == len(set(named))
    assert {m.task for m in plan.measurements} <= set(plan.planned)
