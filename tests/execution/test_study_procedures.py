"""Procedures in a study: relearn first, a task vector, rewinding, the last stages again; retain and preferred rows."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import small_study
import torch
from safetensors.torch import load

from retrain_equivalence.execution.plan import Plan
from retrain_equivalence.execution.specs import UnlearnSpec
from retrain_equivalence.execution.states import ADAPTER, FULL, step_file
from retrain_equivalence.execution.task import Task
from retrain_equivalence.store.local import LocalStore

UNLEARNINGS = """[
  {name: ga, objective: ga, max_steps: 3},
  {name: relearn, procedure: [{objective: nll, max_steps: 2}, {objective: ga, max_steps: 2}], save_at: [0, 2, 4]},
  {name: vector, procedure: [{objective: nll, max_steps: 2}, {task_vector: 0.5}], save_at: [0, 2, 3]},
  {name: rewind, procedure: [{replay: since_forget}]},
  {name: last, procedure: [{replay: 1}]},
  {name: diff, objective: graddiff, retain_stages: [facts, sums], max_steps: 2},
  {name: answers, objective: idk_dpo, max_steps: 2},
  {name: sum, objective: {weighted_sum: [{objective: npo}, {objective: retain_nll, weight: 0.5}]},
   retain_stages: [facts], max_steps: 2},
]"""
STUDY = ("unlearnings=" + " ".join(UNLEARNINGS.split()), "comparisons=[]")
HISTORIES = ("facts>sums>safety", "safety>facts>sums")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("procedures")
    small_study.run_small(made, *STUDY)
    return made


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small_study.planned(*STUDY)


@pytest.fixture(scope="module")
def rows(root: Path) -> pd.DataFrame:
    return pd.read_parquet(root / "out" / "rows.parquet")


def task(plan: Plan, label: str) -> Task:
    return next(task for task in plan.tasks if task.label == label)


def weights(store: LocalStore, key: str, name: str = FULL) -> dict[str, torch.Tensor]:
    return load(store.get(key).read(name))


def test_a_rewound_model_is_the_own_order_oracle_bit_for_bit(plan: Plan, rows: pd.DataFrame) -> None:
    """At equal seeds they are one node of the tree: nothing is trained twice, and every number agrees."""
    assert not any(" rewind " in task.label for task in plan.tasks if task.kind == "unlearn")
    scalar = rows[(rows["against"] == "") & rows["probe"].isin(["forget_loss", "answer_logprob:facts"])]
    for history in HISTORIES:
        rewound = scalar[(scalar["history"] == history) & (scalar["unlearning"] == "rewind")]
        oracle = scalar[(scalar["history"] == "facts>sums") & (scalar["unlearning"] == "")]
        assert set(rewound["step"]) == {1}
        columns = ["replicate", "probe", "item"]
        both = rewound.merge(oracle, on=columns, suffixes=("", "_oracle"))
        assert len(both) == len(rewound) > 0
        assert (both["value"] == both["value_oracle"]).all()
        assert (both["checkpoint"] == both["checkpoint_oracle"]).all()


def test_a_rewound_model_is_judged_against_other_replicates_only(root: Path, rows: pd.DataFrame) -> None:
    """Its distance to its own replicate's oracle is 0 by construction; what is estimated leaves that out."""
    at = (rows["unlearning"] == "rewind") & (rows["probe"] == "prediction:safety/hellinger")
    far = rows[at & rows["against"].str.fullmatch(r"facts>sums#\d")]
    own = far["against"].str[-1].astype(int) == far["replicate"].astype(int)
    assert (far.loc[own, "value"].abs() < 1e-12).all()
    assert (far.loc[~own, "value"] > 1e-6).all()
    found = json.loads((root / "out" / "findings.json").read_bytes())
    items = found["findings"] if isinstance(found, dict) else found
    estimates = [
        f for f in items if (f["contrast"], f["unlearning"], f["quantity"]) == ("oracle_distance", "rewind", "D_ho")
        and f["probe"] == "prediction:safety/hellinger"
    ]  # fmt: skip
    assert estimates
    for f in estimates:
        of_history = ~own & (far["history"] == f["history"]) & (far["item"] == f["test_set"])
        assert f["estimate"] == pytest.approx(far.loc[of_history, "value"].mean(), rel=1e-9)


