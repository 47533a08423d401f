"""The results table: one schema, equal results are equal bytes, nothing enters twice."""

import io
import math
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.records.table import (
    COLUMNS,
    IDENTIFYING,
    TEXT_COLUMNS,
    Row,
    Status,
    combine,
    frame_of,
    from_parquet,
    to_parquet,
)

rows = st.builds(
    Row,
    history=st.sampled_from(["a>b", "b>a", "(base)"]),
    replicate=st.integers(0, 20),
    unlearning=st.sampled_from(["", "ga", "npo"]),
    step=st.integers(0, 100),
    probe=st.sampled_from(["forget_loss", "prediction:s/hellinger"]),
    item=st.text(max_size=5),
    against=st.sampled_from(["", "a#1"]),
    value=st.none() | st.floats(allow_nan=False),
    unit=st.sampled_from(["nats/token", "Hellinger²"]),
    status=st.sampled_from(Status),
    checkpoint=st.just("0" * 16),
    task=st.just("f" * 16),
)
tables = st.lists(rows, max_size=12, unique_by=lambda row: tuple(getattr(row, name) for name in IDENTIFYING))
ROW = Row(history="a", replicate=0, probe="p", value=1.0, unit="nats")


@settings(deadline=None, max_examples=50)
@given(tables, st.randoms(use_true_random=False), st.integers(0, 12))
def test_equal_results_are_equal_bytes_in_any_order_and_any_cut(table: list[Row], random, cut: int) -> None:  # type: ignore[no-untyped-def]
    shuffled = table.copy()
    random.shuffle(shuffled)
    whole = to_parquet(combine([frame_of(table)]))
    assert to_parquet(combine([frame_of(shuffled[:cut]), frame_of(shuffled[cut:])])) == whole


@settings(deadline=None, max_examples=50)
@given(tables)
def test_reading_gives_back_every_row(table: list[Row]) -> None:
    frame = from_parquet(to_parquet(combine([frame_of(table)])))
    assert len(frame) == len(table)
    found = {
        tuple(row[:7]): (None if math.isnan(row[7]) else row[7], *row[8:])
        for row in frame.astype(dict.fromkeys(TEXT_COLUMNS, "object")).itertuples(index=False)
    }
    for row in table:
        identity = tuple(getattr(row, name) for name in IDENTIFYING)
        assert found[identity] == (row.value, row.unit, str(row.status), row.checkpoint, row.task)
    assert to_parquet(combine([frame])) == to_parquet(combine([frame_of(table)]))


def test_the_documented_schema() -> None:
    table = pq.read_table(io.BytesIO(to_parquet(frame_of([ROW, replace(ROW, item="x", value=None)]))))
    assert table.schema.names == list(COLUMNS)
    assert (*IDENTIFYING, "value", "unit", "status", "checkpoint", "task") == COLUMNS
    for field in table.schema:
        if field.name in TEXT_COLUMNS:
            assert pa.types.is_dictionary(field.type)
            assert pa.types.is_string(field.type.value_type)
        else:
            assert field.type == (pa.float64() if field.name == "value" else pa.int32())
    assert table.schema.metadata == {b"retrain_equivalence_schema": b"1"}
    assert table["value"].null_count == 1


def test_an_empty_table_has_the_schema_too() -> None:
    empty = to_parquet(combine([]))
    assert empty == to_parquet(combine([frame_of([])])) == to_parquet(frame_of([]))
    assert pq.read_schema(io.BytesIO(empty)) == pq.read_schema(io.BytesIO(to_parquet(frame_of([ROW]))))
    assert list(from_parquet(empty).columns) == list(COLUMNS)


def test_rows_are_sorted_by_their_identity() -> None:
    frame = combine([frame_of([replace(ROW, step=10), replace(ROW, history="Z", step=2), replace(ROW, step=9)])])
    assert list(zip(frame["history"], frame["step"], strict=True)) == [("Z", 2), ("a", 9), ("a", 10)]


@pytest.mark.parametrize("changed", [{}, {"value": 2.0}, {"status": Status.FAILED}, {"task": "other"}])
def test_the_same_measurement_twice_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"E-DATA-51.*rows\.parquet.*1 rows appear twice.*'history': 'a'"):
        combine([frame_of([ROW]), frame_of([replace(ROW, **changed)])])


@pytest.mark.parametrize("name", IDENTIFYING)
def test_every_identifying_column_keeps_rows_apart(name: str) -> None:
    other = replace(ROW, **{name: 5 if name in ("replicate", "step") else "other"})
    assert len(combine([frame_of([ROW]), frame_of([other])])) == 2


@pytest.mark.parametrize("name", COLUMNS)
def test_a_missing_column_is_named(name: str) -> None:
    sink = io.BytesIO()
    pd.DataFrame({column: ["x"] for column in COLUMNS if column != name}).to_parquet(sink)
    with pytest.raises(InputError, match=rf"E-DATA-52.*\['{name}'\]"):
        from_parquet(sink.getvalue())
