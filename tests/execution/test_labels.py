"""Scalars of prediction snapshots: which states and items have them, and that values are those of the snapshots."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_study
from small_study import Finished

from retrain_equivalence.execution.bodies import Bodies
from retrain_equivalence.execution.distances import open_snapshot
from retrain_equivalence.execution.labels import label_cells, label_log_probabilities, label_values
from retrain_equivalence.execution.signals import StopFlag
from retrain_equivalence.execution.specs import LabelSpec
from retrain_equivalence.execution.states import States
from retrain_equivalence.metrics.distributional import label_margin
from retrain_equivalence.probes import prediction
from retrain_equivalence.records.table import from_parquet

FIRST, LAST, ORACLE = "facts>sums>safety", "safety>facts>sums", "facts>sums"
SETS = ("forget", "held_out", "retain:facts", "retain:sums", "generic")


def texts(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(dict.fromkeys(("history", "unlearning", "probe", "item", "against", "unit", "status"), str))


@pytest.fixture(scope="module")
def table(finished: Finished) -> pd.DataFrame:
    frame = texts(from_parquet((finished.out / "rows.parquet").read_bytes()))
    return frame[frame.probe.str.startswith(("expected_loss:", "label_margin:"))]


@pytest.fixture(scope="module")
def opened(finished: Finished) -> Bodies:
    states = States(
        store=finished.store, plan=finished.plan, model_recipe=finished.plan.study.model, inputs=finished.inputs
    )
    return Bodies(
        plan=finished.plan, store=finished.store, states=states, stop=StopFlag(), study_dir=small_study.FOLDER
    )


def specs(finished: Finished) -> list[LabelSpec]:
    return [p.spec for p in finished.plan.planned.values() if isinstance(p.spec, LabelSpec)]


def cells_of(opened: Bodies, spec: LabelSpec) -> prediction.Cells:
    _, codec = opened.states.base(opened.plan.planned[spec.cells].spec.base)  # type: ignore[union-attr]
    return opened._cells(spec.cells, codec)


def test_trained_ends_oracles_and_saved_steps_have_every_set_and_item(finished: Finished, table: pd.DataFrame) -> None:
    assert set(table.probe) == {f"{kind}:{name}" for kind in ("expected_loss", "label_margin") for name in SETS}
    assert set(table.against) == {""} and set(table.status) == {"ok"}
    trained = table[table.unlearning == ""]
    states = set(zip(trained.history, trained.replicate, trained.step, strict=True))
    assert states == {(h, r, 0) for h in (FIRST, LAST) for r in (0, 1)} | {(ORACLE, r, 0) for r in (0, 1, 2)}
    unlearned = table[table.unlearning != ""]
    reached = set(zip(unlearned.history, unlearned.replicate, unlearned.unlearning, unlearned.step, strict=True))
    assert reached == {(h, r, u, s) for h in (FIRST, LAST) for r in (0, 1) for u in ("ga", "npo") for s in (2, 4)}
    per_set = table.groupby(["history", "replicate", "unlearning", "step", "probe"])["item"].nunique()
    assert set(per_set) == {3}, "the probe's items"
    assert dict(zip(table.probe.str.partition(":")[0], table.unit, strict=True)) == {
        "expected_loss": "nats/token", "label_margin": "nats",
    }  # fmt: skip


def test_values_by_hand(finished: Finished, opened: Bodies, table: pd.DataFrame) -> None:
    """Positions of one state, one by one, from the probabilities that distances read."""
    spec = next(s for s in specs(finished) if s.states[0].name.unlearning == "npo")
    state = next(s for s in spec.states if str(s.name) == f"{LAST}#1@npo:4")
    cells = cells_of(opened, spec)
    shot = open_snapshot(finished.store, state)
    assert shot is not None
    labels = [text.ids[target] for text in cells.texts for target in text.targets]
    losses: dict[tuple[str, str], list[float]] = {}
    margins: dict[tuple[str, str], list[float]] = {}
    for p, label in enumerate(labels):
        place = shot.set_names[p], shot.items[p]
        chance = float(shot.probabilities[p, label])
        losses.setdefault(place, []).append(-math.log(chance))
        margins.setdefault(place, []).append(math.log(chance / (1 - chance)))
    own = table[(table.history == LAST) & (table.replicate == 1) & (table.unlearning == "npo") & (table.step == 4)]
    found = {(probe, item): value for probe, item, value in zip(own.probe, own.item, own.value, strict=True)}
    for kind, by_place in (("expected_loss", losses), ("label_margin", margins)):
        for (test_set, item), values in by_place.items():
            assert found.pop((f"{kind}:{test_set}", item)) == pytest.approx(np.mean(values), rel=1e-12)
    assert not found


def test_a_state_that_left_the_numbers_is_censored_item_by_item(finished: Finished, opened: Bodies) -> None:
    spec = next(s for s in specs(finished) if s.states[0].name.unlearning == "ga")
    whole = texts(from_parquet(label_values(finished.store, spec, cells_of(opened, spec))))
    gone = spec.states[0]
    lost = replace(spec, states=(replace(gone, step=99), *spec.states[1:]))
    frame = texts(from_parquet(label_values(finished.store, lost, cells_of(opened, spec))))
    hit = (frame.history == gone.name.history) & (frame.replicate == gone.name.replicate) & (frame.step == 2)
    assert hit.sum() == 2 * 5 * 3
    assert set(frame[hit].status) == {"censored"} and frame[hit].value.isna().all()
    pd.testing.assert_frame_equal(frame[~hit], whole[~hit.to_numpy()])
    assert frame[hit].item.tolist() == whole[hit.to_numpy()].item.tolist()


def shot_of(logps: list[list[float]], lumped: bool = False) -> prediction.Snapshot:
    n = len(logps)
    return prediction.Snapshot(
        log_probabilities_PC=np.asarray(logps, dtype=np.float16), rest_P=np.zeros(n, np.float32),
        set_names=("forget",) * n, items=tuple(f"i{p}" for p in range(n)), cells="0" * 64, lumped=lumped,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_label_that_is_all_but_certain_keeps_its_margin() -> None:
    """fp16 writes log p = 0 there; what the other cells have still tells how certain it is."""
    shot = shot_of([[0.0, -20.0, -20.0], [-20.0, 0.0, -np.inf], [math.log(0.25), math.log(0.75), -np.inf]])
    logps = label_log_probabilities(shot, np.array([0, 0, 1]))
    assert (logps <= 0).all()
    found = label_margin.of_logps(logps)
    assert found[:2] == pytest.approx([20 - math.log(2), -20.0], rel=1e-9)
    assert found[2] == pytest.approx(math.log(3), rel=1e-3), "rounding of fp16"


def test_an_impossible_label_is_unscored(finished: Finished, opened: Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its item alone: the other items of the state have their values."""
    from retrain_equivalence.execution import labels

    spec = specs(finished)[0]
    cells = cells_of(opened, spec)
    real = open_snapshot(finished.store, spec.states[0])
    assert real is not None
    wrong = real.log_probabilities_PC.copy()
    wrong[0, label_cells(cells)[0]] = -np.inf
    monkeypatch.setattr(labels, "open_snapshot", lambda store, state: replace(real, log_probabilities_PC=wrong))
    frame = texts(from_parquet(label_values(finished.store, replace(spec, states=spec.states[:1]), cells)))
    hit = (frame.item == real.items[0]) & frame.probe.str.endswith(f":{real.set_names[0]}")
    assert hit.sum() == 2 and set(frame[hit].status) == {"unscored"} and frame[hit].value.isna().all()
    assert set(frame[~hit].status) == {"ok"}