def test_the_last_stages_again_undo_nothing_unless_they_reach_back(rows: pd.DataFrame) -> None:
    scalar = rows[(rows["against"] == "") & (rows["probe"] == "forget_loss")]
    trained = scalar[scalar["unlearning"] == ""].set_index(["history", "replicate", "item"])["value"]
    again = scalar[scalar["unlearning"] == "last"].set_index(["history", "replicate", "item"])["value"]
    for replicate in (0, 1):
        # Safety last: one stage back is the oracle. Safety first: the last stage is trained again to the same bits.
        reached = again[("facts>sums>safety", replicate)]
        assert (reached == trained[("facts>sums", replicate)]).all()
        assert (again[("safety>facts>sums", replicate)] == trained[("safety>facts>sums", replicate)]).all()


def test_a_task_vector_is_taken_from_the_end_model(plan: Plan, root: Path) -> None:
    store = LocalStore(root / "store")
    run = task(plan, "unlearn facts>sums>safety vector r0")
    spec = plan.planned[run.key].spec
    assert isinstance(spec, UnlearnSpec)
    start = weights(store, spec.end)
    there, edited = (weights(store, run.key, step_file(step, FULL)) for step in (2, 3))
    for name, tensor in edited.items():
        expected = start[name] - 0.5 * (there[name] - start[name])
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-7)
    assert any(not torch.equal(edited[name], start[name]) for name in start)


def test_relearn_first_is_fine_tuning_and_then_the_method(plan: Plan, root: Path) -> None:
    store = LocalStore(root / "store")
    run = store.get(task(plan, "unlearn facts>sums>safety relearn r0").key)
    log = json.loads(run.read("log.json"))["steps"]
    assert [step for step, *_ in log] == [1, 2, 3, 4]
    assert log[0][1] > 0 > log[2][1], "nll falls, then its negative is minimised"
    assert -log[2][1] < log[0][1], "what was relearned is unlearned"
    losses = json.loads(run.read("trajectory.json"))["losses"]
    assert len(losses) == 4
    assert "part.json" not in run.manifest.files


def test_retain_and_preferred_rows_enter_the_key_only_where_they_are_read(plan: Plan) -> None:
    def parents(label: str) -> int:
        return len(plan.planned[task(plan, label).key].named.parents)

    history = "facts>sums>safety"
    assert [parents(f"unlearn {history} {name} r0") for name in ("ga", "diff", "answers", "sum")] == [3, 5, 4, 4]
    other = small_study.planned(*STUDY, "unlearnings.diff.retain_stages=[facts]")
    same = {task.label: task.key for task in plan.tasks if task.kind == "unlearn"}
    moved = {t.label for t in other.tasks if t.kind == "unlearn" and same[t.label] != t.key}
    assert moved == {f"unlearn {h} diff r{r}" for h in HISTORIES for r in range(2)}


