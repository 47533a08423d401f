"""The values of one measuring task, as columns, without the names that the table adds."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from retrain_equivalence.core.units import Unit
from retrain_equivalence.records.table import Status

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("step", "measure", "item", "value", "unit", "status")


@dataclass(slots=True)
class Values:
    """Gathered values: step, measure within the probe, item, value, unit, status."""

    rows: list[tuple[int, str, str, float | None, str, str]] = field(default_factory=list)

    def add(self, step: int, measure: str, item: str, value: float | None, unit: Unit, status: Status) -> None:
        """Add one value."""
        self.rows.append((step, measure, item, value, str(unit.value), str(status.value)))

    def censor(self, step: int) -> None:
        """Add what says that the trajectory stopped being finite before this step."""
        self.add(step, "", "", None, Unit.NONE, Status.CENSORED)

    def to_parquet(self) -> bytes:
        """Return the values as bytes; equal values in equal order give equal bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = (pa.int32(), pa.string(), pa.string(), pa.float64(), pa.string(), pa.string())
        columns = list(zip(*self.rows, strict=True)) or [()] * len(COLUMNS)
        arrays = [pa.array(column, type=kind) for column, kind in zip(columns, types, strict=True)]
        sink = io.BytesIO()
        pq.write_table(pa.table(arrays, names=list(COLUMNS)), sink, compression="zstd")
        return sink.getvalue()


def read_values(data: bytes) -> pd.DataFrame:
    """Read what `Values.to_parquet` wrote."""
    import pyarrow.parquet as pq

    frame: pd.DataFrame = pq.read_table(io.BytesIO(data)).to_pandas()
    return frame
