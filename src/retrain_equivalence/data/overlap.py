"""Rows that must not be in two places: what is to be forgotten, and what was held out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from retrain_equivalence.core.errors import Problem
from retrain_equivalence.data.example import Dataset, Example
from retrain_equivalence.data.normal import same_text


def check_overlap(
    datasets: Mapping[str, Dataset], forget: str, place: Mapping[str, str] | None = None
) -> list[Problem]:
    """Return the overlaps between the data of a study's stages.

    * E-DATA-26: a forget training row has the question of another stage's training row. The retrain oracle would then
      have seen what is to be forgotten.
    * E-DATA-27: a held-out row has the question of another stage's training row, or equals a training row of its own
      stage. It would then measure memory, not generalisation.

    Questions are compared without case, blanks and compatibility forms; plain text is compared by its text.

    Args:
        datasets: stage name -> its data.
        forget: the forget stage's name.
        place: stage name -> where the study names it, for the messages.

    Returns:
        At most one problem for each pair of stages and each kind; it names the first pair and counts the rest.
    """
    places = place or {}
    trained = {name: _by_question(dataset.train) for name, dataset in datasets.items()}
    problems = []
    for name, questions in trained.items():
        if name != forget:
            pairs = [(row, questions[key]) for row in datasets[forget].train if (key := _question(row)) in questions]
            problems += _problem("E-DATA-26", places.get(name, ""), forget, name, pairs, "the same question")
    for held, dataset in datasets.items():
        for name, questions in trained.items():
            pairs = [(row, questions[key]) for row in dataset.held_out if (key := _question(row)) in questions]
            if name == held:
                # Different answers to one question (TOFU has such a pair) are two rows, not a leak.
                own = {_whole(row) for row in dataset.train}
                pairs = [pair for pair in pairs if _whole(pair[0]) in own]
            what = "the same question, though the first is held out"
            problems += _problem("E-DATA-27", places.get(name, ""), held, name, pairs, what)
    return problems


def _question(row: Example) -> str:
    return same_text(row.prompt or row.response)


def _whole(row: Example) -> tuple[str, str]:
    return same_text(row.prompt), same_text(row.response)


def _by_question(rows: Iterable[Example]) -> dict[str, Example]:
    return {_question(row): row for row in rows}


def _problem(
    code: str, place: str, one: str, two: str, pairs: list[tuple[Example, Example]], what: str
) -> list[Problem]:
    if not pairs:
        return []
    first, second = pairs[0]
    count = "1 such pair" if len(pairs) == 1 else f"{len(pairs):,} such pairs"
    message = f"rows {one}:{first.id} and {two}:{second.id} have {what} ({count})"
    return [Problem(code=code, place=place, message=message, fix="remove them from one of the two data sets")]
