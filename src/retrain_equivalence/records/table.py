"""The results table: one row per measured value; the only thing that the two wings share.

The file is `rows.parquet`. Text columns are dictionary-encoded, rows are sorted by all identifying columns, so equal
results are equal bytes. `docs/results.md` documents the layout for readers of other languages.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from retrain_equivalence.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1


class Status(StrEnum):
    """Why a value is, or is not, there."""

    OK = "ok"
    CENSORED = "censored"
    """The trajectory stopped being finite before this step."""
    UNSCORED = "unscored"
    """The measurement is not meaningful here, for example a rest cell above its limit."""
    FAILED = "failed"
    """The probe raised; the run goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured value."""

    history: str
    """Name of the history: `a>b>c`; a prefix or an oracle is a history too."""
    replicate: int
    """Which replicate, >= 0."""
    unlearning: str = ""
    """Name of the unlearning; empty for a trained state."""
    step: int = 0
    """Unlearning steps done; 0 for a trained state."""
    probe: str
    """What was measured: `forget_score:safety/label`, `prediction:safety/hellinger`, `forget_loss`, ..."""
    item: str = ""
    """Which item (a row's id); for a distance the test set (`forget`, `held_out`, `retain:tofu`, `generic`)."""
    against: str = ""
    """For a distance: the other state's name."""
    value: float | None
    """The value, or null with a reason in `status`."""
    unit: str
    status: Status = Status.OK
    checkpoint: str = ""
    """Key of the state that was measured (first 16 digits)."""
    task: str = ""
    """Key of the task that measured it (first 16 digits)."""


COLUMNS: tuple[str, ...] = tuple(Row.__slots__)
IDENTIFYING: tuple[str, ...] = ("history", "replicate", "unlearning", "step", "probe", "item", "against")
TEXT_COLUMNS: tuple[str, ...] = (
    "history", "unlearning", "probe", "item", "against", "unit", "status", "checkpoint", "task",
)  # fmt: skip


def frame_of(rows: Iterable[Row]) -> pd.DataFrame:
    """Return rows as a frame with the columns of `Row`, text as categories."""
    import pandas as pd

    listed = list(rows)
    columns = {name: [getattr(row, name) for row in listed] for name in COLUMNS}
    columns["status"] = [str(value) for value in columns["status"]]
    frame = pd.DataFrame(columns)
    return typed(frame)


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the schema's column types and order."""
    types = dict.fromkeys(TEXT_COLUMNS, "category") | {"replicate": "int32", "step": "int32", "value": "float64"}
    return frame.loc[:, list(COLUMNS)].astype(types)


def combine(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Stack segments, sort by the identifying columns and refuse duplicates.

    Raises:
        InputError: E-DATA-51 if two rows have the same identifying columns: a retry must never enter twice.
    """
    import pandas as pd

    parts = [frame.astype(dict.fromkeys(TEXT_COLUMNS, "object")) for frame in frames if len(frame)]
    whole = pd.concat(parts, ignore_index=True) if parts else frame_of([])
    whole = whole.sort_values(list(IDENTIFYING), kind="stable", ignore_index=True)
    twice = whole.duplicated(list(IDENTIFYING))
    if twice.any():
        first = whole.loc[twice, list(IDENTIFYING)].iloc[0].to_dict()
        raise InputError.of(
            "E-DATA-51", "rows.parquet", f"{int(twice.sum())} rows appear twice, first {first}", "remove them"
        )
    return typed(whole)


def to_parquet(frame: pd.DataFrame) -> bytes:
    """Return the frame as the bytes of `rows.parquet`; equal frames give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [
        (name, pa.dictionary(pa.int32(), pa.string()) if name in TEXT_COLUMNS else
         pa.float64() if name == "value" else pa.int32())
        for name in COLUMNS
    ]  # fmt: skip
    schema = pa.schema(fields, metadata={"retrain_equivalence_schema": str(SCHEMA_VERSION)})
    plain = frame.astype(dict.fromkeys(TEXT_COLUMNS, "object")).astype(dict.fromkeys(TEXT_COLUMNS, "category"))
    table = pa.Table.from_pandas(plain, schema=schema, preserve_index=False).replace_schema_metadata(schema.metadata)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=True)
    return sink.getvalue()


def from_parquet(data: bytes) -> pd.DataFrame:
    """Read the bytes of a table in the documented layout.

    Raises:
        InputError: E-DATA-52 if a column is missing.
    """
    import pyarrow.parquet as pq

    frame = pq.read_table(io.BytesIO(data)).to_pandas()
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise InputError.of("E-DATA-52", "rows.parquet", f"columns are missing: {missing}", "see docs/results.md")
    return typed(frame)
