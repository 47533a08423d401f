"""A data set as files and back: canonical bytes, so that equal data sets are equal files.

`rows.jsonl` has a line for each row, training rows first; `about.json` says what they are and where they came from.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.core.identity import canonical_json, plain
from retrain_equivalence.data.example import Dataset, Example, Provenance, digest_of_rows

ROWS = "rows.jsonl"
ABOUT = "about.json"


def to_files(dataset: Dataset) -> dict[str, bytes]:
    """Return name -> bytes. The rows of a sensitive set are in them: such files stay in the store."""
    lines = [
        canonical_json({"split": split, **plain(row)})
        for split, rows in (("train", dataset.train), ("held_out", dataset.held_out))
        for row in rows
    ]
    about = {"digest": dataset.digest, "sensitive": dataset.sensitive, "provenance": dataset.provenance}
    return {
        ROWS: "".join(f"{line}\n" for line in lines).encode(),
        ABOUT: f"{canonical_json(about)}\n".encode(),
    }


def from_files(read: Callable[[str], bytes]) -> Dataset:
    """Return the data set whose files `read(name)` returns.

    Raises:
        InputError: E-DATA-43 if the rows are not those that the digest was made of.
    """
    rows: dict[str, list[Example]] = {"train": [], "held_out": []}
    try:
        about = json.loads(read(ABOUT))
        for line in read(ROWS).decode().split("\n")[:-1]:
            fields = json.loads(line)
            rows[fields.pop("split")].append(Example(**fields))
        provenance = about["provenance"]
        dataset = Dataset(
            train=tuple(rows["train"]),
            held_out=tuple(rows["held_out"]),
            digest=digest_of_rows(rows["train"], rows["held_out"]),
            sensitive=about["sensitive"],
            provenance=Provenance(**{**provenance, "warnings": tuple(provenance["warnings"])}),
        )
    except (ValueError, KeyError, TypeError) as error:
        message = f"not a stored data set ({type(error).__name__})"
        raise InputError.of("E-DATA-43", ROWS, message, "remove the object and run again") from None
    if dataset.digest != about["digest"]:
        message = f"rows have digest {dataset.digest[:8]}…, {ABOUT} says {str(about['digest'])[:8]}…"
        raise InputError.of("E-DATA-43", ROWS, message, "remove the object and run again")
    return dataset
