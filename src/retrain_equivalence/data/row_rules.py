"""What a row must look like: the rules that every format is checked by."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from retrain_equivalence.core.errors import visible
from retrain_equivalence.data.problems import quoted

MAX_ROW_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field that a row must have."""

    name: str
    kind: Literal["text", "id", "turns", "chat"] = "text"
    """`text`; `id`: text or a whole number; `turns`: a list of texts of which the first is taken; `chat`: a list of
    messages that is one question and its answer, handed on as `<name>.user` and `<name>.assistant`."""
    may_be_empty: bool = False
    unique: bool = False
    """Whether two rows may not have the same value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """What a row must look like."""

    fields: tuple[Field, ...]
    ignored: tuple[str, ...] = ()
    """Only with `strict`: further fields that are known and not read."""
    strict: bool = False
    """Whether a field that is neither listed nor ignored is a problem."""
    sensitive: bool = False
    """Whether nothing of a row may be quoted."""
    max_row_bytes: int = MAX_ROW_BYTES


def missing_field(name: str, has: Iterable[str], rules: RowRules) -> tuple[str, str]:
    """Return message and fix for a field that is not there, with the nearest of those that are."""
    message = f"field {quoted(name)} is missing"
    if rules.sensitive:
        return message, "name the fields in the study, or add it"
    names = list(has)
    known = {field.name for field in rules.fields}
    spare = [other for other in names if other not in known]
    near = difflib.get_close_matches(name, spare, n=1, cutoff=0.5)
    near = near or [other for other in spare if other and (name.startswith(other) or other.startswith(name))][:1]
    shown = visible(", ".join(visible(other, limit=40) for other in names[:6]) or "none", limit=80)
    fix = f"rename {quoted(near[0])} to {quoted(name)}?" if near else "add it, or name the fields in the study"
    return f"{message} (has: {shown})", fix
