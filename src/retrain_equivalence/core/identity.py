"""Identity: what was asked (`Key`) and what came out (`Digest`).

Design. A recipe is plain data (dicts, lists, text, numbers, booleans, null, frozen dataclasses). Its canonical JSON is
hashed with a type prefix, chained on the keys of its parents, so that two things have one key exactly if they were
asked for in the same way. A lenient encoder would fork identity silently, so this one raises on everything it does not
know: callables, sets, default reprs, nan and infinity.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, NewType

Key = NewType("Key", str)
"""64 hexadecimal digits: the SHA-256 of what was asked."""

Digest = NewType("Digest", str)
"""64 hexadecimal digits: the SHA-256 of what came out."""

Plain = Any
"""JSON-like data: None, bool, int, float, str, lists of it, dicts from str to it."""


def plain(value: object) -> Plain:
    """Return `value` as JSON-like data: dataclasses become dicts of their fields, enums their values, tuples lists.

    Raises:
        TypeError: for anything that has no canonical form (callables, sets, bytes, objects with a default repr).
        ValueError: for nan and infinity, and for keys that are not text.
    """
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no canonical form: use null and a reason instead")
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"the keys of a recipe must be text, found {sorted(map(repr, value))[:3]}")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form: make it text, a number, a list or a dataclass")


def canonical_json(value: object) -> str:
    """Return the one JSON text of `value`: sorted keys, no blanks, shortest floats, UTF-8, no nan or infinity.

    `1`, `1.0`, `"1"` and `true` have four different texts.

    >>> canonical_json({"b": (1, 1.0), "a": None})
    '{"a":null,"b":[1,1.0]}'
    """
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(kind: str, recipe: object, parents: Iterable[Key] = ()) -> Key:
    """Return the key of what `recipe` asks for, chained on the keys of its `parents` in order.

    Args:
        kind: `base`, `dataset`, `stage`, `unlearn`, `probe`, `distance`: a type prefix, so kinds never collide.
        recipe: anything `plain` accepts.
        parents: keys of what is read, in order.
    """
    body = canonical_json({"parents": list(parents), "recipe": plain(recipe)})
    return Key(hashlib.sha256(f"retrain-equivalence/{kind}/v1\0{body}".encode()).hexdigest())


def digest_of_bytes(data: bytes) -> Digest:
    """Return the SHA-256 of `data`."""
    return Digest(hashlib.sha256(data).hexdigest())


def digest_of_files(files: Mapping[str, tuple[int, str]]) -> Digest:
    """Return the digest of a folder: SHA-256 over its sorted `(name, size in bytes, sha256)` lines."""
    lines = "".join(f"{name}\0{size}\0{sha}\n" for name, (size, sha) in sorted(files.items()))
    return digest_of_bytes(lines.encode())


def explain(old: object, new: object, at: str = "") -> str | None:
    """Name the first field in which two recipes differ, as `dotted.field: old -> new`; None if they are equal.

    >>> explain({"a": {"b": 1}}, {"a": {"b": 2}})
    'a.b: 1 -> 2'
    """
    one, two = plain(old), plain(new)
    if isinstance(one, dict) and isinstance(two, dict):
        for name in sorted(one.keys() | two.keys()):
            place = f"{at}.{name}" if at else name
            if name not in one:
                return f"{place}: (absent) -> {canonical_json(two[name])}"
            if name not in two:
                return f"{place}: {canonical_json(one[name])} -> (absent)"
            if difference := explain(one[name], two[name], place):
                return difference
        return None
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for index, (left, right) in enumerate(zip(one, two, strict=True)):
            if difference := explain(left, right, f"{at}[{index}]"):
                return difference
        return None
    if canonical_json(one) == canonical_json(two):
        return None
    return f"{at or '(root)'}: {canonical_json(one)} -> {canonical_json(two)}"
