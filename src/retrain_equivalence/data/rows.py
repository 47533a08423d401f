"""The row validator: from a file's bytes to checked text fields, or to every problem with its line.

Design. One streaming pass over bytes, split on LF alone: `str.splitlines` also breaks on U+2028 and U+0085, and has cut
rows in two in many projects. Line numbers are physical, 1-based, blank lines counted. A message quotes at most 40
escaped characters of a row, and nothing at all of a sensitive set. Text is handed on byte for byte as it stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain_equivalence.core.errors import visible
from retrain_equivalence.data.csv_rows import csv_objects
from retrain_equivalence.data.normal import CONTROL
from retrain_equivalence.data.parquet_rows import parquet_objects
from retrain_equivalence.data.problems import Problems, quoted, short_place
from retrain_equivalence.data.row_rules import Field, RowRules, missing_field
from retrain_equivalence.data.source import Source, open_source, refuse
from retrain_equivalence.data.strict_json import RowFault, parse, split_array

SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")

_SURROGATE = re.compile("[\ud800-\udfff]")
# Letters by category that nonetheless show nothing: the Hangul fillers and the combining grapheme joiner.
_INVISIBLE = frozenset("ᅟᅠㅤﾠ͏")
_TYPES = {dict: "object", list: "array", str: "text", bool: "true or false", int: "number", float: "number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row that passed."""

    place: str
    """`file:line`."""
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All rows of one file, with the file's SHA-256."""

    rows: tuple[Row, ...]
    sha256: str


def read_table(
    path: Path, *, root: Path, shown: str, rules: RowRules, found: Problems, sha256: str | None = None
) -> Table:
    """Read a JSONL, JSON, Parquet or CSV file; problems of rows are added to `found`, problems of the file are raised.

    Args:
        path: the file; its suffix says the format.
        root: the folder that links may not lead out of.
        shown: its name in messages.
        rules: what a row must look like.
        found: where problems go.
        sha256: what the file must hash to, or None.

    Raises:
        InputError: E-DATA-11, 16, 24, 29, 30, 31, 32, 33, 44 for the file as a whole.
    """
    shown = short_place(shown)
    checker = _Checker(rules, found)
    with open_source(path, root=root, shown=shown) as source:
        rows = tuple(checker.checked(_objects(source, path.suffix.lower(), rules, found)))
        digest = source.sha256
    if not rows and not found.errors:
        raise refuse(24, shown, "no rows", "check that the file was written completely")
    if sha256 is not None and not found.errors and digest != sha256:
        message = f"sha256 differs from the one that was locked (expected {sha256[:8]}…, found {digest[:8]}…)"
        raise refuse(33, shown, message, "restore the file, or lock the study again")
    return Table(rows=rows, sha256=digest)


def read_records(records: Iterator[Mapping[str, Any]], *, shown: str, rules: RowRules, found: Problems) -> Table:
    """Check rows that another reader produced (the hub's); their place is `shown:row`, 1-based; there is no hash."""
    numbered = ((f"{shown}:{number}", dict(record)) for number, record in enumerate(records, start=1))
    rows = tuple(_Checker(rules, found).checked(numbered))
    if not rows and not found.errors:
        raise refuse(24, shown, "no rows", "check the configuration's name")
    return Table(rows=rows, sha256="")


