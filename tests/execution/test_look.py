"""Looks: the first replicates of a registered study alone, of which the whole run loses nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import small_study

from retrain_equivalence.core.errors import StudyError
from retrain_equivalence.execution import api
from retrain_equivalence.execution.look import at_look
from retrain_equivalence.store.local import LocalStore
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Given

QUICK = (
    "replicates=4", "looks=[3]", "comparisons=[]", "probes=[{prediction: safety, items: 2, positions: 1}]",
    "unlearnings=[{name: ga, objective: ga, max_steps: 2}]", "histories=[[facts, sums, safety]]",
)  # fmt: skip
RUNTIME = api.Runtime(workers=0, study_dir=small_study.FOLDER, offline=True)


def test_keys_of_a_replicate_do_not_depend_on_how_many_there_will_be() -> None:
    """Everything that belongs to one run: trainings, unlearning, probes, cells."""
    study = small_study.small("replicates=8", "looks=[3, 5]", "oracle_replicates=2")
    whole = api.plan(study, RUNTIME)[0]
    for look in study.looks:
        part = api.plan(at_look(study, look), RUNTIME)[0]
        own = {task.key for task in part.tasks if task.kind not in ("distance", "label")}
        assert own < set(whole.planned), "each of them is a task of the whole"
        assert part.count("unlearn") == 2 * 2 * look
    smaller = api.plan(at_look(study, 3), RUNTIME)[0]
    larger = api.plan(at_look(study, 5), RUNTIME)[0]
    trained = [{t.key for t in plan.tasks if t.kind in small_study.TRAINED} for plan in (smaller, larger)]
    assert trained[0] < trained[1]


def test_a_look_and_the_rest_later_is_the_whole(tmp_path: Path) -> None:
    study = small_study.small(*QUICK)
    store, out = LocalStore(tmp_path / "store"), tmp_path / "out"
    first = api.run(study, store=store, out=out, runtime=RUNTIME, look=3)
    assert load_study(out / "study.lock.yaml") == study, "the folder says what was registered"
    assert '"retrain-equivalence run small --look 3"' in (out / "provenance.json").read_text()
    at_3 = pd.read_parquet(out / "rows.parquet")
    assert set(at_3[at_3.unlearning == "ga"].replicate) == {0, 1, 2}
    assert set(at_3[at_3.history == "facts>sums"].replicate) == {0, 1, 2, 3}, "one oracle beyond them"
    assert not first.failed
    trained = small_study.digests(tmp_path, small_study.TRAINED)

    whole = api.run(study, store=store, out=out, runtime=RUNTIME)
    assert trained.items() < small_study.digests(tmp_path, small_study.TRAINED).items()
    alone = small_study.run_small(tmp_path / "alone", *QUICK)
    assert small_study.answers(out) == small_study.answers(alone)
    on = ["history", "replicate", "unlearning", "step", "probe", "item", "against"]
    texts = dict.fromkeys((*on, "status"), str)
    both = at_3.astype(texts).merge(whole.frame.astype(texts), on=on, suffixes=("", "_whole"))
    # Distances between replicates of the look and of the oracle beyond it are the whole study's too.
    assert len(both) == len(at_3)
    assert both.value.to_numpy() == pytest.approx(both.value_whole.to_numpy(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("looks", "found", "fix"),
    [("[3]", "found 2, the study's looks are 3", "write one of 3"), ("[]", "looks are none", "leave --look out")],
)
def test_an_undeclared_look_is_refused_before_anything(tmp_path: Path, looks: str, found: str, fix: str) -> None:
    study = small_study.small(*QUICK, f"looks={looks}")
    with pytest.raises(StudyError) as caught:
        api.run(study, store=LocalStore(tmp_path / "store"), out=tmp_path / "out", runtime=RUNTIME, look=2)
    (problem,) = caught.value.problems
    assert problem.code == "E-CFG-39" and found in problem.message and problem.fix.startswith(fix)
    assert not (tmp_path / "out").exists()


def test_given_checkpoints_of_later_replicates_wait_for_the_whole() -> None:
    study = small_study.small(*QUICK, "oracle_replicates=1")
    history, oracle = ("facts", "sums", "safety"), ("facts", "sums")
    given = tuple(Given(history=h, path=f"{h}{r}", replicate=r) for h in (history, oracle) for r in (2, 3, 4))
    left = at_look(replace(study, given=given), 3).given
    assert [(g.history, g.replicate) for g in left] == [(history, 2), (oracle, 2), (oracle, 3)]
