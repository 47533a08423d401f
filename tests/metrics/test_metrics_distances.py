"""Distances: hand-worked values, independent implementations, inequalities, and the all-pairs forms against loops."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from retrain_equivalence.metrics.catalogue import DISTANCES
from retrain_equivalence.metrics.pointwise import hellinger, jensen_shannon, kl, squared_l2, total_variation
from retrain_equivalence.metrics.probabilities import BLOCK_VALUES
from retrain_equivalence.metrics.reduction import item_weights, mean_over_items


def normalised(values: np.ndarray) -> np.ndarray:
    return values / values.sum(axis=-1, keepdims=True)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    positions, cells = draw(st.integers(1, 4)), draw(st.integers(2, 6))
    mass = st.one_of(st.just(0.0), st.floats(1e-12, 1.0))
    drawn = [draw(arrays(np.float64, (positions, cells), elements=mass)) for _ in range(2)]
    for values in drawn:
        values[:, 0] += np.where(values.sum(axis=1) == 0, 1.0, 0.0)
    p, q = map(normalised, drawn)
    return p, q


def random_states(n: int, positions: int, cells: int, seed: int = 0) -> np.ndarray:
    """States like a family of related models: one common profile, and a tenth of its spread between states."""
    draws = np.random.Generator(np.random.Philox(seed))
    logits = 3 * draws.normal(size=(1, positions, cells)) + 0.3 * draws.normal(size=(n, positions, cells))
    return normalised(np.exp(logits))


def test_hand_worked_values() -> None:
    p, q = [[0.5, 0.5]], [[0.9, 0.1]]
    assert hellinger.per_position(p, q) == pytest.approx([1 - (math.sqrt(0.45) + math.sqrt(0.05))])
    assert squared_l2.per_position(p, q) == pytest.approx([0.32])
    assert total_variation.per_position(p, q) == pytest.approx([0.4])
    assert kl.per_position(p, q) == pytest.approx([math.log(5 / 3)])
    assert kl.per_position(q, p) == pytest.approx([0.9 * math.log(1.8) + 0.1 * math.log(0.2)])
    middle = 0.5 * (0.5 * math.log(0.5 / 0.7) + 0.5 * math.log(0.5 / 0.3))
    middle += 0.5 * (0.9 * math.log(0.9 / 0.7) + 0.1 * math.log(0.1 / 0.3))
    assert jensen_shannon.per_position(p, q) == pytest.approx([middle])


def test_disjoint_distributions_reach_the_upper_end_of_each_range() -> None:
    p, q = [[1.0, 0.0]], [[0.0, 1.0]]
    expected = {
        "hellinger": 1.0,
        "squared_l2": 2.0,
        "kl_oracle_to_state": math.inf,
        "kl_state_to_oracle": math.inf,
        "jensen_shannon": math.log(2),
        "total_variation": 1.0,
    }
    assert {name: float(distance.per_position(p, q)[0]) for name, distance in DISTANCES.items()} == pytest.approx(
        expected
    )


def test_the_two_kl_directions_are_named_by_who_comes_first() -> None:
    state, oracle = [[0.5, 0.5]], [[1.0, 0.0]]
    assert DISTANCES["kl_oracle_to_state"].per_position(state, oracle) == pytest.approx([math.log(2)])
    assert DISTANCES["kl_state_to_oracle"].per_position(state, oracle)[0] == math.inf


def test_kl_treats_zeros_exactly() -> None:
    assert kl.per_position([[0.0, 1.0]], [[0.5, 0.5]]) == pytest.approx([math.log(2)])
    assert kl.per_position([[0.0, 1.0]], [[0.0, 1.0]]) == pytest.approx([0.0])
    assert kl.per_position([[1e-300, 1.0]], [[0.0, 1.0]])[0] == math.inf


def test_jensen_shannon_is_finite_for_the_smallest_float() -> None:
    smallest = np.nextafter(0.0, 1.0)
    assert jensen_shannon.per_position([[smallest, 1.0]], [[0.0, 1.0]])[0] < 1e-300


@given(pairs())
def test_independent_implementations_agree(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = pair
    assert kl.per_position(p, q) == pytest.approx(entropy(p, q, axis=1), abs=1e-12)
    # scipy's square root turns rounding of 1e-16 into 1e-8, hence its square is compared; of a negative rounding it
    # makes nan, with a warning.
    with np.errstate(invalid="ignore"):
        independent = np.nan_to_num(jensenshannon(p, q, axis=1)) ** 2
    assert jensen_shannon.per_position(p, q) == pytest.approx(independent, abs=1e-12)
    assert squared_l2.per_position(p, q) == pytest.approx(np.linalg.norm(p - q, axis=1) ** 2, abs=1e-15)
    assert hellinger.per_position(p, q) == pytest.approx(1 - np.sqrt(p * q).sum(axis=1), abs=1e-12)
    assert total_variation.per_position(p, q) == pytest.approx(np.maximum(p - q, 0).sum(axis=1), abs=1e-12)


@given(pairs())
def test_ranges_and_inequalities(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = pair
    h2, tv = hellinger.per_position(p, q), total_variation.per_position(p, q)
    js, both = jensen_shannon.per_position(p, q), kl.per_position(p, q)
    slack = 1e-12
    assert (h2 <= tv + slack).all()
    assert (tv <= np.sqrt(2 * h2) + slack).all()
    assert (2 * tv**2 <= both + slack).all(), "Pinsker"
    assert (both >= 2 * h2 - slack).all()
    assert (js <= math.log(2) + slack).all()
    assert (js >= 0).all()
    assert (squared_l2.per_position(p, q) <= 2 + slack).all()


@given(pairs())
def test_symmetry_identity_and_relabelling(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = pair
    turned = np.roll(np.arange(p.shape[1]), 1)
    for name, distance in DISTANCES.items():
        assert distance.per_position(p, p) == pytest.approx(np.zeros(len(p)), abs=1e-15)
        forward = distance.per_position(p, q)
        assert distance.per_position(p[:, turned], q[:, turned]) == pytest.approx(forward, abs=1e-12)
        if not name.startswith("kl"):
            assert distance.per_position(q, p) == pytest.approx(forward, abs=1e-12)


@given(pairs())
def test_lumping_cells_gives_lower_bounds_where_the_catalogue_says_so(pair: tuple[np.ndarray, np.ndarray]) -> None:
    def lump(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values[:, :-2], values[:, -2:].sum(axis=1, keepdims=True)], axis=1)

    p, q = pair
    for distance in DISTANCES.values():
        if distance.lumping_is_a_lower_bound:
            assert (distance.per_position(lump(p), lump(q)) <= distance.per_position(p, q) + 1e-12).all()


def test_lumping_can_increase_squared_l2() -> None:
    assert squared_l2.per_position([[0.2, 0.2, 0.6]], [[0.1, 0.1, 0.8]])[0] == pytest.approx(0.06)
    assert squared_l2.per_position([[0.4, 0.6]], [[0.2, 0.8]])[0] == pytest.approx(0.08)
    assert not DISTANCES["squared_l2"].lumping_is_a_lower_bound


@pytest.mark.parametrize("name", DISTANCES)
def test_all_pairs_equals_the_loop(name: str) -> None:
    states = random_states(7, 11, 23)
    states[2, 4, 5], states[5, 4, 5] = 0.0, 0.0  # both KL branches: somebody rules out what others say
    states = normalised(states)
    states[3] = states[6]
    weights = item_weights([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3])
    distance = DISTANCES[name]
    loop = [[weights @ distance.per_position(a, b) for b in states] for a in states]
    together = distance.all_pairs(states, weights)
    assert np.isinf(together).any() == name.startswith("kl")
    assert together == pytest.approx(np.array(loop), abs=1e-10)
    assert (np.diag(together) == 0).all()
    assert together[3, 6] == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("name", DISTANCES)
def test_all_pairs_is_the_same_over_several_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states, weights = random_states(5, 9, 8), np.full(9, 1 / 9)
    whole = DISTANCES[name].all_pairs(states, weights)
    assert states.size < BLOCK_VALUES
    monkeypatch.setattr("retrain_equivalence.metrics.probabilities.BLOCK_VALUES", 5 * 8 * 2)
    assert DISTANCES[name].all_pairs(states, weights) == pytest.approx(whole, abs=1e-14)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(1, 5), st.integers(2, 9), st.integers(0, 10_000))
def test_gram_forms_are_exact_to_1e10(n: int, positions: int, cells: int, seed: int) -> None:
    states = random_states(n, positions, cells, seed)
    weights = item_weights(np.arange(positions) // 2)
    for distance in (DISTANCES["hellinger"], DISTANCES["squared_l2"]):
        loop = [
            [mean_over_items(distance.per_position(a, b), np.arange(positions) // 2) for b in states] for a in states
        ]
        assert np.abs(distance.all_pairs(states, weights) - np.array(loop)).max() < 1e-10


def test_gram_forms_are_exact_and_fast_at_full_size() -> None:
    states, weights = random_states(240, 64, 512).astype(np.float32), np.full(64, 1 / 64)
    for distance in (DISTANCES["hellinger"], DISTANCES["squared_l2"]):
        start = time.perf_counter()
        together = distance.all_pairs(states, weights)
        # 0.1 to 0.4 s on one core; the limit leaves room for a busy machine.
        assert time.perf_counter() - start < 5
        for i, j in [(0, 1), (3, 200), (239, 17)]:
            # Measured: 5e-16 at most.
            assert together[i, j] == pytest.approx(weights @ distance.per_position(states[i], states[j]), abs=1e-14)


@pytest.mark.parametrize("name", DISTANCES)
def test_wrong_arrays_are_refused(name: str) -> None:
    distance = DISTANCES[name]
    with pytest.raises(ValueError, match="one shape"):
        distance.per_position([[0.5, 0.5]], [[1.0]])
    with pytest.raises(ValueError, match="not negative"):
        distance.per_position([[1.5, -0.5]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="finite"):
        distance.per_position([[math.nan, 1.0]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match=r"\[N, P, C\]"):
        distance.all_pairs(np.ones((2, 3, 4)) / 4, np.ones(2))
    with pytest.raises(ValueError, match="weights"):
        distance.all_pairs(np.ones((2, 3, 4)) / 4, [1.0, -1.0, 1.0])
    with pytest.raises(ValueError, match="finite"):
        distance.all_pairs(np.full((2, 1, 2), np.nan), [1.0])


def test_units_say_what_lumped_cells_do_to_them() -> None:
    assert DISTANCES["hellinger"].unit_text(lumped=False) == "Hellinger²"
    assert DISTANCES["kl_oracle_to_state"].unit_text(lumped=True) == "nats (lower bound)"
    assert DISTANCES["squared_l2"].unit_text(lumped=True) == "squared L2 on probabilities (lumped cells)"


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_hilbertian_distances_are_negative_definite(seed: int) -> None:
    """Schoenberg: d is a squared norm exactly if `Σ c_i c_j d_ij <= 0` for all c that sum to 0."""
    states, weights = random_states(6, 2, 4, seed), np.full(2, 0.5)
    coefficients = np.random.Generator(np.random.Philox(seed)).normal(size=6)
    coefficients -= coefficients.mean()
    for distance in DISTANCES.values():
        if distance.hilbertian:
            assert coefficients @ distance.all_pairs(states, weights) @ coefficients <= 1e-12
