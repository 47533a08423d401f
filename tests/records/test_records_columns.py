"""A table read in batches of codes is the table read as a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.records import columns as module
from retrain_equivalence.records.columns import NUMBERS, TEXTS, Columns
from retrain_equivalence.records.table import COLUMNS, Row, Status, frame_of, to_parquet


def rows(n: int) -> list[Row]:
    rng = np.random.default_rng(n)
    return [
        Row(
            history=f"h{rng.integers(3)}",
            replicate=int(rng.integers(4)),
            step=k,
            probe="forget_loss",
            item=f"item {k % 7}",
            value=None if k % 5 == 0 else float(rng.normal()),
            unit="nats/token",
            status=Status.UNSCORED if k % 5 == 0 else Status.OK,
        )
        for k in range(n)
    ]


def same(one: Columns, two: Columns) -> None:
    for name in TEXTS:
        assert [one.names[name][code] for code in one.codes[name]] == [two.names[name][c] for c in two.codes[name]]
        assert one.names[name] == sorted(one.names[name])
    for name in NUMBERS:
        assert one.codes[name].tolist() == two.codes[name].tolist()
    assert np.array_equal(one.values, two.values, equal_nan=True)


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_file_and_frame_are_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(module, "BATCH", batch)
    frame = frame_of(rows(40))
    (tmp_path / "rows.parquet").write_bytes(to_parquet(frame))
    same(Columns.of_parquet(tmp_path / "rows.parquet"), Columns.of_frame(frame))


def test_plain_text_columns_of_another_writer_are_read(tmp_path: Path) -> None:
    frame = frame_of(rows(40))
    plain = frame.astype(dict.fromkeys(TEXTS, "object") | {"replicate": "int64", "value": "float32"})
    pq.write_table(pa.Table.from_pandas(plain, preserve_index=False), tmp_path / "rows.parquet")
    same(Columns.of_parquet(tmp_path / "rows.parquet"), Columns.of_frame(frame.astype({"value": "float32"})))


def test_codes_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    frame = frame_of(rows(40))
    turned = frame.iloc[::-1].reset_index(drop=True)
    one, two = Columns.of_frame(frame), Columns.of_frame(turned)
    for name in TEXTS:
        assert one.names[name] == two.names[name]
        assert one.codes[name].tolist() == two.codes[name][::-1].tolist()


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(to_parquet(frame_of([])))
    assert len(Columns.of_parquet(tmp_path / "rows.parquet")) == 0


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (lambda frame: frame.drop(columns="unit"), "E-DATA-52", "unit"),
        (lambda frame: frame.assign(item=[None, *frame["item"][1:]]), "E-DATA-54", "1 rows have no 'item'"),
        (lambda frame: frame.assign(step=[None, *frame["step"][1:]]), "E-DATA-54", "1 rows have no 'step'"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, spoil: object, code: str, said: str) -> None:
    assert callable(spoil)
    spoiled: pd.DataFrame = spoil(frame_of(rows(5)))
    pq.write_table(pa.Table.from_pandas(spoiled, preserve_index=False), tmp_path / "rows.parquet")
    for read in (lambda: Columns.of_parquet(tmp_path / "rows.parquet"), lambda: Columns.of_frame(spoiled)):
        with pytest.raises(InputError, match=said) as raised:
            read()
        assert raised.value.problems[0].code == code


@pytest.mark.parametrize("damage", ["cut", "text", "type"])
def test_what_is_no_table_gets_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "rows.parquet"
    data = to_parquet(frame_of(rows(40)))
    if damage == "type":
        frame = frame_of(rows(5)).astype({"value": "object"}).assign(value="much")
        pq.write_table(pa.Table.from_pandas(frame[list(COLUMNS)], preserve_index=False), path)
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"history,replicate\n")
    with pytest.raises(InputError) as raised:
        Columns.of_parquet(path)
    assert raised.value.problems[0].code == "E-DATA-59"