def test_shared_or_apart_serial_or_parallel_it_is_the_same(root: Path, tmp_path: Path) -> None:
    small_study.run_small(tmp_path, *STUDY, workers=2)
    assert small_study.answers(tmp_path / "out") == small_study.answers(root / "out")


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_procedure_interrupted_in_any_phase_resumes_to_the_same_bytes(
    plan: Plan, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Stopped after step `at` of four: inside the first phase, between the two, inside the second."""
    from retrain_equivalence.execution import bodies
    from retrain_equivalence.execution.signals import Interrupted

    offer, left = bodies.Bodies._offer, [at]

    def offered(self, step, done, gathered, *, last):  # type: ignore[no-untyped-def]
        if "log.json" in gathered() and "trajectory.json" in gathered() and step == left[0]:
            left[0] = -1
            self.stop.set()
        offer(self, step, done, gathered, last=last)

    only = (
        *small_study.BARE, "histories=[[facts, sums, safety]]",
        "unlearnings=[{name: relearn, procedure: [{objective: nll, max_steps: 2}, {objective: ga, max_steps: 2}], "
        "save_at: [0, 1, 2, 3, 4]}]",
    )  # fmt: skip
    small_study.run_small(tmp_path / "whole", *only)
    monkeypatch.setattr(bodies.Bodies, "_offer", offered)
    with pytest.raises(Interrupted):
        small_study.run_small(tmp_path / "halved", *only)
    kept = list(LocalStore(tmp_path / "halved" / "store").manifests("checkpoint"))
    assert len(kept) == 1
    small_study.run_small(tmp_path / "halved", *only)
    assert small_study.digests(tmp_path / "halved") == small_study.digests(tmp_path / "whole")


def test_with_adapters_the_reference_is_the_model_without_its_own(tmp_path: Path) -> None:
    """Under LoRA a live reference is no copy: the fresh adapter is switched off; a task vector turns its B around."""
    only = (
        *small_study.BARE, "histories=[[facts, sums, safety]]",
        "model.tuning={lora: {rank: 2, alpha: 4, target_modules: [q_proj, v_proj], across_stages: merged}}",
        "unlearnings=[{name: vector, save_at: [0, 2, 3], "
        "procedure: [{objective: nll, max_steps: 2}, {task_vector: 0.5}]}, "
        "{name: undial, objective: undial, max_steps: 2}, {name: distill, objective: distill, max_steps: 2}, "
        "{name: rmu, objective: rmu, layer: 1, retain_stages: [facts], max_steps: 2}]",
    )  # fmt: skip
    small_study.run_small(tmp_path, *only)
    plan, store = small_study.planned(*only), LocalStore(tmp_path / "store")
    history = "facts>sums>safety"
    run = task(plan, f"unlearn {history} vector r0")
    there, edited = (weights(store, run.key, step_file(step, ADAPTER)) for step in (2, 3))
    for name, tensor in edited.items():
        scale = -0.5 if ".lora_B." in name else 1.0
        torch.testing.assert_close(tensor, scale * there[name], rtol=0, atol=0)
    for name in ("undial", "distill", "rmu"):
        about = json.loads(store.get(task(plan, f"unlearn {history} {name} r0").key).read("about.json"))
        assert (about["outcome"], about["moved"]) == ("finished", True)


def test_a_row_that_one_phase_leaves_out_is_there_for_the_next(tmp_path: Path) -> None:
    """Half of the preferred answers are too long: DPO drops those pairs, NPO after it trains on every forget row."""
    bare = (*small_study.BARE, "histories=[[facts, sums, safety]]", "stages.safety.dataset.on_long=drop")
    runtime = small_study.api.Runtime(study_dir=small_study.FOLDER)
    forget = small_study.api.plan(small_study.small(*bare), runtime)[1].datasets["safety"]
    answers = [
        json.dumps({"prompt": row.prompt, "response": "No. " * (200 if number % 2 else 1)})
        for number, row in enumerate(forget.train)
    ]
    (tmp_path / "answers.jsonl").write_text("\n".join(answers) + "\n", encoding="utf-8")
    both = (
        f"unlearnings=[{{name: both, preferred: {{jsonl: {tmp_path}/answers.jsonl, prompt: prompt, response: response, "
        "allow_duplicates: true}, procedure: [{objective: dpo, max_steps: 3}, {objective: npo, max_steps: 6}]}]"
    )
    small_study.run_small(tmp_path, *bare, both)
    plan, store = small_study.planned(*bare, both), LocalStore(tmp_path / "store")
    about = json.loads(store.get(task(plan, "unlearn facts>sums>safety both r0").key).read("about.json"))
    assert (about["outcome"], about["finite_steps"]) == ("finished", 9)
