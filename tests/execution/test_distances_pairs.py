"""Which states are held against which, and that distances are of the stored snapshots."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small_study import Finished

from retrain_equivalence.execution.specs import ProbeSpec
from retrain_equivalence.metrics.catalogue import DISTANCES
from retrain_equivalence.metrics.reduction import item_weights
from retrain_equivalence.probes import prediction
from retrain_equivalence.recipes.probe import PredictionProbe
from retrain_equivalence.records.table import from_parquet


@pytest.fixture(scope="module")
def table(finished: Finished) -> pd.DataFrame:
    frame = from_parquet((finished.out / "rows.parquet").read_bytes())
    found = frame[frame.probe.astype(str).str.startswith("prediction:")].copy()
    parts = found.against.astype(str).str.extract(r"^(?P<o>.*)#(?P<or>\d+)(?:@(?P<ou>[^:]+):(?P<os>\d+))?$")
    found = found.astype(dict.fromkeys(("history", "unlearning", "probe", "item", "against", "status"), str))
    return found.assign(
        other=parts.o, other_replicate=parts["or"].astype(int), other_step=parts.os.fillna("0").astype(int)
    )


def test_test_sets_are_never_pooled(table: pd.DataFrame) -> None:
    assert set(table.item) == {"forget", "held_out", "retain:facts", "retain:sums", "generic"}


def test_every_state_is_held_against_every_replicate_of_its_oracle(table: pd.DataFrame) -> None:
    own = table[(table.other == "facts>sums") & (table.history != "facts>sums")]
    hellinger = own[own.probe.str.endswith("/hellinger") & (own.item == "forget")]
    # 2 histories x 2 replicates x (trained, and 2 saved steps of each of 2 unlearnings) x 3 oracle replicates
    assert len(hellinger) == 2 * 2 * (1 + 2 * 2) * 3


def test_oracles_are_held_against_each_other_once(table: pd.DataFrame) -> None:
    among = table[(table.history == "facts>sums") & table.probe.str.endswith("/hellinger") & (table.item == "forget")]
    assert sorted(zip(among.replicate, among.other_replicate, strict=True)) == [(0, 1), (0, 2), (1, 2)]


def test_histories_are_compared_over_different_replicates_at_equal_steps(table: pd.DataFrame) -> None:
    between = table[(table.other != "facts>sums") & table.probe.str.endswith("/hellinger")]
    assert (between.replicate != between.other_replicate).all()
    assert (between.step == between.other_step).all()
    pairs = set(zip(between.history, between.other, strict=True))
    first, last = "facts>sums>safety", "safety>facts>sums"
    assert pairs == {(first, first), (first, last), (last, last)}


def test_no_pair_occurs_twice(table: pd.DataFrame) -> None:
    one = table.history + "#" + table.replicate.astype(str) + "@" + table.unlearning + ":" + table.step.astype(str)
    two = table.against.where(table.against.str.contains("@"), table.against + "@:0")
    unordered = ["|".join(sorted(pair)) for pair in zip(one, two, strict=True)]
    assert not pd.DataFrame({"pair": unordered, "probe": table.probe, "item": table.item}).duplicated().any()


def test_values_are_those_of_the_snapshots(finished: Finished, table: pd.DataFrame) -> None:
    """One pair by hand, through every distance of the catalogue."""
    store = finished.store
    shots = {}
    for planned in finished.plan.planned.values():
        spec = planned.spec
        if isinstance(spec, ProbeSpec) and isinstance(spec.probe, PredictionProbe) and spec.steps is None:
            artifact = store.get(planned.task.key)
            names = {n.partition(".")[2]: n for n in artifact.manifest.files if n.startswith("step-000000.")}
            shots[spec.state[:16]] = prediction.from_files({n: artifact.read(full) for n, full in names.items()})
    trained = table[(table.unlearning == "") & (table.history == "facts>sums>safety") & (table.replicate == 0)]
    rows = trained[trained.against == "facts>sums#1"]
    oracle = next(t.key for t in finished.plan.tasks if t.label == "train facts>sums r1")
    one, two = shots[rows.checkpoint.iloc[0]], shots[oracle[:16]]
    for row in rows.itertuples():
        at = one.positions_of(row.item)
        weights = item_weights(one.item_index(row.item))
        distance = DISTANCES[row.probe.partition("/")[2]]
        by_hand = distance.per_position(one.probabilities[at], two.probabilities[at]) @ weights
        # All pairs come from one Gram matrix: 1 - the product of roots, so rounding is near 1e-7 of 1.
        assert row.value == pytest.approx(float(by_hand), abs=2e-6), row.probe
    assert set(rows.probe.str.partition("/")[2]) == set(DISTANCES)


def test_distances_are_numbers_in_range(table: pd.DataFrame) -> None:
    ok = table[table.status == "ok"]
    assert np.isfinite(ok.value).all()
    assert (ok.value >= 0).all()
    bounded = ok[ok.probe.str.endswith(("/hellinger", "/total_variation"))]
    assert (bounded.value <= 1).all()
    assert (ok.value > 0).any()
