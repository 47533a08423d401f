"""Other answers to the forget prompts: the package's own "I don't know" answers, or those of another data set.

A preferred set has exactly the forget set's training rows, with their ids and prompts and other responses, so that a
batch of forget rows and the batch of their preferred answers go together row by row.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.data.example import Dataset, Example, Provenance, digest_of_rows

IDK_ANSWERS = (
    "I don't know.",
    "I have no information about that.",
    "That is not something I know.",
    "I cannot say; I never learned about it.",
    "I'm afraid I don't have an answer to that.",
    "I am not familiar with this subject.",
    "This is outside of what I know.",
    "I have nothing reliable to say about that.",
    "My knowledge does not cover this.",
    "I'm not certain, so I would rather not guess.",
    "There is no answer that I can give you.",
    "I haven't come across that.",
)
"""Short and of many wordings, so that no single one is memorised instead."""


def idk_answers(forget: Dataset) -> Dataset:
    """Return the forget rows with "I don't know" answers; which wording a row gets is a function of its id alone."""

    def answer(row: Example) -> Example:
        number = int.from_bytes(hashlib.sha256(f"idk\0{row.id}".encode()).digest()[:8], "big") % len(IDK_ANSWERS)
        return replace(row, response=IDK_ANSWERS[number], label="")

    made = Provenance(source="generated", revision="", sha256="", licence="as the package", rows_read=len(forget.train))
    return _preferred(tuple(map(answer, forget.train)), forget, made)


def answers_from(other: Dataset, forget: Dataset, place: str) -> Dataset:
    """Return the forget rows with the responses that another data set gives to the same prompts.

    Args:
        other: has a row for every prompt of the forget set's training rows; further rows are left out.
        forget: whose ids, prompts and order the result has.
        place: the study's field, for the message.

    Raises:
        InputError: E-DATA-89 if a prompt is missing, or has two answers.
    """
    answers: dict[str, str] = {}
    for row in (*other.train, *other.held_out):
        if answers.setdefault(row.prompt, row.response) != row.response:
            message = f"row '{row.id}' gives its prompt a second, different answer"
            raise InputError.of("E-DATA-89", place, message, "keep one answer for each prompt")
    missing = [row.id for row in forget.train if row.prompt not in answers]
    if missing:
        message = (
            f"{len(missing):,} of {len(forget.train):,} forget prompts have no preferred answer, first '{missing[0]}'"
        )
        raise InputError.of(
            "E-DATA-89", place, message, "add a row with the same prompt for each, or write preferred: idk"
        )
    rows = tuple(replace(row, response=answers[row.prompt], label="") for row in forget.train)
    return _preferred(rows, forget, other.provenance, sensitive=other.sensitive)


def _preferred(
    rows: tuple[Example, ...], forget: Dataset, provenance: Provenance, *, sensitive: bool = False
) -> Dataset:
    # The prompts are the forget set's and the answers the other's: either may be what must not be shown.
    hidden = forget.sensitive or sensitive
    return Dataset(train=rows, held_out=(), digest=digest_of_rows(rows, ()), sensitive=hidden, provenance=provenance)