def _objects(source: Source, suffix: str, rules: RowRules, found: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    if suffix == ".csv":
        return csv_objects(source, rules, found)
    if suffix == ".parquet":
        return parquet_objects(source, rules, found)
    if suffix == ".json" and source.head().removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        return _parsed(source, _elements(source, found), rules, found)
    if suffix in (".jsonl", ".json"):
        return _parsed(source, _lines(source, rules, found), rules, found)
    raise refuse(44, source.shown, f"unknown format {quoted(suffix)}", f"use one of {', '.join(SUFFIXES)}")


def _lines(source: Source, rules: RowRules, found: Problems) -> Iterator[tuple[int, bytes, bool]]:
    for number, line in enumerate(source.lines(rules.max_row_bytes + 1), start=1):
        if number == 1 and line.startswith(b"\xef\xbb\xbf"):
            found.warn(11, f"{source.shown}:1", "a byte order mark was skipped")
            line = line[3:]
        too_long = len(line) > rules.max_row_bytes + 1
        yield number, line if too_long else line.strip(b" \t\r\n"), not line.endswith(b"\n")


def _elements(source: Source, found: Problems) -> Iterator[tuple[int, bytes, bool]]:
    data = source.everything()
    if data.startswith(b"\xef\xbb\xbf"):
        found.warn(11, f"{source.shown}:1", "a byte order mark was skipped")
        data = data[3:]
    for line, body, cut in split_array(data):
        # An empty element is a stray comma; a space keeps it from being taken for a blank line.
        yield line, body or (b"{" if cut else b" "), cut


def _parsed(
    source: Source, pieces: Iterator[tuple[int, bytes, bool]], rules: RowRules, found: Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, raw, may_be_cut in pieces:
        if found.full:
            return
        if not raw:
            continue
        place = f"{source.shown}:{number}"
        try:
            if len(raw) > rules.max_row_bytes:
                size, limit = len(raw) / (1 << 20), rules.max_row_bytes / (1 << 20)
                raise RowFault(16, f"row is {size:.1f} MB or more, limit {limit:g} MB", "split it into shorter rows")
            value = parse(raw, may_be_cut=may_be_cut, sensitive=rules.sensitive)
            if not isinstance(value, dict):
                found_type = _TYPES.get(type(value), "null")
                raise RowFault(2, f"a row must be a JSON object, found {found_type}", "write {...} with named fields")
        except RowFault as fault:
            found.add(fault.number, place, fault.message, fault.fix)
            continue
        yield place, value


class _Checker:
    """The rules of one file, with the values that must be unique."""

    def __init__(self, rules: RowRules, found: Problems) -> None:
        self.rules = rules
        self.found = found
        self.known = frozenset((*(field.name for field in rules.fields), *rules.ignored))
        self.seen: dict[str, dict[str, str]] = {field.name: {} for field in rules.fields if field.unique}

    def checked(self, objects: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[Row]:
        for place, row in objects:
            if self.found.full:
                return
            before = len(self.found.errors)
            if self.rules.strict:
                self._unknown(place, row)
            values: dict[str, str] = {}
            for field in self.rules.fields:
                values |= self._field(place, row, field)
            if len(self.found.errors) == before:
                yield Row(place=place, fields=values)

    def _unknown(self, place: str, row: Mapping[str, Any]) -> None:
        for name in row:
            if name not in self.known:
                what = "an unknown field" if self.rules.sensitive else f"unknown field {quoted(name)}"
                self.found.add(4, place, what, f"the fields are {', '.join(sorted(self.known))}")

    def _field(self, place: str, row: Mapping[str, Any], field: Field) -> dict[str, str]:
        name = field.name
        at = f"field {quoted(name)}"
        if name not in row:
            self._missing(place, row, name)
            return {}
        value = row[name]
        if value is None:
            self.found.add(6, place, f"{at} is null", "give it a text, or leave the row out")
            return {}
        if field.kind == "chat":
            return self._chat(place, value, field)
        if field.kind == "turns" and isinstance(value, list) and value:
            value = value[0]
        if field.kind == "id" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            self._type(place, at, value, "text or a whole number" if field.kind == "id" else "text")
            return {}
        if not self._text(place, at, value, field.may_be_empty):
            return {}
        if field.unique:
            first = self.seen[name].setdefault(value, place)
            if first != place:
                which = "this id is" if self.rules.sensitive else f"id {quoted(value)} is"
                line = first.rpartition(":")[2]
                self.found.add(21, place, f"{at}: {which} already used at line {line}", "give each row its own id")
        return {name: value}

    def _missing(self, place: str, row: Mapping[str, Any], name: str) -> None:
        self.found.add(3, place, *missing_field(name, row, self.rules))

    def _type(self, place: str, at: str, value: object, expected: str) -> None:
        kind = _TYPES.get(type(value), type(value).__name__)
        shown = f" {visible(str(value), limit=40)}" if isinstance(value, int | float) else ""
        message = f"{at}: expected {expected}, found {kind}{'' if self.rules.sensitive else shown}"
        self.found.add(5, place, message, "put the text in quotation marks")

    def _text(self, place: str, at: str, value: str, may_be_empty: bool) -> bool:
        if match := _SURROGATE.search(value):
            code = f"\\u{ord(match[0]):04x}"
            self.found.add(
                12, place, f"{at}: {code} is not a character", "write the whole surrogate pair, or remove it"
            )
        elif match := CONTROL.search(value):
            message = f"{at}: control character U+{ord(match[0]):04X} at character {match.start() + 1}"
            self.found.add(13, place, message, "remove it; tab and line breaks are allowed")
        elif not may_be_empty and is_blank(value):
            self.found.add(7, place, f"{at} is empty after trimming", "fill it, or leave the row out")
        else:
            return True
        return False

    def _chat(self, place: str, value: object, field: Field) -> dict[str, str]:
        at = f"field {quoted(field.name)}"
        if not isinstance(value, list):
            self._type(place, at, value, "an array of messages")
            return {}
        values: dict[str, str] = {}
        expected = ("user", "assistant")
        before = "the beginning"
        for number, message in enumerate(value, start=1):
            if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
                self.found.add(20, place, f"message {number}: expected an object with role and content", "add them")
                return {}
            role = message["role"]
            if number > len(expected) or role != expected[number - 1]:
                shown = quoted(str(role)) if str(role) in ("user", "assistant", "system", "tool") else "(unknown)"
                fix = "one user message and one assistant message a row; a system prompt belongs to the model"
                self.found.add(20, place, f"message {number}: role {shown} after {before}", fix)
                return {}
            before = quoted(role)
            content = message["content"]
            if not isinstance(content, str):
                self._type(place, f"message {number}", content, "text")
                return {}
            if not self._text(place, f"message {number}", content, False):
                return {}
            values[f"{field.name}.{role}"] = content
        if len(values) < len(expected):
            message_ = f"{at} has {len(values)} of 2 messages"
            self.found.add(20, place, message_, "one user message and one assistant message a row")
            return {}
        return values


def is_blank(text: str) -> bool:
    r"""Return whether nothing of `text` can be seen: blanks, zero-width characters, fillers.

    >>> is_blank(" \u200b\t"), is_blank(" a ")
    (True, False)
    """
    # Most rows show something in their first characters, so the slow look is rare.
    return all(c.isspace() or c in _INVISIBLE or unicodedata.category(c) in ("Cf", "Cc", "Zs") for c in text)
