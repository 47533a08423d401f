"""Coupled gaps: which states are paired, and that values are those of the stored snapshots and weights."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_study
from small_study import Finished

from retrain_equivalence.core.identity import Key
from retrain_equivalence.execution import gaps, weight_pairs
from retrain_equivalence.execution.bodies import Bodies
from retrain_equivalence.execution.labels import label_cells
from retrain_equivalence.execution.signals import StopFlag
from retrain_equivalence.execution.specs import CellsSpec, DistanceSpec, GapSpec, Snapshot
from retrain_equivalence.execution.states import States, step_file
from retrain_equivalence.models.weights import from_safetensors
from retrain_equivalence.probes import prediction
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.records.table import from_parquet

FIRST, LAST = "facts>sums>safety", "safety>facts>sums"


def named(history: str, replicate: int, step: int = 0) -> Snapshot:
    name = StateName(history=history, replicate=replicate, unlearning="ga" if step else "", step=step)
    return Snapshot(name=name, task=Key("0" * 64), step=step, state=Key("1" * 64))


def test_pairs_share_replicate_or_history_and_never_both_or_neither() -> None:
    states = [named(h, r) for h in ("b", "a") for r in (0, 1, 2)]
    pairs = gaps.coupled_pairs(states, ("a", "b"))
    words = {f"{states[i].name} {states[j].name}" for i, j in pairs}
    assert words == {
        "a#0 b#0", "a#1 b#1", "a#2 b#2",
        "a#0 a#1", "a#0 a#2", "a#1 a#2", "b#0 b#1", "b#0 b#2", "b#1 b#2",
    }  # fmt: skip
    assert len(pairs) == len(words)


def test_states_of_other_steps_are_no_pair() -> None:
    assert gaps.coupled_pairs([named("a", 0), named("b", 0, 4), named("a", 1, 2)], ("a", "b")) == []


class Opened:
    """A finished run, opened as a worker would open it."""

    def __init__(self, finished: Finished) -> None:
        self.store, self.plan = finished.store, finished.plan
        self.states = States(
            store=self.store, plan=self.plan, model_recipe=self.plan.study.model, inputs=finished.inputs
        )
        self.bodies = Bodies(
            plan=self.plan, store=self.store, states=self.states, stop=StopFlag(), study_dir=small_study.FOLDER
        )
        by_unlearning = {
            p.spec.unlearning: p.spec for p in self.plan.planned.values() if isinstance(p.spec, DistanceSpec)
        }
        self.bases = tuple((r, self.base_of(by_unlearning[""], r)) for r in range(2))
        self.specs = {
            name: GapSpec(
                probe=spec.probe, cells=spec.cells, states=spec.states, bases=self.bases, unlearning=name,
                history_order=spec.history_order,
            )
            for name, spec in by_unlearning.items()
        }  # fmt: skip
        _, codec = self.states.base(self.bases[0][1])
        self.cells = self.bodies._cells(by_unlearning[""].cells, codec)

    def base_of(self, spec: DistanceSpec, replicate: int) -> Key:
        state = next(s for s in spec.states if s.name.replicate == replicate)
        task = self.plan.planned[state.task].spec
        return Key(task.base)  # type: ignore[union-attr]

    def table(self, name: str) -> pd.DataFrame:
        frame = from_parquet(gaps.gap_values(self.store, self.states, self.specs[name], self.cells))
        texts = ("history", "unlearning", "probe", "item", "against", "unit", "status")
        return frame.astype(dict.fromkeys(texts, str))

    def shot(self, state: Snapshot) -> prediction.Snapshot:
        artifact = self.store.get(state.task)
        prefix = step_file(state.step, "")
        return prediction.from_files(
            {n.removeprefix(prefix): artifact.read(n) for n in artifact.manifest.files if n.startswith(prefix)}
        )


@pytest.fixture(scope="module")
def opened(finished: Finished) -> Opened:
    return Opened(finished)


@pytest.fixture(scope="module")
def ga(opened: Opened) -> pd.DataFrame:
    return opened.table("ga")


def test_every_coupled_pair_has_a_row_for_each_measure_step_and_set(opened: Opened, ga: pd.DataFrame) -> None:
    # Per step: one pair of histories in 2 replicates, and 2 histories of one pair of replicates.
    assert len(ga) == 2 * 4 * (2 * 5 + 1)
    assert set(ga.step) == {2, 4} and set(ga.unlearning) == {"ga"}
    assert set(ga.probe) == {gaps.LABEL_LOGP, gaps.HELLINGER, gaps.PARAMETERS}
    assert set(ga[ga.probe == gaps.PARAMETERS].item) == {gaps.WEIGHTS}
    trained = opened.table("")
    assert set(trained.step) == {0} and len(trained) == 4 * (2 * 5 + 1)
    assert (trained.status == "ok").all() and (trained.value > 0).all()


def test_a_trained_end_stands_once_and_not_in_each_unlearning(opened: Opened, ga: pd.DataFrame) -> None:
    assert not ga.against.str.endswith("#1").any(), "an unlearned state is held against unlearned ones alone"


def test_predictions_by_hand(opened: Opened, ga: pd.DataFrame) -> None:
    states = {str(s.name): s for s in opened.specs["ga"].states}
    one, two = (opened.shot(states[f"{h}#1@ga:4"]) for h in (FIRST, LAST))
    own = ga[(ga.history == FIRST) & (ga.against == f"{LAST}#1@ga:4") & (ga.step == 4)]
    labels = [text.ids[target] for text in opened.cells.texts for target in text.targets]
    for test_set in one.sets:
        by_item: dict[str, list[float]] = {}
        apart: dict[str, list[float]] = {}
        for p, name in enumerate(one.set_names):
            if name == test_set:
                difference = float(one.log_probabilities_PC[p, labels[p]]) - float(
                    two.log_probabilities_PC[p, labels[p]]
                )
                by_item.setdefault(one.items[p], []).append(difference**2)
                roots = np.sqrt(one.probabilities[p]) - np.sqrt(two.probabilities[p])
                apart.setdefault(one.items[p], []).append(float(roots @ roots) / 2)
        for probe, found in ((gaps.LABEL_LOGP, by_item), (gaps.HELLINGER, apart)):
            expected = math.sqrt(np.mean([np.mean(values) for values in found.values()]))
            (value,) = own[(own.probe == probe) & (own.item == test_set)].value
            assert value == pytest.approx(expected, rel=1e-5, abs=1e-6), (probe, test_set)
    assert set(own[own.probe == gaps.LABEL_LOGP].unit) == {"nats"}


def test_parameters_by_hand_also_in_blocks_of_one(
    opened: Opened, ga: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {str(s.name): s for s in opened.specs["ga"].states}
    one, two = (
        from_safetensors(Path(opened.store.get(states[f"{h}#0@ga:2"].state).path(step_file(2, "model.safetensors"))))
        for h in (FIRST, LAST)
    )
    expected = math.sqrt(sum(float(((one[n].double() - two[n].double()) ** 2).sum()) for n in one))
    (value,) = ga[(ga.probe == gaps.PARAMETERS) & (ga.history == FIRST) & (ga.against == f"{LAST}#0@ga:2")].value
    assert value == pytest.approx(expected, rel=1e-12) and value > 0
    monkeypatch.setattr(weight_pairs, "WEIGHT_BYTES", 1)
    pd.testing.assert_frame_equal(opened.table("ga"), ga)


def test_a_state_that_left_the_numbers_has_no_gap(opened: Opened, ga: pd.DataFrame) -> None:
    """A state whose trajectory ended is censored, and so is every pair with it; the others keep their values."""
    spec = opened.specs["ga"]
    gone = f"{FIRST}#0@ga:4"
    lost = tuple(replace(s, step=99) if str(s.name) == gone else s for s in spec.states)
    frame = from_parquet(gaps.gap_values(opened.store, opened.states, replace(spec, states=lost), opened.cells))
    frame = frame.astype({"status": str, "against": str, "history": str})
    hit = ((frame.history == FIRST) & (frame.replicate == 0) & (frame.step == 4)) | (frame.against == gone)
    assert hit.sum() == 2 * (2 * 5 + 1)
    assert set(frame[hit].status) == {"censored"} and frame[hit].value.isna().all()
    assert frame[~hit].value.tolist() == ga[~hit.to_numpy()].value.tolist(), "a gap depends on its own two states alone"


def test_where_the_label_lies(opened: Opened) -> None:
    whole = label_cells(opened.cells)
    assert whole.tolist() == [text.ids[target] for text in opened.cells.texts for target in text.targets]
    n = len(opened.cells.positions)
    lumped = replace(opened.cells, listed_PL=np.zeros((n, 7), dtype=np.int32))
    assert set(label_cells(lumped).tolist()) == {6}, "the label is the last listed cell, before the rest"
    assert isinstance(opened.plan.planned[opened.specs["ga"].cells].spec, CellsSpec)


ASKED = "comparisons=[{contrast: growth, probe: prediction}]"
PROCEDURES = (
    "unlearnings=[{name: ga, objective: ga, max_steps: 4, save_at: [0, 2, 4]}, "
    "{name: vector, procedure: [{objective: nll, max_steps: 2}, {task_vector: 0.5}], save_at: [0, 2, 3]}, "
    "{name: rewind, procedure: [{replay: since_forget}]}]"
)


def test_gaps_are_planned_only_where_a_rate_is_asked_for() -> None:
    assert not [task for task in small_study.planned().tasks if task.kind == "gap"]
    asked = [task for task in small_study.planned(ASKED, PROCEDURES).tasks if task.kind == "gap"]
    assert len(asked) == 4, "one of the trained ends, one of each unlearning"


@pytest.mark.parametrize("tuning", ["full", "{lora: {rank: 4, alpha: 8, across_stages: merged}}"])
def test_from_a_study_to_its_rates(tmp_path: Path, tuning: str) -> None:
    """A run writes the rows, and its findings hold the slope of the logs of exactly these."""
    out = small_study.run_small(tmp_path, ASKED, PROCEDURES, f"model.tuning={tuning}")
    texts = ("history", "unlearning", "probe", "item", "against", "status")
    table = pd.read_parquet(out / "rows.parquet").astype(dict.fromkeys(texts, str))
    rows = table[table.probe == gaps.PARAMETERS]
    assert {(u, s) for u, s in zip(rows.unlearning, rows.step, strict=True)} == {
        ("", 0), ("ga", 2), ("ga", 4), ("vector", 2), ("vector", 3), ("rewind", 1),
    }  # fmt: skip
    coupled = rows[(rows.history == FIRST) & rows.against.str.startswith(LAST)]
    rewound = coupled[coupled.unlearning == "rewind"]
    assert len(rewound) == 2 and (rewound.value == 0).all(), "both orders without the forget stage are one"
    found = json.loads((out / "findings.json").read_text())["findings"]
    rates = {
        f["unlearning"]: f for f in found if f["quantity"] == "path rate" and f["probe"] == gaps.PARAMETERS
    }  # fmt: skip
    slopes = []
    for replicate in (0, 1):
        own = coupled[(coupled.replicate == replicate) & coupled.unlearning.isin(["", "ga"])].sort_values("step")
        slopes.append(float(np.polyfit(own.step.to_numpy(), np.log(own.value.to_numpy()), 1)[0]))
    assert rates["ga"]["estimate"] == pytest.approx(np.mean(slopes), rel=1e-9)
    assert rates["rewind"]["estimate"] is None and "gap of exactly 0" in rates["rewind"]["reason"]
