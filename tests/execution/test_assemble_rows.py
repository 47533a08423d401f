"""The table: names, completeness, and what is absent while a study is not finished."""

from __future__ import annotations

import pandas as pd
import pytest
from small_study import Finished

from retrain_equivalence.execution.assemble import assemble
from retrain_equivalence.execution.inputs import put_datasets
from retrain_equivalence.records.table import COLUMNS, from_parquet
from retrain_equivalence.store.memory import MemoryStore


@pytest.fixture(scope="module")
def frame(finished: Finished) -> pd.DataFrame:
    return from_parquet((finished.out / "rows.parquet").read_bytes())


def test_columns_are_the_documented_ones(frame: pd.DataFrame) -> None:
    assert tuple(frame.columns) == tuple(COLUMNS)


def test_every_node_of_the_tree_has_the_losses_of_every_stage(frame: pd.DataFrame) -> None:
    losses = frame[frame.probe.astype(str).str.startswith("stage_loss:")]
    nodes = {"(base)", "facts", "facts>sums", "facts>sums>safety", "safety", "safety>facts", "safety>facts>sums"}
    assert set(losses.probe) == {"stage_loss:facts", "stage_loss:sums", "stage_loss:safety"}
    for replicate in (0, 1):
        assert set(losses[losses.replicate == replicate].history) == nodes
    # The oracle-only replicate walks the oracle alone.
    assert set(losses[losses.replicate == 2].history) == {"(base)", "facts", "facts>sums"}
    assert set(losses.step) == {0}
    assert losses.groupby(["history", "replicate", "probe"], observed=True).size().min() == 8


def test_the_forget_loss_is_there_at_every_step_and_at_oracles(frame: pd.DataFrame) -> None:
    losses = frame[frame.probe == "forget_loss"]
    assert set(losses[losses.unlearning != ""].step) == {1, 2, 3, 4}
    assert set(losses[losses.unlearning == ""].step) == {0}
    assert set(losses[losses.unlearning == ""].history) == {"facts>sums>safety", "safety>facts>sums", "facts>sums"}
    items = losses.groupby(["history", "replicate", "unlearning", "step"], observed=True)["item"].agg(frozenset)
    assert len(set(items)) == 1, "the same rows everywhere"


def test_scalar_probes_are_at_ends_oracles_and_saved_steps(frame: pd.DataFrame) -> None:
    for probe in ("forget_score:safety/label", "forget_score:safety/paraphrases", "answer_logprob:facts"):
        own = frame[frame.probe == probe]
        assert set(own[own.unlearning == ""].step) == {0}
        assert set(own[own.unlearning != ""].step) == {2, 4}
        assert set(own[own.unlearning == ""].history) == {"facts>sums>safety", "safety>facts>sums", "facts>sums"}
        assert set(own[own.unlearning != ""].history) == {"facts>sums>safety", "safety>facts>sums"}


def test_rows_are_told_apart_and_sorted_in_one_way(frame: pd.DataFrame) -> None:
    identity = ["history", "replicate", "unlearning", "step", "probe", "item", "against"]
    assert not frame.duplicated(identity).any()
    assert not frame[frame.columns.difference(["value"])].isna().any().any()


def test_a_half_finished_store_gives_a_table_of_what_is_there(finished: Finished) -> None:
    half = MemoryStore()
    put_datasets(finished.inputs, half)
    for key in finished.plan.planned:
        planned, found = finished.plan.planned[key], finished.store.get(key)
        if planned.task.kind in ("base", "stage") or planned.task.label.startswith("stage losses"):
            half.put(
                key, kind=found.manifest.kind, recipe=found.manifest.recipe,
                parents={p: finished.store.get(p).manifest.digest for p in planned.named.parents},
                files={name: found.read(name) for name in found.manifest.files},
            )  # fmt: skip
    frame = assemble(finished.plan, half)
    assert set(frame.probe) == {"stage_loss:facts", "stage_loss:sums", "stage_loss:safety"}
    assert (frame.status == "ok").all()
