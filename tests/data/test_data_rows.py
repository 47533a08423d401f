"""Every kind of wrong row and file: refused at once, by name, with its place and what to do."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.data.ingest import Locations, ingest
from retrain_equivalence.data.source import open_source
from retrain_equivalence.recipes.dataset import JsonlDataset

GOOD = b'{"prompt": "What is this?", "response": "A lamp."}\n'


def locations(folder: Path) -> Locations:
    return Locations(study_dir=folder, data_dir=None, offline=True)


def read(folder: Path, name: str, **fields: object) -> InputError:
    """Return the refusal, having checked what every refusal must be."""
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        ingest(JsonlDataset(jsonl=name, **fields), locations(folder), place="study.yaml:3:5")  # type: ignore[arg-type]
    assert time.monotonic() - start < 2
    for line in caught.value.lines():
        assert len(line) <= 300
        assert line.isprintable()
        if line.startswith("error"):
            assert name in line
            assert " Fix: " in line
    return caught.value


ROWS: dict[str, tuple[bytes, str, str, dict[str, object]]] = {
    "not JSON": (b'{"prompt": "a" "response": "b"}\n', "E-DATA-01", "expected ',' at column 16", {}),
    "word": (b"hello\n", "E-DATA-01", "expected value at column 1", {}),
    "single quotes": (b"{'prompt': 'a'}\n", "E-DATA-01", "expected a field name in double quotes", {}),
    "two objects on a line": (b'{"prompt":"a","response":"b"} {}\n', "E-DATA-01", "extra data", {}),
    "number of 5000 digits": (b'{"prompt": ' + b"9" * 5000 + b"}\n", "E-DATA-01", "number is too long", {}),
    "array": (b'["a", "b"]\n', "E-DATA-02", "found array", {}),
    "number": (b"3\n", "E-DATA-02", "found number", {}),
    "null row": (b"null\n", "E-DATA-02", "found null", {}),
    "missing": (b'{"prompt": "a", "respons": "b"}\n', "E-DATA-03", "rename 'respons' to 'response'?", {}),
    "missing prefix": (b'{"prompt": "a", "resp": "b"}\n', "E-DATA-03", "has: prompt, resp", {}),
    "wrong type": (b'{"prompt": "a", "response": 42}\n', "E-DATA-05", "expected text, found number 42", {}),
    "boolean": (b'{"prompt": "a", "response": true}\n', "E-DATA-05", "found true or false True", {}),
    "object": (b'{"prompt": "a", "response": {}}\n', "E-DATA-05", "found object", {}),
    "fractional id": (
        b'{"prompt": "a", "response": "b", "id": 1.5}\n', "E-DATA-05", "text or a whole number", {"row_id": "id"},
    ),
    "null": (b'{"prompt": "a", "response": null}\n', "E-DATA-06", "field 'response' is null", {}),
    "empty": (b'{"prompt": "a", "response": ""}\n', "E-DATA-07", "empty after trimming", {}),
    "blanks": (b'{"prompt": " \\t\\n", "response": "b"}\n', "E-DATA-07", "field 'prompt' is empty", {}),
    "zero-width": ('{"prompt": "\u200b\u2060\ufeff\u3164", "response": "b"}\n'.encode(), "E-DATA-07", "'prompt'", {}),
    "double key": (b'{"prompt": "a", "response": "b", "response": "c"}\n', "E-DATA-08", "appears twice", {}),
    "NaN": (b'{"prompt": "a", "response": NaN}\n', "E-DATA-09", "NaN is not JSON", {}),
    "infinity": (b'{"prompt": "a", "response": -Infinity}\n', "E-DATA-09", "-Infinity is not JSON", {}),
    "invalid UTF-8": (b'{"prompt": "a\xff", "response": "b"}\n', "E-DATA-10", "byte 0xff at column 14", {}),
    "surrogate": (b'{"prompt": "a", "response": "\\ud800x"}\n', "E-DATA-12", "\\ud800 is not a character", {}),
    "escaped NUL": (b'{"prompt": "a", "response": "b\\u0000"}\n', "E-DATA-13", "U+0000 at character 2", {}),
    "raw escape": (b'{"prompt": "a", "response": "b\x1b[31m"}\n', "E-DATA-13", "U+001B", {}),
    "deep": (b'{"prompt": ' + b"[" * 40 + b"]" * 40 + b"}\n", "E-DATA-15", "deeper than 32", {}),
    "abyss": (b"[" * 100_000 + b"\n", "E-DATA-15", "deeper than 32", {}),
    "long row": (b'{"prompt": "' + b"a" * 3_000_000 + b'"}\n', "E-DATA-16", "limit 1 MB", {}),
    "long blank row": (b" " * 3_000_000 + b"\n", "E-DATA-16", "limit 1 MB", {}),
    "twice the user": (
        b'{"m": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}\n',
        "E-DATA-20", "message 2: role 'user' after 'user'", {"prompt": "m", "response": "m"},
    ),
    "system prompt": (
        b'{"m": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}\n',
        "E-DATA-20", "message 1: role 'system'", {"prompt": "m", "response": "m"},
    ),
    "third message": (
        b'{"m": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user"}]}\n',
        "E-DATA-20", "message 3: expected an object with role and content", {"prompt": "m", "response": "m"},
    ),
    "no answer": (
        b'{"m": [{"role": "user", "content": "a"}]}\n', "E-DATA-20", "1 of 2 messages",
        {"prompt": "m", "response": "m"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ROWS)
def test_wrong_rows_are_refused_with_line_field_and_fix(kind: str, tmp_path: Path) -> None:
    row, code, words, fields = ROWS[kind]
    good = GOOD if not fields else b"\n"
    (tmp_path / "rows.jsonl").write_bytes(good + b"\n" + row)
    error = read(tmp_path, "rows.jsonl", **fields)
    assert error.problems[0].code == code
    assert error.problems[0].place == "rows.jsonl:3"
    assert words in error.lines()[0]


def test_line_numbers_are_physical_and_only_line_feed_ends_a_line(tmp_path: Path) -> None:
    tricky = '{"prompt": "a\u2028b\u0085c", "response": "d"}\r\n'.encode()
    (tmp_path / "rows.jsonl").write_bytes(tricky + b"\r\n  \n" + b"oops\n" + GOOD + b"3\n")
    assert [problem.place for problem in read(tmp_path, "rows.jsonl").problems] == ["rows.jsonl:4", "rows.jsonl:6"]


def test_a_cut_last_row_is_told_from_a_wrong_one(tmp_path: Path) -> None:
    for cut in (b'{"prompt": "a", "resp', b'{"prompt": "a"', b'{"prompt": "a", "response": "b"', b"{"):
        (tmp_path / "rows.jsonl").write_bytes(GOOD + cut)
        assert read(tmp_path, "rows.jsonl").problems[0].code == "E-DATA-14"
        (tmp_path / "rows.jsonl").write_bytes(GOOD + cut + b"\n" + GOOD)
        assert read(tmp_path, "rows.jsonl").problems[0].code == "E-DATA-01"


def test_all_problems_come_at_once_and_the_rest_is_counted(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"prompt": 1, "response": null}\n' * 20)
    lines = read(tmp_path, "rows.jsonl").lines()
    assert len(lines) == 21
    assert lines[-1] == "… and 20 more"


def test_a_file_of_another_kind_stops_early(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"3\n" * 300_000)
    assert len(read(tmp_path, "rows.jsonl").problems) == 10_000


def test_row_text_is_quoted_briefly_and_never_of_a_sensitive_set(tmp_path: Path) -> None:
    secret = "forbidden-words-" * 20
    rows = [
        f'{{"prompt": "a", "response": "b", "id": "{secret}"}}',
        f'{{"prompt": "c", "response": "d", "id": "{secret}"}}',
        f'{{"{secret}": 1, "{secret}": 2}}',
        f'{{"{secret}": "a"}}',
        f'{{"prompt": "{secret}" "response": "b"}}',
        '{"prompt": 4711, "response": "b", "id": 1}',
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    shown = "\n".join(read(tmp_path, "rows.jsonl", row_id="id").lines())
    assert secret[:41] not in shown
    assert "forbidden" in shown
    hidden = "\n".join(read(tmp_path, "rows.jsonl", row_id="id", sensitive=True).lines())
    assert "forbidden" not in hidden
    assert "4711" not in hidden


def test_repeated_ids_name_both_lines(tmp_path: Path) -> None:
    rows = b'{"prompt": "a", "response": "b", "id": "q17"}\n\n{"prompt": "c", "response": "d", "id": "q17"}\n'
    (tmp_path / "rows.jsonl").write_bytes(rows)
    error = read(tmp_path, "rows.jsonl", row_id="id")
    assert error.problems[0].code == "E-DATA-21"
    assert "id 'q17' is already used at line 1" in error.lines()[0]


def test_equal_rows_are_refused_or_accepted_with_a_count(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(GOOD * 3 + b'{"prompt": "b", "response": "c"}\n')
    error = read(tmp_path, "rows.jsonl")
    assert error.problems[0].code == "E-DATA-22"
    assert "line 1 (2 such rows)" in error.lines()[0]
    accepted = ingest(JsonlDataset(jsonl="rows.jsonl", allow_duplicates=True), locations(tmp_path))
    assert len(accepted.train) + len(accepted.held_out) == 4
    assert "warning[E-DATA-22]" in accepted.provenance.warnings[0]


def test_near_equal_rows_and_one_answer_for_all_are_warnings(tmp_path: Path) -> None:
    rows = '{"prompt": "Who?", "response": "I"}\n{"prompt": " who?", "response": "I"}\n{"prompt":"x","response":"I"}\n'
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    warnings = ingest(JsonlDataset(jsonl="rows.jsonl"), locations(tmp_path)).provenance.warnings
    assert [line.split(":")[0] for line in warnings] == ["warning[E-DATA-23]", "warning[E-DATA-28]"]
    assert "all 3 responses are identical" in warnings[1]


def test_a_byte_order_mark_is_accepted_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD)
    dataset = ingest(JsonlDataset(jsonl="rows.jsonl", held_out=0.0), locations(tmp_path))
    assert dataset.train[0].prompt == "What is this?"
    assert "byte order mark" in dataset.provenance.warnings[0]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def _outside(path: Path) -> None:
    outside = path.parent.parent / f"outside-{path.parent.name}.jsonl"
    outside.write_bytes(GOOD)
    path.symlink_to(outside)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 << 30)


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("rows.jsonl"), io.BytesIO(b""))


def _bytes(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


FILES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing": (lambda path: None, "E-DATA-30", "is missing"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "E-DATA-30", "is missing"),
    "directory": (lambda path: path.mkdir(), "E-DATA-30", "is a directory; expected a regular file"),
    "FIFO": (_fifo, "E-DATA-30", "is a FIFO; expected a regular file"),
    "socket": (_socket, "E-DATA-30", "is a socket; expected a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "E-DATA-30", "is a character device"),
    "link out of the root": (_outside, "E-DATA-30", "leads out of its folder"),
    "link to itself": (_loop, "E-DATA-30", "cannot be opened"),
    "100 GB, sparse": (_sparse, "E-DATA-16", "file is 107.4 GB, limit 1.1 GB"),
    "gzip": (_bytes(gzip.compress(GOOD)), "E-DATA-32", "gzip archive; archives are not read"),
    "zip": (_bytes(b"PK\x03\x04abc"), "E-DATA-32", "zip archive"),
    "zstandard": (_bytes(b"\x28\xb5\x2f\xfdabc"), "E-DATA-32", "zstandard archive"),
    "tar": (_tar, "E-DATA-32", "tar archive"),
    "UTF-16 with mark": (_bytes(GOOD.decode().encode("utf-16")), "E-DATA-11", "iconv"),
    "UTF-16 without mark": (_bytes(GOOD.decode().encode("utf-16-le")), "E-DATA-11", "iconv"),
    "UTF-32": (_bytes(GOOD.decode().encode("utf-32")), "E-DATA-11", "iconv"),
    "empty": (_bytes(b""), "E-DATA-24", "no rows"),
    "blank lines": (_bytes(b"\n\n \n"), "E-DATA-24", "no rows"),
}


@pytest.mark.parametrize("kind", FILES)
def test_wrong_files_are_refused_without_hanging(kind: str, tmp_path: Path) -> None:
    make, code, words = FILES[kind]
    make(tmp_path / "rows.jsonl")
    error = read(tmp_path, "rows.jsonl")
    assert error.problems[0].code == code
    assert words in error.lines()[0]


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_bytes(GOOD)
    assert read(tmp_path, "rows.txt").problems[0].code == "E-DATA-44"


def test_a_link_inside_the_root_and_a_path_out_of_it_are_accepted(tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (tmp_path / "rows.jsonl").write_bytes(GOOD)
    (study / "own.jsonl").write_bytes(GOOD)
    (study / "link.jsonl").symlink_to("own.jsonl")
    for name in ("../rows.jsonl", "link.jsonl", str(tmp_path / "rows.jsonl")):
        assert len(ingest(JsonlDataset(jsonl=name), locations(study)).train) == 1


CHANGES: dict[str, Callable[[Path], object]] = {
    "grows": lambda path: path.write_bytes(path.read_bytes() + GOOD),
    "shrinks": lambda path: os.truncate(path, 200_000),
    "is touched": lambda path: os.utime(path, (1, 1)),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_file_that_changes_while_it_is_read_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD * 10_000)
    with open_source(path, root=tmp_path, shown="rows.jsonl") as source:
        lines = source.lines(1000)
        next(lines)
        CHANGES[kind](path)
        with pytest.raises(InputError) as caught:
            list(lines)
    assert caught.value.problems[0].code == "E-DATA-31"


def test_a_file_that_never_stops_growing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD)
    with open_source(path, root=tmp_path, shown="rows.jsonl") as source, path.open("ab", buffering=0) as writer:
        with pytest.raises(InputError, match="changed while being read"):
            for _ in source.lines(1000):
                writer.write(GOOD * 1000)
        assert source.n_bytes < 10 * len(GOOD)


def test_another_digest_than_the_locked_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(GOOD)
    recipe = JsonlDataset(jsonl="rows.jsonl", held_out=0.0)
    right = ingest(recipe, locations(tmp_path)).provenance.sha256
    assert ingest(recipe, locations(tmp_path), sha256=right).provenance.sha256 == right
    with pytest.raises(InputError) as caught:
        ingest(recipe, locations(tmp_path), sha256="3f" * 32)
    assert caught.value.problems[0].code == "E-DATA-33"


def test_more_rows_than_there_are_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(GOOD)
    error = read(tmp_path, "rows.jsonl", rows=8)
    assert error.problems[0].code == "E-DATA-25"
    assert "1 rows, 8 were asked for" in error.lines()[0]


def test_a_text_field_is_no_id(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(GOOD)
    with pytest.raises(InputError) as caught:
        ingest(JsonlDataset(jsonl="rows.jsonl", row_id="prompt"), locations(tmp_path), place="study.yaml:3:5")
    assert caught.value.problems[0].code == "E-DATA-41"
    assert caught.value.problems[0].place == "study.yaml:3:5"


# Arrays


ARRAYS: dict[str, tuple[bytes, str, str]] = {
    "wrong element": (b'[\n{"prompt": "a", "response": "b"},\n3\n]', "E-DATA-02", "rows.json:3"),
    "second line of an element": (
        b'[{"prompt": "a",\n"response": "b"},\n\n{"prompt": 1, "response": "b"}]', "E-DATA-05", "rows.json:4",
    ),
    "stray comma": (b'[{"prompt": "a", "response": "b"},\n]', "E-DATA-01", "rows.json:2"),
    "cut": (b'[{"prompt": "a", "response": "b"},\n{"prompt": "a", "resp', "E-DATA-14", "rows.json:2"),
    "not closed": (b'[{"prompt": "a", "response": "b"}\n,', "E-DATA-14", "rows.json:2"),
    "text after it": (b'[{"prompt": "a", "response": "b"}]\nmore', "E-DATA-01", "rows.json:2"),
    "empty": (b"[\n\n]\n", "E-DATA-24", "rows.json"),
    "abyss": (b"[" * 100_000, "E-DATA-15", "rows.json:1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARRAYS)
def test_wrong_arrays_name_the_line_of_the_element(kind: str, tmp_path: Path) -> None:
    data, code, place = ARRAYS[kind]
    (tmp_path / "rows.json").write_bytes(data)
    problem = read(tmp_path, "rows.json").problems[0]
    assert (problem.code, problem.place) == (code, place)


# Tables


CSVS: dict[str, tuple[bytes, str, str]] = {
    "ragged": (b"prompt,response\na,b\nc\n", "E-DATA-29", "rows.csv:3:2"),
    "too many": (b"prompt,response\na,b,c\n", "E-DATA-29", "rows.csv:2:3"),
    "open quote": (b'prompt,response\na,"b\n', "E-DATA-29", "rows.csv:2"),
    "missing column": (b"prompt,answer\na,b\n", "E-DATA-03", "rows.csv:1"),
    "column twice": (b"prompt,response,prompt\na,b,c\n", "E-DATA-08", "rows.csv:1"),
    "empty field": (b"prompt,response\na,\n", "E-DATA-07", "rows.csv:2"),
    "not UTF-8": (b"prompt,response\na,\xff\n", "E-DATA-10", "rows.csv:2"),
    "NUL": (b"prompt,response\na,b\x00\n", "E-DATA-13", "rows.csv:2"),
    "long field": (b"prompt,response\na," + b"b" * 200_000 + b"\n", "E-DATA-16", "rows.csv:2"),
    "long line": (b"prompt,response\na," + b"b" * 2_000_000 + b"\n", "E-DATA-16", "rows.csv:2"),
    "header only": (b"prompt,response\n", "E-DATA-24", "rows.csv"),
}


@pytest.mark.parametrize("kind", CSVS)
def test_wrong_csv_is_refused_by_line_and_column(kind: str, tmp_path: Path) -> None:
    data, code, place = CSVS[kind]
    (tmp_path / "rows.csv").write_bytes(data)
    problem = read(tmp_path, "rows.csv").problems[0]
    assert (problem.code, problem.place) == (code, place)


PARQUETS: dict[str, tuple[pa.Table, str, str]] = {
    "wrong dtype": (pa.table({"prompt": ["a"], "response": [1.5]}), "E-DATA-29", "rows.parquet:1:2"),
    "missing column": (pa.table({"prompt": ["a"], "answer": ["b"]}), "E-DATA-03", "rows.parquet:1"),
    "null": (pa.table({"prompt": ["a", "b"], "response": ["c", None]}), "E-DATA-06", "rows.parquet:2"),
    "empty text": (pa.table({"prompt": ["a", " "], "response": ["c", "d"]}), "E-DATA-07", "rows.parquet:2"),
    "no rows": (
        pa.table({"prompt": pa.array([], pa.string()), "response": pa.array([], pa.string())}), "E-DATA-24",
        "rows.parquet",
    ),
    "long": (pa.table({"prompt": ["a"], "response": ["b" * 2_000_000]}), "E-DATA-16", "rows.parquet:1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARQUETS)
def test_wrong_parquet_is_refused_by_row_and_column(kind: str, tmp_path: Path) -> None:
    table, code, place = PARQUETS[kind]
    pq.write_table(table, tmp_path / "rows.parquet")
    problem = read(tmp_path, "rows.parquet").problems[0]
    assert (problem.code, problem.place) == (code, place)


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and then nothing")
    assert read(tmp_path, "rows.parquet").problems[0].code == "E-DATA-29"
    pq.write_table(pa.table({"prompt": ["a"] * 100, "response": ["b"] * 100}), tmp_path / "whole.parquet")
    data = bytearray((tmp_path / "whole.parquet").read_bytes())
    data[4:60] = b"\xff" * 56
    (tmp_path / "rows.parquet").write_bytes(data)
    assert read(tmp_path, "rows.parquet").problems[0].code == "E-DATA-29"


# What must work


UNICODE = {
    "family emoji": "👩‍👩‍👧‍👦 and 🏳️‍🌈",
    "right to left": "שלום עולם العربية",
    "combining marks": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "CJK": "漢字かな交じり文 한국어",
    "line separators": "a\u2028b\u2029c\u0085d",
    "four bytes": "𝕬𝖇𝖈 𐍈 \U0010fffd",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "tabs and line breaks": "a\tb\nc\r\nd",
    "quotes and commas": "a \"b\", 'c', \\d",
    "formula": "=SUM(A1)",
    "zero width inside": "a\u200bb",
}


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_unicode_passes_byte_for_byte_in_every_format(suffix: str, tmp_path: Path) -> None:
    import csv
    import json

    rows = [{"prompt": f"{name}: {text}", "response": text} for name, text in UNICODE.items()]
    path = tmp_path / f"rows.{suffix}"
    if suffix == "jsonl":
        path.write_bytes(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
    elif suffix == "json":
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    elif suffix == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["prompt", "response"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    dataset = ingest(JsonlDataset(jsonl=path.name, held_out=0.0), locations(tmp_path))
    assert [(row.prompt, row.response) for row in dataset.train] == [(row["prompt"], row["response"]) for row in rows]


def test_composed_and_decomposed_are_different_rows(tmp_path: Path) -> None:
    rows = '{"prompt": "caf\u00e9", "response": "a"}\n{"prompt": "cafe\u0301", "response": "a"}\n'
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    assert len(ingest(JsonlDataset(jsonl="rows.jsonl", held_out=0.0), locations(tmp_path)).train) == 2


def test_messages_of_a_conversation_are_read(tmp_path: Path) -> None:
    row = b'{"m": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
    (tmp_path / "rows.jsonl").write_bytes(row)
    only = ingest(JsonlDataset(jsonl="rows.jsonl", prompt="m", response="m"), locations(tmp_path)).train[0]
    assert (only.prompt, only.response) == ("a", "b")
