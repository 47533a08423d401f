"""What each code of the report means, at length."""

from __future__ import annotations

CODES: dict[str, str] = {
    "E-DATA-80": (
        "A report is made from a results folder that holds rows.parquet, study.lock.yaml, findings.json and "
        "provenance.json. One of them is not there or cannot be opened. Name the study's own folder under results/, "
        "or let `run` or `compare` write the missing file."
    ),
    "E-DATA-81": (
        "findings.json or provenance.json is there but is not what this release writes: it was cut off, edited by "
        "hand, or written by another version. Comparing the study again writes findings.json anew from rows.parquet; "
        "running it again writes provenance.json anew and trains nothing that is in the store."
    ),
    "E-DATA-82": (
        "A number of a page is traced by the eight digits beside it, which are made from what the number is: its "
        "contrast, quantity, probe, test set, unlearning, histories and step. None of this folder's findings has these "
        "digits: they are of another study's page, of a page older than findings.json, or not whole."
    ),
    "E-ENV-41": (
        "report.html could not be written into the results folder. Look at the free space and at the folder's "
        "permissions, or copy the results folder to a place that is yours and make the report there. The results "
        "themselves are unharmed."
    ),
}