def test_lumped_cells_have_the_label_last(finished: Finished, tmp_path: Path) -> None:
    """The loss of the label does not depend on how the rest is sorted, up to the rounding of fp16."""
    small_study.run_small(
        tmp_path, "probes=[{prediction: safety, items: 3, positions: 2, cells: 20, max_rest: 0.001}]", "comparisons=[]",
        "replicates=1", "oracle_replicates=0", "unlearnings=[{name: ga, objective: ga, max_steps: 4}]",
    )  # fmt: skip
    lumped = texts(pd.read_parquet(tmp_path / "out" / "rows.parquet"))
    whole = texts(pd.read_parquet(finished.out / "rows.parquet"))
    distances = lumped[lumped.probe.str.startswith("prediction:")]
    assert set(distances.status) == {"unscored"}, "nothing may be left to the rest here, and yet:"
    on = ["history", "replicate", "unlearning", "step", "probe", "item"]
    both = lumped[lumped.probe.str.startswith(("expected_loss:", "label_margin:"))].merge(
        whole, on=on, suffixes=("", "_whole")
    )
    assert len(both) == 2 * 5 * 3 * (2 + 1 + 2) and set(both.status) == {"ok"}
    assert both.value.to_numpy() == pytest.approx(both.value_whole.to_numpy(), abs=0.01)


def test_the_first_of_several_prediction_probes_gives_them_and_none_gives_none() -> None:
    two = "probes=[{prediction: safety, items: 3}, {prediction: safety, items: 2, split: held_out}]"
    plans = [small_study.planned(two, "comparisons=[]"), small_study.planned("probes=[]", "comparisons=[]")]
    counts = [plan.count("label") for plan in plans]
    assert counts == [3, 0], "one of the trained states, one of each unlearning"
    cells = {p.spec.cells for p in plans[0].planned.values() if isinstance(p.spec, LabelSpec)}
    assert len(cells) == 1
