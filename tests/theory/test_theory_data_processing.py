"""Laws of histories over training seeds: information is invariant under injective maps, and falls under others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.data_processing import (
    GaussianLaw,
    history_law,
    in_modes,
    kullback_leibler,
    rotation,
    squared_hellinger,
    standardised_modes,
    unlearned,
)
from retrain_equivalence.theory.stage import Converged, ProximalRidge
from retrain_equivalence.theory.trajectory import iterate
from retrain_equivalence.theory.world import LinearWorld, WorldShape, draw_world

SHAPE = WorldShape(dim=20, stage_rows=(8, 8), forget=(0, 4), test_rows=6, rule=ProximalRidge(penalty=1.0))


def drawn(seed: int) -> tuple[LinearWorld, GaussianLaw, GaussianLaw]:
    world = draw_world(SHAPE, seed)
    return world, history_law(world, (0, 1), 0.5), history_law(world, (1, 0), 0.5)


def random_law(rng: np.random.Generator, dim: int) -> GaussianLaw:
    return GaussianLaw(mean=rng.standard_normal(dim), factor=np.eye(dim) + 0.4 * rng.standard_normal((dim, dim)))


def test_divergences_by_hand() -> None:
    one = GaussianLaw(mean=np.array([0.0]), factor=np.array([[1.0]]))
    wide = GaussianLaw(mean=np.array([1.0]), factor=np.array([[2.0]]))
    # KL(N(0,1) || N(1,4)) = log 2 + (1 + 1)/8 - 1/2.
    assert kullback_leibler(one, wide) == pytest.approx(np.log(2) + 0.25 - 0.5)
    # 1 - sqrt(2*2/5) exp(-1/20).
    assert squared_hellinger(one, wide) == pytest.approx(1 - np.sqrt(4 / 5) * np.exp(-1 / 20))


def test_divergences_equal_monte_carlo_integrals() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        first, second = random_law(rng, 3), random_law(rng, 3)
        densities = [stats.multivariate_normal(law.mean, law.factor @ law.factor.T) for law in (first, second)]
        sample = first.mean + rng.standard_normal((40_000, 3)) @ first.factor.T
        ratio = densities[0].logpdf(sample) - densities[1].logpdf(sample)
        error = 4 * ratio.std() / np.sqrt(len(sample))
        assert kullback_leibler(first, second) == pytest.approx(ratio.mean(), abs=error)
        root = np.exp(-ratio / 2)
        assert 1 - squared_hellinger(first, second) == pytest.approx(root.mean(), abs=4 * root.std() / 200)


def test_history_law_is_the_law_of_trained_models_over_random_starts() -> None:
    world, law, _ = drawn(0)
    rng = np.random.default_rng(0)
    starts = 0.5 * rng.standard_normal((20_000, 20))
    ends: Array = starts
    for number in (0, 1):
        ends = world.rule.train(ends, world.stages[number])
    wanted = law.factor @ law.factor.T
    assert np.abs(ends.mean(axis=0) - law.mean).max() < 5 * np.sqrt(wanted.max() / 20_000)
    assert np.abs(np.cov(ends.T) - wanted).max() < 6 * wanted.max() / np.sqrt(20_000)


def test_unlearned_law_follows_the_explicit_steps() -> None:
    for seed in range(10):
        world, law, _ = drawn(seed)
        span, targets = world.span(), world.forget_targets
        centre, back = np.linalg.pinv(world.forget_inputs) @ targets, rotation(span).T
        assert back @ back.T == pytest.approx(np.eye(20), abs=1e-12)
        for rate in (0.7, -0.7):
            moved = unlearned(in_modes(law, span, targets), span, learning_rate=rate, step=6)
            direction = "ascent" if rate > 0 else "descent"
            path = iterate(
                world.forget_inputs, targets, law.mean[None], learning_rate=0.7, n_steps=6, direction=direction
            )
            assert back @ moved.mean + centre == pytest.approx(path[-1, 0], rel=1e-10, abs=1e-12)
            hessian = 2 / 4 * world.forget_inputs.T @ world.forget_inputs
            power = np.linalg.matrix_power(np.eye(20) + rate * hessian, 6)
            assert back @ moved.factor == pytest.approx(power @ law.factor, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["ascent", "descent"])
@pytest.mark.parametrize("step", [6, 60])
def test_information_between_histories_is_unchanged_while_the_metric_gap_is_not(sign: float, step: int) -> None:
    ratios = []
    for seed in range(40):
        world, first, second = drawn(seed)
        span, targets = world.span(), world.forget_targets
        # x_1 = 0.8: below 1, so descent is injective too; after 60 steps its fastest mode is at 1e-42.
        rate = sign * 0.8 / float(span.curvatures[0])
        a, b = (in_modes(law, span, targets) for law in (first, second))
        # Turning and shifting parameters changes nothing.
        assert kullback_leibler(a, b) == pytest.approx(kullback_leibler(first, second), rel=1e-10)
        moved = [unlearned(law, span, learning_rate=rate, step=step) for law in (a, b)]
        assert kullback_leibler(*moved) == pytest.approx(kullback_leibler(a, b), rel=1e-10)
        assert squared_hellinger(*moved) == pytest.approx(squared_hellinger(a, b), rel=1e-10)
        assert standardised_modes(*moved, 4) == pytest.approx(standardised_modes(a, b, 4), rel=1e-10)
        ratios.append(np.linalg.norm(moved[0].mean - moved[1].mean) / np.linalg.norm(a.mean - b.mean))
    assert np.median(ratios) > 3 if sign > 0 else np.max(ratios) < 0.999


def test_a_map_that_drops_a_mode_loses_information() -> None:
    for seed in range(20):
        world, first, second = drawn(seed)
        a, b = (in_modes(law, world.span(), world.forget_targets) for law in (first, second))
        # Descent with x_1 = 1 forgets mode 1: what is left is the law of the other coordinates.
        kept = [
            GaussianLaw(mean=x.mean[1:], factor=np.linalg.cholesky((x.factor @ x.factor.T)[1:, 1:])) for x in (a, b)
        ]
        assert kullback_leibler(*kept) < kullback_leibler(a, b)


def test_any_injective_affine_map_keeps_and_any_noisy_map_lowers_information() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        a, b = random_law(rng, 6), random_law(rng, 6)
        matrix, shift = rng.standard_normal((6, 6)), rng.standard_normal(6)
        mapped = [GaussianLaw(mean=matrix @ law.mean + shift, factor=matrix @ law.factor) for law in (a, b)]
        assert kullback_leibler(*mapped) == pytest.approx(kullback_leibler(a, b), rel=1e-6)
        noisy = [
            GaussianLaw(mean=law.mean, factor=np.linalg.cholesky(law.factor @ law.factor.T + 0.3 * np.eye(6)))
            for law in (a, b)
        ]
        assert kullback_leibler(*noisy) < kullback_leibler(a, b)
        assert squared_hellinger(*noisy) < squared_hellinger(a, b)


def test_noise_after_expansion_tells_more_apart_and_after_contraction_less() -> None:
    for seed in range(20):
        world, first, second = drawn(seed)
        starts = [in_modes(law, world.span(), world.forget_targets) for law in (first, second)]
        found = {}
        for rate in (-1.0, 0.0, 1.0):
            moved = [unlearned(law, world.span(), learning_rate=rate, step=8) for law in starts]
            noisy = [
                GaussianLaw(mean=law.mean, factor=np.linalg.cholesky(law.factor @ law.factor.T + np.eye(20)))
                for law in moved
            ]
            found[rate] = squared_hellinger(*noisy)
        assert found[-1.0] < found[0.0] < found[1.0]


def test_degenerate_laws_have_their_code() -> None:
    flat = GaussianLaw(mean=np.zeros(2), factor=np.diag([1.0, 0.0]))
    whole = GaussianLaw(mean=np.zeros(2), factor=np.eye(2))
    world = draw_world(SHAPE, 0)
    point = GaussianLaw(mean=np.zeros(20), factor=np.zeros((20, 20)))
    for call, code in (
        (lambda: kullback_leibler(whole, flat), "E-DATA-118"),
        (lambda: kullback_leibler(flat, whole), "E-DATA-118"),
        (lambda: squared_hellinger(flat, whole), "E-DATA-118"),
        (lambda: standardised_modes(point, point, 4), "E-DATA-118"),
        (lambda: history_law(world, (0, 1), 0.0), "E-DATA-102"),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert error.value.problems[0].code == code


def test_converged_stages_make_laws_without_full_rank() -> None:
    world = draw_world(WorldShape(dim=20, stage_rows=(8, 8), forget=(0, 4), test_rows=6, rule=Converged()), 0)
    law = history_law(world, (0, 1), 1.0)
    assert np.linalg.matrix_rank(law.factor, tol=1e-8) == 12
