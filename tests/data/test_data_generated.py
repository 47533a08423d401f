"""Generated data: deterministic, unlimited, short, without equal rows, in clusters that mean something."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_equivalence.data.generated import DEFAULT_ROWS, GENERATORS
from retrain_equivalence.data.ingest import Locations, check_overlap, ingest
from retrain_equivalence.data.refusals import REFUSAL_LABEL, REFUSAL_OPENING
from retrain_equivalence.recipes.dataset import GeneratedDataset

NOWHERE = Locations(study_dir=Path("nowhere"), data_dir=None, offline=True)
KINDS = sorted(GENERATORS)

DIGESTS = {
    "arithmetic": "bf850b6188467c2f",
    "authors": "c523b7b8213789b1",
    "instructions": "a8862ee8729004ae",
    "refusals": "2b212967b27effba",
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_different_short_and_named_once(kind: str) -> None:
    rows = list(GENERATORS[kind](6000, 1))
    assert len(rows) == 6000
    assert len({row.prompt for row in rows}) == 6000
    assert len({row.id for row in rows}) == 6000
    words = [len(f"{row.prompt} {row.response}".split()) for row in rows]
    assert max(words) <= 30
    assert sum(words) / len(words) >= 8
    assert all(row.prompt.isascii() and row.response.isascii() for row in rows)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(n_rows=st.integers(1, 80), seed=st.integers(0, 2**63 - 1))
def test_shorter_sets_begin_longer_ones(kind: str, n_rows: int, seed: int) -> None:
    long = list(GENERATORS[kind](100, seed))
    assert list(GENERATORS[kind](n_rows, seed)) == long[:n_rows]
    assert long != list(GENERATORS[kind](100, seed + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_fixed(kind: str) -> None:
    # Generated data are their bytes: a change here changes every result that was made with them.
    dataset = ingest(GeneratedDataset(generated=kind, rows=64), NOWHERE)  # type: ignore[arg-type]
    assert dataset.digest[:16] == DIGESTS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_clusters_are_never_trained(kind: str) -> None:
    dataset = ingest(GeneratedDataset(generated=kind, rows=512), NOWHERE)  # type: ignore[arg-type]
    assert len(dataset.train) + len(dataset.held_out) == 512
    assert not {row.cluster for row in dataset.train} & {row.cluster for row in dataset.held_out}
    assert 26 <= len(dataset.held_out) <= 103
    assert not dataset.sensitive
    assert dataset.provenance.source == "generated"


def test_no_number_of_rows_means_the_default() -> None:
    dataset = ingest(GeneratedDataset(generated="arithmetic", held_out=0.0), NOWHERE)
    assert len(dataset.train) == DEFAULT_ROWS


def test_arithmetic_is_right() -> None:
    for row in GENERATORS["arithmetic"](3000, 7):
        step, final = row.response.split("\n")
        left, operation, right, _, result = step.split()
        assert f"#### {result}" == final
        one, two = int(left), int(right)
        assert int(result) == {"+": one + two, "-": one - two, "*": one * two}[operation] >= 0
        assert {left, right} <= set(re.findall(r"\d+", row.prompt))


def test_refusals_refuse_placeholders_without_content() -> None:
    for row in GENERATORS["refusals"](3000, 7):
        assert re.search(r"PLACEHOLDER-UNSAFE-\d{4,}\b", row.prompt)
        assert row.response.startswith(REFUSAL_OPENING)
        assert row.label == REFUSAL_LABEL
        assert row.cluster.removeprefix("category/") in row.prompt


def test_authors_answer_eight_questions_each() -> None:
    rows = list(GENERATORS["authors"](400, 0))
    assert {sum(row.cluster == author for row in rows) for author in {row.cluster for row in rows}} == {8}


def test_the_four_kinds_do_not_overlap() -> None:
    datasets = {kind: ingest(GeneratedDataset(generated=kind, rows=2000), NOWHERE) for kind in KINDS}  # type: ignore[arg-type]
    assert check_overlap(datasets, "refusals") == []
