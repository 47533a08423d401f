"""The results table as arrays of codes: what ten million rows fit into, whoever wrote them.

Design. A frame holds every text column whole; the statistics need what identifies a row, its unit, status and value,
and texts only as integers. A file is read in batches, so that no more than one batch of it is ever in memory beside the
codes. Codes are ranks among the *sorted* names, because the order in which a file met them is an accident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.records.table import COLUMNS, IDENTIFYING, TEXT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Codes = NDArray[np.int32]

TEXTS: tuple[str, ...] = (*(name for name in IDENTIFYING if name in TEXT_COLUMNS), "status", "unit")
"""The text columns that are kept."""
NUMBERS: tuple[str, ...] = ("replicate", "step")
BATCH = 1 << 19
"""Rows that are decoded at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """A table's rows in the order in which they came."""

    codes: Mapping[str, Codes]
    """Per text column the rank of each row's text in `names`, and `replicate` and `step` themselves."""
    names: Mapping[str, list[str]]
    """Per text column its distinct texts, ascending."""
    values: NDArray[np.float64]
    """The values, nan where null."""

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> Columns:
        """Return the columns of a frame.

        Raises:
            InputError: E-DATA-52 if a column is missing; E-DATA-54 if a text, a replicate or a step is null.
        """
        _require(list(frame.columns))
        codes: dict[str, Codes] = {}
        names: dict[str, list[str]] = {}
        for name in TEXTS:
            column = frame[name].astype("category")
            _refuse_nulls(name, int(column.isna().sum()))
            rank, names[name] = _ranked([str(value) for value in column.cat.categories])
            codes[name] = rank[column.cat.codes.to_numpy()]
        for name in NUMBERS:
            _refuse_nulls(name, int(frame[name].isna().sum()))
            codes[name] = frame[name].to_numpy().astype(np.int32)
        return cls(codes=codes, names=names, values=frame["value"].to_numpy(dtype=np.float64, na_value=np.nan))

    @classmethod
    def of_parquet(cls, path: Path) -> Columns:
        """Return the columns of a file in the documented layout.

        Raises:
            InputError: E-DATA-52 if a column is missing; E-DATA-54 if a text, a replicate or a step is null;
                E-DATA-59 if the file is no Parquet table.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            _require(pq.read_schema(path).names)
            with pq.ParquetFile(path, read_dictionary=list(TEXTS), pre_buffer=False) as file:
                made = _Making(file.metadata.num_rows)
                for batch in file.iter_batches(batch_size=BATCH, columns=[*TEXTS, *NUMBERS, "value"]):
                    made.add(batch)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
            raise InputError.of(
                "E-DATA-59",
                str(path),
                f"is no results table ({str(error).splitlines()[0][:120]})",
                "write it as docs/results.md says, or run the study again",
            ) from None
        return made.columns()


class _Making:
    """Columns that are being filled batch by batch; codes are ranks only at the end."""

    def __init__(self, rows: int) -> None:
        self._codes: dict[str, Codes] = {name: np.empty(rows, dtype=np.int32) for name in (*TEXTS, *NUMBERS)}
        self._values = np.empty(rows)
        self._known: dict[str, dict[str, int]] = {name: {} for name in TEXTS}
        self._done = 0

    def add(self, batch: pa.RecordBatch) -> None:
        import pyarrow as pa

        there = slice(self._done, self._done + len(batch))
        for name in TEXTS:
            column = batch.column(name)
            _refuse_nulls(name, column.null_count)
            if not pa.types.is_dictionary(column.type):
                column = column.dictionary_encode()
            known = self._known[name]
            place = [known.setdefault(str(value), len(known)) for value in column.dictionary.to_pylist()]
            self._codes[name][there] = np.asarray(place, dtype=np.int32)[column.indices.to_numpy(zero_copy_only=False)]
        for name in NUMBERS:
            column = batch.column(name)
            _refuse_nulls(name, column.null_count)
            self._codes[name][there] = column.to_numpy(zero_copy_only=False)
        self._values[there] = batch.column("value").cast(pa.float64()).to_numpy(zero_copy_only=False)
        self._done += len(batch)

    def columns(self) -> Columns:
        names: dict[str, list[str]] = {}
        for name, known in self._known.items():
            rank, names[name] = _ranked(list(known))
            if len(rank):
                self._codes[name] = rank[self._codes[name]]
        return Columns(codes=self._codes, names=names, values=self._values)


def _ranked(texts: list[str]) -> tuple[Codes, list[str]]:
    """Return for each text its place among the sorted ones, and these."""
    order = sorted(range(len(texts)), key=texts.__getitem__)
    rank = np.empty(len(texts), dtype=np.int32)
    rank[order] = np.arange(len(texts), dtype=np.int32)
    return rank, [texts[index] for index in order]


def _require(found: list[str]) -> None:
    if missing := [name for name in COLUMNS if name not in found]:
        raise InputError.of("E-DATA-52", "rows.parquet", f"columns are missing: {missing}", "see docs/results.md")


def _refuse_nulls(name: str, nulls: int) -> None:
    if nulls:
        fix = "write an empty text instead" if name in TEXTS else "write a whole number"
        raise InputError.of("E-DATA-54", "rows.parquet", f"{nulls} rows have no '{name}'", fix)
