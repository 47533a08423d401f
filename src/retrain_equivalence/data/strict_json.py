r"""JSON as the standard has it: what the `json` module lets pass is refused.

The module keeps the last of two equal keys, accepts `NaN` and `Infinity`, recurses as deep as the input asks, and turns
lone surrogate escapes into characters that no file can hold. Each of these has cost someone a silent wrong row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from retrain_equivalence.data.problems import quoted

MAX_DEPTH = 32

_TOKENS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},]', re.DOTALL)
_EXPECTED = re.compile(r"Expecting (?:property name enclosed in double quotes|(?P<what>.+?))(?: delimiter)?$")


class RowFault(Exception):
    """One row that is not acceptable JSON."""

    def __init__(self, number: int, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.number = number
        self.message = message
        self.fix = fix


def decode(raw: bytes) -> str:
    """Return `raw` as text; `RowFault` 10 names the byte and its 1-based column."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte, column = raw[error.start], error.start + 1
        message = f"byte 0x{byte:02x} at column {column} is not UTF-8"
        raise RowFault(10, message, "save the file as UTF-8") from None


def parse(raw: bytes, *, may_be_cut: bool, sensitive: bool = False) -> Any:
    """Return the value of one row.

    Args:
        raw: its bytes, UTF-8.
        may_be_cut: whether the row ends where the file ends, without a newline; then an unfinished row is 14, not 01.
        sensitive: whether field names, too, stay out of messages.

    Raises:
        RowFault: 01, 08, 09, 10, 13, 14 or 15.
    """
    text = decode(raw)
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and depth(raw) > MAX_DEPTH:
        raise RowFault(15, f"nested deeper than {MAX_DEPTH} levels", "flatten the row")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name, value in pairs:
            if name in row:
                which = "a field" if sensitive else f"field {quoted(name)}"
                raise RowFault(8, f"{which} appears twice", "keep one of them")
            row[name] = value
        return row

    def constant(name: str) -> NoReturn:
        raise RowFault(9, f"{name} is not JSON", "write null, or leave the row out")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise _fault(error, text, may_be_cut) from None
    except (ValueError, RecursionError):
        raise RowFault(1, "not valid JSON (a number is too long)", "write the number as text") from None


def _fault(error: json.JSONDecodeError, text: str, may_be_cut: bool) -> RowFault:
    unfinished = error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip())
    if may_be_cut and unfinished and text.lstrip().startswith(("{", "[")):
        return RowFault(14, "row is cut off (no closing brace); file may be truncated", "fetch the file again")
    if error.msg.startswith("Invalid control character"):
        code = ord(text[error.pos])
        message = f"control character U+{code:04X} at column {error.pos + 1}"
        return RowFault(13, message, "remove it; tabs and line breaks are written \\t and \\n")
    match = _EXPECTED.match(error.msg)
    reason = f"expected {match['what'] or 'a field name in double quotes'}" if match else error.msg.lower()
    return RowFault(1, f"not valid JSON ({reason} at column {error.pos + 1})", "one JSON object a line")


def depth(raw: bytes) -> int:
    """Return how deep brackets and braces nest outside strings.

    >>> depth(b'{"a": ["["]}')
    2
    """
    level = deepest = 0
    for token in _TOKENS.finditer(raw):
        mark = raw[token.start()]
        if mark in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif mark in b"]}":
            level -= 1
    return deepest


def split_array(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Yield the elements of a JSON array as (1-based line, bytes, whether the file ends inside it).

    Elements are split, not parsed, so that every row can be refused with its own line. What follows the array is
    yielded as one more element, which is not a row and is refused as such.
    """
    line, counted, level, start, n_commas = 1, 0, 0, 0, 0

    def element(end: int, cut: bool) -> tuple[int, bytes, bool]:
        nonlocal line, counted
        body = data[start:end]
        first = start + len(body) - len(body.lstrip())
        line += data.count(b"\n", counted, first)
        counted = first
        return line, body.strip(), cut

    for token in _TOKENS.finditer(data):
        mark = data[token.start()]
        if mark in b"[{":
            level += 1
            if level == 1:
                start = token.end()
        elif mark in b"]}":
            level -= 1
            if level == 0:
                last = element(token.start(), False)
                if last[1] or n_commas:
                    yield last
                start = token.end()
                break
        elif mark == ord(",") and level == 1:
            yield element(token.start(), False)
            start, n_commas = token.end(), n_commas + 1
    rest = element(len(data), level > 0)
    if rest[1] or level > 0:
        yield rest
