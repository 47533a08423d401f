"""The header of a safetensors file, read by ourselves before any library maps the file.

Format: 8 bytes little-endian length n, n bytes of JSON, then the tensors' bytes without holes.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_HEADER = 16 << 20
"""Bytes; the header of a 70-billion-parameter model has less than 0.1 MiB."""

ITEM_SIZE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Types that weights may have; quantised and integer types are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHeader:
    """One tensor as its file announces it."""

    dtype: str
    shape: tuple[int, ...]


class BadHeaderError(ValueError):
    """The file is not a well-formed safetensors file of weights; the text says why."""


def read_header(path: Path) -> dict[str, TensorHeader]:
    """Return the tensors of `path` by name.

    Raises:
        BadHeaderError: truncated or oversized header, not JSON, duplicate names, unknown types, wrong sizes, overlaps,
            holes, or bytes after the last tensor.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise BadHeaderError("is truncated: the header is longer than the file")
        if length > MAX_HEADER:
            raise BadHeaderError(f"has a header of {length:,} bytes, limit {MAX_HEADER:,}")
        raw = file.read(length)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BadHeaderError("has a header that is not JSON in UTF-8") from error
    if not isinstance(header, dict):
        raise BadHeaderError("has a header that is not a JSON object")
    header.pop("__metadata__", None)
    found: dict[str, TensorHeader] = {}
    spans: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        tensor, begin, end = _tensor(name, entry)
        found[name] = tensor
        spans.append((begin, end, name))
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            raise BadHeaderError(f"{'overlaps' if begin < position else 'has a hole'} before tensor '{name}'")
        position = end
    if position != size - 8 - length:
        raise BadHeaderError(f"has {size - 8 - length:,} bytes of data, its tensors need {position:,}")
    return found


def _tensor(name: str, entry: Any) -> tuple[TensorHeader, int, int]:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise BadHeaderError(f"describes tensor '{name}' incompletely") from error
    if dtype not in ITEM_SIZE:
        raise BadHeaderError(f"holds tensor '{name}' of type {dtype}; weights are {', '.join(ITEM_SIZE)}")
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise BadHeaderError(f"gives tensor '{name}' a size that is not a whole number")
    needed = ITEM_SIZE[dtype]
    for n in shape:
        needed *= n
    if end - begin != needed:
        raise BadHeaderError(f"gives tensor '{name}' {end - begin:,} bytes, its shape needs {needed:,}")
    return TensorHeader(dtype=dtype, shape=shape), begin, end


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadHeaderError("names something twice in its header")
    return found
