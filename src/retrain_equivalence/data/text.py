"""Plain text, cut into chunks at word borders: no prompt, every token scored.

`classics_en` is the data directory's public-domain corpus, the only compressed file that is read. Books are separated
by `<|endofbook|>`; each is a cluster, so held-out text comes from other books.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path

from retrain_equivalence.core.errors import MachineError
from retrain_equivalence.data.example import Example, Provenance
from retrain_equivalence.data.jsonl import find
from retrain_equivalence.data.loaded import Loaded
from retrain_equivalence.data.locations import Locations
from retrain_equivalence.data.normal import CONTROL
from retrain_equivalence.data.problems import quoted, short_place
from retrain_equivalence.data.source import Source, open_source, refuse
from retrain_equivalence.data.strict_json import RowFault, decode
from retrain_equivalence.recipes.dataset import TextDataset

CORPUS = "classics_en"
CORPUS_FILE = "corpus/classics_en.txt.xz"
END_OF_BOOK = "<|endofbook|>"
MAX_UNPACKED_BYTES = 256 << 20


def load(recipe: TextDataset, where: Locations, *, place: str, sha256: str | None = None) -> Loaded:
    """Return all chunks of the text.

    Raises:
        InputError: E-DATA-10, 13, 24, 30 to 33 for the file.
        MachineError: E-ENV-08 if the named corpus is in no data directory.
    """
    if recipe.text == CORPUS:
        if where.data_dir is None or not (where.data_dir / CORPUS_FILE).exists():
            message = f"text '{CORPUS}' is not at hand: no {CORPUS_FILE} in a data directory"
            raise MachineError.of("E-ENV-08", place, message, "give --data-dir, or the path of your own text file")
        path, root, licence = where.data_dir / CORPUS_FILE, where.data_dir, "public domain"
    else:
        path, root = find(recipe.text, where)
        licence = "not stated"
    text, digest, shown = _read(path, root, packed=recipe.text == CORPUS)
    if sha256 is not None and digest != sha256:
        message = f"sha256 differs from the one that was locked (expected {sha256[:8]}…, found {digest[:8]}…)"
        raise refuse(33, shown, message, "restore the file, or lock the study again")
    rows, places = [], []
    for book, body in enumerate(text.split(END_OF_BOOK)):
        for number, chunk in enumerate(chunks(body, recipe.chunk_characters)):
            name = f"book/{book:03d}"
            rows.append(Example(id=f"{name}/{number:05d}", prompt="", response=chunk, cluster=name))
            places.append(f"{shown}, {name}")
    if not rows:
        raise refuse(24, shown, "no rows: the file holds no text", "give a file with text in it")
    provenance = Provenance(source=shown, revision="", sha256=digest, licence=licence, rows_read=len(rows))
    return Loaded(rows=tuple(rows), places=tuple(places), provenance=provenance, repeats=True)


def chunks(text: str, n_characters: int) -> Iterator[str]:
    """Yield pieces of at most `n_characters`, cut at blanks; only a longer word is cut inside. No word is lost.

    >>> list(chunks("one two three", 8))
    ['one two', 'three']
    """
    start, end = 0, len(text)
    while start < end:
        if text[start].isspace():
            start += 1
            continue
        stop = min(start + n_characters, end)
        if stop < end and not text[stop].isspace():
            border = next((at for at in range(stop, start, -1) if text[at - 1].isspace()), stop)
            stop = border
        yield text[start:stop].rstrip()
        start = stop


def _read(path: Path, root: Path, *, packed: bool) -> tuple[str, str, str]:
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    with open_source(path, root=root, shown=shown, archive="xz" if packed else "") as source:
        raw = source.everything()
        data = _unpack(raw, source) if packed else raw
        text = _decode(data, source)
    return text, source.sha256, short_place(shown)


def _unpack(raw: bytes, source: Source) -> bytes:
    unpacker = lzma.LZMADecompressor(memlimit=256 << 20)
    try:
        data = unpacker.decompress(raw, MAX_UNPACKED_BYTES + 1)
    except lzma.LZMAError:
        raise refuse(29, source.shown, "is damaged xz data", "fetch the file again") from None
    if len(data) > MAX_UNPACKED_BYTES:
        raise refuse(16, source.shown, f"unpacks to more than {MAX_UNPACKED_BYTES >> 20} MB", "fetch the file again")
    if not unpacker.eof:
        raise refuse(14, source.shown, "is cut off", "fetch the file again")
    return data


def _decode(data: bytes, source: Source) -> str:
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = decode(data)
    except RowFault:
        # The whole file is one text here, so the line is found again to name it.
        for number, line in enumerate(data.split(b"\n"), start=1):
            try:
                decode(line)
            except RowFault as fault:
                raise refuse(10, f"{source.shown}:{number}", fault.message, fault.fix) from None
        raise
    if match := CONTROL.search(text):
        number = text.count("\n", 0, match.start()) + 1
        message = f"control character {quoted(match[0])}"
        raise refuse(13, f"{source.shown}:{number}", message, "remove it; tab and line breaks are allowed")
    return text
