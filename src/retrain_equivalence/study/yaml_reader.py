"""A strict reader of the part of YAML that a study needs, with the place of every value.

Design. PyYAML's parser turns text into events; values are built here, from the events, without recursion. Its
constructors and resolver are not used: they follow YAML 1.1, where `1e-5` is text, `no` is false, `012` is ten and
`1:30` is ninety, keep the last of two equal keys, and expand aliases. Here

- plain scalars are null (`null`, `~`, nothing), `true`, `false`, decimal integers and floats (YAML 1.2), else text;
- duplicate keys, tags, anchors, aliases, merge keys, interpolation, several documents, tabs as indentation, and deep
  nesting are refused, all of them in one go;
- nothing in a file can name code, another file or an environment variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrain_equivalence.core.errors import Problem, visible
from retrain_equivalence.core.identity import Plain
from retrain_equivalence.study.places import Path, Position, dotted

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1 << 20
"""A study is written by people; a larger file is something else."""
MAX_DEPTH = 16
"""The deepest study needs 6 levels."""
MAX_DIGITS = 30
"""Longer integers are refused before Python's quadratic conversion sees them."""

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTERPOLATION = re.compile(r"\$\{|\{\{|\$\(")
_TAB = re.compile(r"^ *\t", re.MULTILINE)
# What YAML 1.2 calls printable, less the invisible characters that only serve to deceive (zero width, bidirectional).
_UNPRINTABLE = re.compile(
    "[^\\t\\n\\r\\x20-\\x7e\\x85\\xa0-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]"
    "|[\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2069]"
)


@dataclass(slots=True)
class Document:
    """What was read: plain values, where each of them stands, and what is wrong."""

    value: Plain = None
    positions: dict[Path, Position] = field(default_factory=dict)
    """Path -> the place of its key (in a mapping) or of the item itself (in a list); `()` is the document."""
    problems: list[Problem] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)
    """Paths whose value was refused here, so that nothing more need be said about it."""


