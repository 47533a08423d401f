"""The order of batches: every row once an epoch, any step at once, longer trainings begin like shorter ones."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_equivalence.data.order import batches, steps_per_epoch

SIZES = {"n_rows": st.integers(1, 60), "batch_size": st.integers(1, 20), "seed": st.integers(0, 2**63 - 1)}


@given(**SIZES, epoch=st.integers(0, 5))
def test_every_epoch_has_every_row_once(n_rows: int, batch_size: int, seed: int, epoch: int) -> None:
    order = batches(n_rows, batch_size, seed)
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    seen = [order[step] for step in steps]
    assert sorted(itertools.chain(*seen)) == list(range(n_rows))
    assert all(len(rows) == batch_size for rows in seen[:-1])
    assert 1 <= len(seen[-1]) <= batch_size


@given(**SIZES, start=st.integers(0, 40))
def test_any_suffix_is_found_without_the_steps_before_it(n_rows: int, batch_size: int, seed: int, start: int) -> None:
    straight = batches(n_rows, batch_size, seed)
    expected = [straight[step] for step in range(start + 8)][start:]
    resumed = batches(n_rows, batch_size, seed)
    assert [resumed[step] for step in range(start, start + 8)] == expected
    assert [resumed[step] for step in reversed(range(start, start + 8))] == expected[::-1]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    one, two = batches(200, 200, 1), batches(200, 200, 2)
    orders = {one[0], one[1], two[0], two[1]}
    assert len(orders) == 4
    # (seed, epoch) is a pair: seed 1 in epoch 2 is not seed 2 in epoch 1.
    assert one[2] != two[1]


def test_seeds_are_independent() -> None:
    # Under independence two permutations of 100 rows agree in one place on average (Poisson, variance 1), so the mean
    # over 400 pairs is 1 with standard error 0.05.
    orders = [batches(100, 100, seed)[0] for seed in range(401)]
    agreements = [
        sum(left == right for left, right in zip(one, two, strict=True)) for one, two in itertools.pairwise(orders)
    ]
    assert abs(sum(agreements) / len(agreements) - 1) < 0.25


def test_the_stream_is_fixed() -> None:
    # The order is part of every trained state's identity: a numpy that draws otherwise must be noticed.
    assert batches(8, 4, 0)[0] + batches(8, 4, 0)[1] == (5, 0, 6, 1, 7, 2, 4, 3)


@pytest.mark.parametrize(("n_rows", "batch_size", "seed"), [(0, 1, 0), (1, 0, 0), (1, 1, -1), (1, 1, 2**64)])
def test_impossible_sizes_are_refused(n_rows: int, batch_size: int, seed: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        batches(n_rows, batch_size, seed)


def test_steps_count_from_zero() -> None:
    with pytest.raises(IndexError):
        batches(4, 2, 0)[-1]
    assert steps_per_epoch(4, 2) == 2
