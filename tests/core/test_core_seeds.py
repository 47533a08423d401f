"""Streams by identity: what moves them and what does not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.core.seeds import Seeds

SEEDS = Seeds(study=0, replicate=3)


def test_a_stream_is_named_by_what_it_is_for() -> None:
    streams = [
        SEEDS.stream("order", "d1"),
        SEEDS.stream("order", "d2"),
        SEEDS.stream("order", "d1", 1),
        SEEDS.stream("init", "d1"),
        SEEDS.stream("init"),
        Seeds(study=1, replicate=3).stream("order", "d1"),
        Seeds(study=0, replicate=4).stream("order", "d1"),
    ]
    assert len(set(streams)) == len(streams)


def test_fields_do_not_run_into_each_other() -> None:
    assert Seeds(study=1, replicate=12).stream("a") != Seeds(study=11, replicate=2).stream("a")
    assert SEEDS.stream("ab", "c") != SEEDS.stream("a", "bc")
    assert SEEDS.stream("a", "1", 0) != SEEDS.stream("a", "", 1)


def test_call_order_does_not_matter() -> None:
    first = SEEDS.stream("order", "d")
    for purpose in ("init", "adapter", "sampling"):
        SEEDS.stream(purpose)
    assert SEEDS.stream("order", "d") == first


@pytest.mark.parametrize("purpose", ["init", "adapter", "sampling"])
def test_another_sample_order_moves_nothing_else(purpose: str) -> None:
    control = replace(SEEDS, shuffle=1)
    assert control.stream(purpose, "d") == SEEDS.stream(purpose, "d")
    assert control.stream("order", "d") != SEEDS.stream("order", "d")


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000), st.text(max_size=20), st.integers(0, 9))
def test_seeds_fit_into_63_bits(study: int, replicate: int, identity: str, occurrence: int) -> None:
    assert 0 <= Seeds(study=study, replicate=replicate).stream("order", identity, occurrence) < 2**63


def test_streams_of_neighbouring_replicates_share_no_bits() -> None:
    streams = [Seeds(study=0, replicate=r).stream("order", "d") for r in range(400)]
    ones = sum(stream.bit_count() for stream in streams) / (63 * len(streams))
    # Mean of 25,200 fair bits: .5 with a standard deviation of .0031.
    assert ones == pytest.approx(0.5, abs=0.0125)
    assert len(set(streams)) == len(streams)


def test_streams_are_the_same_in_every_process_and_version() -> None:
    assert Seeds(study=0, replicate=0).stream("order", "d", 0) == 6_783_539_964_901_254_309