def plain_scalar(text: str) -> Plain:
    """Return the value of a plain (unquoted) scalar by the number grammar of YAML 1.2.

    >>> [plain_scalar(text) for text in ("1e-5", "3", "true", "no", "012", "1:30", "~", "2026-01-01")]
    [1e-05, 3, True, 'no', '012', '1:30', None, '2026-01-01']

    Raises:
        OverflowError: for a number that has no finite value.
    """
    if text in {"", "~", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise OverflowError
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise OverflowError
        return value
    return text


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being built."""

    value: Any
    path: Path | None
    """None: the content is read for its problems only and dropped (a duplicate's value, a complex key)."""
    key: str | None = None
    """The key whose value comes next; None in a list, or where a key comes next."""
    drop: bool = False
    """Whether that key's value is dropped."""
    is_key: bool = False
    """Whether the frame itself stands where a key should."""


class _Builder:
    """Builds one document from events."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.document = Document()
        self.frames: list[_Frame] = []
        self.documents = 0

    def refuse(self, code: str, mark: Any, message: str, fix: str = "", path: Path | None = None) -> None:
        place = str(Position(self.file, mark.line + 1, mark.column + 1))
        text = f"{dotted(path)}: {message}" if path else message
        if path:
            self.document.refused.add(path)
        self.document.problems.append(Problem(code=code, place=place, message=text, fix=fix))

    def child_path(self) -> Path | None:
        """The path of the value that comes next; None if it is dropped."""
        if not self.frames:
            return ()
        frame = self.frames[-1]
        if frame.path is None or frame.drop:
            return None
        return (*frame.path, len(frame.value) if isinstance(frame.value, list) else str(frame.key))

    def wants_key(self) -> bool:
        return bool(self.frames) and isinstance(self.frames[-1].value, dict) and self.frames[-1].key is None

    def place(self, value: Plain, mark: Any) -> None:
        """Put a finished scalar, or a container that is about to be filled, where it belongs."""
        path = self.child_path()
        if path is not None:
            self.document.positions.setdefault(path, Position(self.file, mark.line + 1, mark.column + 1))
        if not self.frames:
            self.document.value = value
            return
        frame = self.frames[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
            return
        if not frame.drop and frame.key is not None:
            frame.value[frame.key] = value
        frame.key, frame.drop = None, False

    def take_key(self, key: str, mark: Any, *, plain: bool) -> None:
        frame = self.frames[-1]
        path = None if frame.path is None else (*frame.path, key)
        self.check_text(key, mark, path)
        frame.key = key
        if plain and key == "<<":
            self.refuse("E-CFG-05", mark, "merge keys are not read", "write the fields out", path)
            frame.drop = True
        elif key in frame.value:
            first = f" (first in line {self.document.positions[path].line})" if path in self.document.positions else ""
            self.refuse("E-CFG-03", mark, f"duplicate key{first}", "keep one of the two", path)
            frame.drop = True
        elif path is not None:
            self.document.positions[path] = Position(self.file, mark.line + 1, mark.column + 1)

    def check_text(self, text: str, mark: Any, path: Path | None) -> None:
        if _INTERPOLATION.search(text):
            self.refuse(
                "E-CFG-06", mark, "interpolation is not read: a study holds plain values", "write the value", path
            )

    def check_node(self, event: Any) -> None:
        """Refuse what may stand before any node."""
        path = self.child_path()
        if event.anchor is not None:
            self.refuse("E-CFG-05", event.start_mark, "anchors are not read", "write the value out", path)
        if event.tag is not None:
            tag = visible(str(event.tag), limit=40)
            self.refuse("E-CFG-04", event.start_mark, f"the tag '{tag}' is not read", "write a plain value", path)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        plain = event.style in (None, "")
        text = str(event.value)
        self.check_node(event)
        if self.wants_key():
            self.take_key(text, event.start_mark, plain=plain)
            return
        path = self.child_path()
        self.check_text(text, event.start_mark, path)
        value: Plain = text
        if plain and event.tag is None:
            try:
                value = plain_scalar(text)
            except OverflowError:
                self.refuse("E-CFG-15", event.start_mark, "this number is too large", "", path)
        self.place(value, event.start_mark)

    def start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, value: Any) -> bool:
        """Open a mapping or list; returns whether reading may go on."""
        self.check_node(event)
        if len(self.frames) >= MAX_DEPTH:
            self.refuse("E-CFG-08", event.start_mark, f"nested more than {MAX_DEPTH} levels deep", "flatten it")
            return False
        if self.wants_key():
            # `{{x}}` without quotes arrives as a mapping in a key's place: it is meant as interpolation.
            code, what = (
                ("E-CFG-06", "interpolation is not read") if isinstance(value, dict) else ("E-CFG-12", "a key is text")
            )
            self.refuse(code, event.start_mark, f"{what}; found a mapping or list as a key", "write a plain key")
            self.document.refused.add(self.frames[-1].path or ())
            self.frames.append(_Frame(value, None, is_key=True))
            return True
        path = self.child_path()
        self.place(value, event.start_mark)
        self.frames.append(_Frame(value, path))
        return True

    def end(self) -> None:
        if self.frames.pop().is_key:
            self.frames[-1].key, self.frames[-1].drop = "", True

    def alias(self, event: yaml.AliasEvent) -> None:
        self.refuse("E-CFG-05", event.start_mark, "aliases are not read", "write the value out", self.child_path())
        if self.wants_key():
            self.frames[-1].key, self.frames[-1].drop = "", True
        else:
            self.place(None, event.start_mark)

    def feed(self, events: Iterator[Any]) -> None:
        import yaml

        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self.scalar(event)
            elif isinstance(event, yaml.MappingStartEvent):
                if not self.start(event, {}):
                    return
            elif isinstance(event, yaml.SequenceStartEvent):
                if not self.start(event, []):
                    return
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self.end()
            elif isinstance(event, yaml.AliasEvent):
                self.alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if event.tags:
                    self.refuse("E-CFG-04", event.start_mark, "%TAG is not read", "leave it out")
                if self.documents > 1:
                    self.refuse(
                        "E-CFG-07", event.start_mark, "a second document begins here", "one study is one document"
                    )
                    return


def read_yaml(text: str, file: str) -> Document:
    """Read one document.

    Args:
        text: the content of the file.
        file: how the file is called in messages.

    Returns:
        The values with their positions; `problems` holds everything that was refused. After a syntax error the values
        are those that were read before it.
    """
    import yaml

    builder = _Builder(file)
    document = builder.document
    text = text.removeprefix("\ufeff")

    def refuse_match(code: str, match: re.Match[str], message: str, fix: str) -> None:
        at = match.end() - 1
        position = Position(file, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        document.problems.append(Problem(code=code, place=str(position), message=message, fix=fix))

    for match in _UNPRINTABLE.finditer(text):
        character = visible(match.group())
        refuse_match("E-CFG-02", match, f"the character {character} may not stand in a study file", "delete it")
        if len(document.problems) > 20:
            break
    if document.problems:
        return document
    for match in _TAB.finditer(text):
        refuse_match("E-CFG-02", match, "a tab in the indentation", "indent with blanks")
    if document.problems:
        return document
    # libyaml where it is there: ten times as fast, the same events and the same line and column.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        builder.feed(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file)
        what = visible(f"{error.problem or error.context}", limit=120)
        document.problems.append(
            Problem(
                code="E-CFG-02",
                place=str(position),
                message=f"not valid YAML ({what})",
                fix="check indentation, quotes and brackets here",
            )
        )
    if document.value is None and not document.problems:
        document.problems.append(
            Problem(
                code="E-CFG-09",
                place=file,
                message="the file is empty",
                fix="`retrain-equivalence init` writes a study to start from",
            )
        )
    return document
