"""Parquet as rows: only the columns that are asked for are decoded, a thousand rows at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from retrain_equivalence.data.problems import Problems, quoted
from retrain_equivalence.data.row_rules import RowRules, missing_field
from retrain_equivalence.data.source import Source, refuse

MAX_COLUMN_BYTES = 1 << 31
"""Of one column in one row group, unpacked: a small file may claim to be enormous."""


def parquet_objects(source: Source, rules: RowRules, found: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `(file:row, fields)` with 1-based rows; a column of the wrong type is E-DATA-29."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = source.everything()
    try:
        file = pq.ParquetFile(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0]
        raise refuse(29, source.shown, f"is not a Parquet file ({reason})", "write it again as Parquet") from None
    schema = file.schema_arrow
    _check_columns(source, rules, schema, pa)
    wanted = [field.name for field in rules.fields]
    _check_sizes(source, file, set(wanted))
    number = 0
    try:
        for batch in file.iter_batches(batch_size=1024, columns=wanted, use_threads=False):
            for record in batch.to_pylist():
                number += 1
                place = f"{source.shown}:{number}"
                longest = max((len(value) for value in record.values() if isinstance(value, str)), default=0)
                if longest > rules.max_row_bytes:
                    message = f"row is over the limit of {rules.max_row_bytes / (1 << 20):g} MB"
                    found.add(16, place, message, "split it into shorter rows")
                    continue
                yield place, record
    except UnicodeDecodeError:
        found.add(10, f"{source.shown}:{number + 1}", "text that is not UTF-8", "write the column as UTF-8 text")
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0]
        found.add(29, f"{source.shown}:{number + 1}", f"damaged Parquet data ({reason})", "fetch the file again")


def _check_columns(source: Source, rules: RowRules, schema: Any, pa: Any) -> None:
    for field in rules.fields:
        if schema.names.count(field.name) > 1:
            raise refuse(8, f"{source.shown}:1", f"column {quoted(field.name)} appears twice", "keep one of them")
        if field.name not in schema.names:
            raise refuse(3, f"{source.shown}:1", *missing_field(field.name, schema.names, rules))
        kind = schema.field(field.name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
        number = field.kind == "id" and pa.types.is_integer(kind)
        if not (text or number or field.kind in ("turns", "chat")):
            column = f"{source.shown}:1:{schema.names.index(field.name) + 1}"
            raise refuse(29, column, f"column {quoted(field.name)} is {kind}, expected text", "write it as text")


def _check_sizes(source: Source, file: Any, wanted: set[str]) -> None:
    for group in range(file.metadata.num_row_groups):
        row_group = file.metadata.row_group(group)
        for index in range(row_group.num_columns):
            column = row_group.column(index)
            name = column.path_in_schema.split(".")[0]
            if name in wanted and column.total_uncompressed_size > MAX_COLUMN_BYTES:
                size = column.total_uncompressed_size / 1e9
                message = f"column {quoted(name)} unpacks to {size:.1f} GB, limit {MAX_COLUMN_BYTES / 1e9:.1f} GB"
                raise refuse(29, f"{source.shown}:1:{index + 1}", message, "write smaller row groups")
