"""Every ordering that a study may name, run to its findings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import small_study

from retrain_equivalence.recipes.dataset import GeneratedDataset
from retrain_equivalence.records.table import from_parquet
from retrain_equivalence.report.page import write_report

FEW = (
    "replicates=2", "oracle_replicates=0", "unlearnings=[{name: ga, objective: ga, max_steps: 2}]",
    "probes=[{prediction: safety, items: 2, positions: 2, cells: 512}]",
    "comparisons=[{contrast: oracle_distance, probe: prediction}, {contrast: path_gap, probe: prediction}]",
)  # fmt: skip


@pytest.mark.parametrize(
    ("histories", "unlearned", "oracles"),
    [
        ("shuffle_only", {"facts>sums>safety", "facts>sums>safety~1"}, {"facts>sums"}),
        (
            "adjacent_swaps", {"facts>sums>safety", "sums>facts>safety", "facts>safety>sums"},
            {"facts>sums", "sums>facts"},
        ),
        ("[placebo, [facts, safety, sums]]", {"facts>safety>sums"}, {"facts>sums"}),
        ("all_orders", None, {"facts>sums", "sums>facts"}),
    ],
)  # fmt: skip
def test_an_ordering_runs(tmp_path: Path, histories: str, unlearned: set[str] | None, oracles: set[str]) -> None:
    placebo = ["placebo={generated: instructions, rows: 24}"] if "placebo" in histories else []
    study = small_study.small(*FEW, f"histories={histories}", *placebo)
    out = small_study.run_small(tmp_path, study=study)
    frame = from_parquet((out / "rows.parquet").read_bytes())
    steps = frame[(frame.unlearning == "ga") & (frame.probe == "forget_loss")]
    assert set(steps.history) == (unlearned or {history.name for history in study.all_histories()})
    assert (steps.status == "ok").all()
    against = frame[frame.probe == "prediction:safety/hellinger"].against.astype(str)
    assert oracles <= {name.partition("#")[0] for name in against}
    assert write_report(out).stat().st_size > 10_000


def test_another_sample_order_ends_elsewhere_and_trains_the_same_rows(tmp_path: Path) -> None:
    """The control of every claim about order: only the order of samples moved."""
    small_study.run_small(tmp_path, *small_study.BARE, "histories=shuffle_only")
    plan = small_study.planned(*small_study.BARE, "histories=shuffle_only")
    store = small_study.LocalStore(tmp_path / "store")
    ends = [
        store.get(t.key)
        for t in plan.tasks
        if t.label in ("train facts>sums>safety r0", "train facts>sums>safety~1 r0")
    ]
    assert len(ends) == 2
    assert ends[0].manifest.digest != ends[1].manifest.digest
    recipes = [dict(end.manifest.recipe["recipe"]) for end in ends]
    differing = {name for name in recipes[0] if recipes[0][name] != recipes[1][name]}
    assert differing == {"order_seed"}


def test_a_placebo_stage_is_trained_as_the_forget_stage_is(tmp_path: Path) -> None:
    study = replace(
        small_study.small(*small_study.BARE, "histories=[[facts, safety, sums]]"),
        histories=(("facts", "safety", "sums"), "placebo"), placebo=GeneratedDataset(generated="instructions", rows=24),
    )  # fmt: skip
    small_study.run_small(tmp_path, study=study)
    plan, _ = small_study.api.plan(study, small_study.api.Runtime(study_dir=small_study.FOLDER))
    own, other = (
        next(p.spec for p in plan.planned.values() if p.task.label == f"train facts>{name} r0")
        for name in ("safety", "placebo")
    )
    assert own.training == other.training
    assert own.data != other.data
