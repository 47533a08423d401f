"""Where gradient ascent or descent on the forget set stands after any number of steps, in closed form.

Design. One spectral decomposition of the forget inputs serves every history and every t. With X_U = U diag(s) Vᵀ,
x_j = η (2/k) s_j² and f_j = 1 + x_j (ascent) or 1 − x_j (descent), the residual e_t = X_U θ_t − y obeys
Uᵀe_t = f^t ∘ Uᵀe_0, so

    θ_t = θ_0 + Σ_j v_j (f_j^t − 1) (Uᵀe_0)_j / s_j,

and the part of θ off span(X_Uᵀ) never moves. Powers are kept as (sign, logarithm): at t = 10⁶ nothing overflows and
nothing is looped over. What is compared with a distance is its logarithm.

A residual is taken as given: where it is nothing but rounding (the forget set lies in a last stage that was trained to
convergence) ascent raises that rounding like any residual, and what it reaches has no meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array, matrix, positive, vector, whole_steps
from retrain_equivalence.theory.forget_span import ForgetSpan

Direction: TypeAlias = Literal["ascent", "descent"]
"""Ascent on the forget loss (1/k)‖X_Uθ − y‖², as in Yu et al. (2025), or descent towards its targets y."""

LARGEST_LOG = float(np.log(np.finfo(np.float64).max))
"""Logarithm of the largest float64, 709.78."""
SAFE_SHARE = 1e-250
"""A sum of squares above this share of its largest coefficient has lost at most 10⁻⁵⁰ of itself to underflow."""
_CHUNK = 1_000_000
"""Values of one temporary array: it stays in the cache, and memory does not grow with the number of steps."""


def states(
    span: ForgetSpan,
    targets: npt.ArrayLike,
    thetas: npt.ArrayLike,
    *,
    learning_rate: float,
    step: int,
    direction: Direction = "ascent",
) -> Array:
    """Return θ_t of every history: θ_0 + Σ_j v_j (f_j^t − 1) (Uᵀe_0)_j / s_j.

    Args:
        span: of the forget inputs X_U, k rows in d dimensions.
        targets: y, shape [k].
        thetas: θ_0 of each history, shape [H, d].
        learning_rate: η > 0.
        step: t ≥ 0.
        direction: of the steps.

    Returns:
        Shape [H, d].

    Raises:
        InputError: E-DATA-110 if a parameter would leave float64 (use the log forms), E-DATA-112 for a negative step
            or another direction, E-DATA-100 to -102 for shapes, values and step size.

    Source: Lemma 3.2 of Yu et al. (2025), there for a difference of two histories; here with the targets.

    >>> span = ForgetSpan.of([[1.0, 0.0]])
    >>> states(span, [0.0], [[1.0, 5.0]], learning_rate=0.5, step=3).round(9).tolist()  # f = 1 + 0.5 · 2 · 1 = 2
    [[8.0, 5.0]]
    """
    start, residuals = _start(span, targets, thetas)
    (t,) = whole_steps([step])
    log_factors, signs = _factors(span, learning_rate, direction)
    moved = _minus_one(log_factors, signs, t)
    with np.errstate(over="ignore", invalid="ignore"):
        # A mode that a history does not excite stays at zero, however large its factor.
        coordinates = np.where(residuals == 0, 0.0, residuals / span.singular_values * moved)
        found: Array = start + coordinates @ span.basis
    return _within_float64(found, t, direction)


def log_path_distances(
    span: ForgetSpan,
    deltas: npt.ArrayLike,
    test_inputs: npt.ArrayLike,
    *,
    learning_rate: float,
    steps: Sequence[int],
    direction: Direction = "ascent",
) -> Array:
    """Return log d of pairs of histories, d = (1/m)‖X_test Δ_t‖², Δ_t = Σ_j f_j^t ⟨v_j, Δ_0⟩ v_j + (I − P)Δ_0.

    The targets cancel: both histories must have the same forget rows, targets and steps.

    Args:
        span: of the forget inputs, k rows in d dimensions.
        deltas: Δ_0 of each pair, shape [P, d].
        test_inputs: X_test, shape [m, d].
        learning_rate: η > 0.
        steps: the t to report, each ≥ 0, in any order, shape [T].
        direction: of the steps.

    Returns:
        Natural logarithms, shape [P, T]; −inf where d = 0.

    Raises:
        InputError: E-DATA-112 for no steps, a negative one or another direction,
            E-DATA-100 to -102 for the rest.

    Source: Lemma 3.2 of Yu et al. (2025).

    >>> span = ForgetSpan.of([[1.0, 0.0]])
    >>> found = log_path_distances(span, [[1.0, 0.0]], [[1.0, 0.0]], learning_rate=0.5, steps=[0, 3, 10**6])
    >>> (found / np.log(4)).round(9).tolist()  # d = (2^t)²
    [[0.0, 3.0, 1000000.0]]
    """
    start, rows = (
        matrix(deltas, "deltas", columns=span.inputs.shape[1]),
        matrix(test_inputs, "test inputs", columns=span.inputs.shape[1]),
    )
    return _log_distances(
        span, rows, span.coordinates(start), span.off_span(start), learning_rate, whole_steps(steps), direction
    )


def log_re_distances(
    span: ForgetSpan,
    targets: npt.ArrayLike,
    thetas: npt.ArrayLike,
    references: npt.ArrayLike,
    test_inputs: npt.ArrayLike,
    *,
    learning_rate: float,
    steps: Sequence[int],
    direction: Direction = "ascent",
) -> Array:
    """Return log d(θ_t, r) of every history, d = (1/m)‖X_test(θ_t − r)‖² (Definition 2.1).

    `θ_t − r = Σ_j v_j f_j^t (Uᵀe_0)_j / s_j + (θ_0 − r) − Σ_j v_j (Uᵀe_0)_j / s_j`: a moving part, and a constant that
    is the difference between r and the point at which the ascent would stand still.

    Args:
        span: of the forget inputs, k rows in d dimensions.
        targets: y, shape [k].
        thetas: θ_0 of each history, shape [H, d].
        references: r of each history, its own oracle or one for all, shape [H, d].
        test_inputs: X_test, shape [m, d].
        learning_rate: η > 0.
        steps: the t to report, each ≥ 0, shape [T].
        direction: of the steps.

    Returns:
        Natural logarithms, shape [H, T]; −inf where d = 0.

    Raises:
        InputError: E-DATA-112 for no steps, a negative one or another direction,
            E-DATA-100 to -102 for the rest.

    >>> span = ForgetSpan.of([[1.0, 0.0]])
    >>> found = log_re_distances(
    ...     span, [0.0], [[1.0, 5.0]], [[0.0, 5.0]], [[1.0, 1.0]], learning_rate=0.5, steps=[0, 1, 2]
    ... )
    >>> np.exp(found).round(9).tolist()
    [[1.0, 4.0, 16.0]]
    """
    start, residuals = _start(span, targets, thetas)
    against, rows = (
        matrix(references, "references", columns=span.inputs.shape[1]),
        matrix(test_inputs, "test inputs", columns=span.inputs.shape[1]),
    )
    if against.shape != start.shape:
        raise InputError.of(
            "E-DATA-100", "references", f"expected shape {start.shape}, found {against.shape}",
            "give one reference for each history",
        )  # fmt: skip
    moving: Array = residuals / span.singular_values
    constant: Array = start - against - moving @ span.basis
    return _log_distances(span, rows, moving, constant, learning_rate, whole_steps(steps), direction)


def log_forget_loss(
    span: ForgetSpan,
    targets: npt.ArrayLike,
    thetas: npt.ArrayLike,
    *,
    learning_rate: float,
    steps: Sequence[int],
    direction: Direction = "ascent",
) -> Array:
    """Return log of the forget loss (1/k)‖X_U θ_t − y‖² = (1/k) Σ_j f_j^{2t} (Uᵀe_0)_j².

    Args:
        span: of the forget inputs, k rows in d dimensions.
        targets: y, shape [k].
        thetas: θ_0 of each history, shape [H, d].
        learning_rate: η > 0.
        steps: the t to report, each ≥ 0, shape [T].
        direction: of the steps.

    Returns:
        Natural logarithms, shape [H, T]; −inf where the loss is 0.

    Raises:
        InputError: E-DATA-112 for no steps, a negative one or another direction,
            E-DATA-100 to -102 for the rest.

    >>> span = ForgetSpan.of([[1.0, 0.0]])
    >>> np.exp(log_forget_loss(span, [0.0], [[3.0, 5.0]], learning_rate=0.5, steps=[0, 1])).round(9).tolist()
    [[9.0, 36.0]]
    """
    _, residuals = _start(span, targets, thetas)
    log_factors, _ = _factors(span, learning_rate, direction)
    found = np.empty((len(residuals), len(steps)))
    for part, times in _chunks(whole_steps(steps), span.n_rows):
        powers = _log_powers(log_factors, times)
        # One scale and one matrix product for all histories; a history that lacks the fastest modes would underflow
        # under it, and is summed under its own.
        common = _finite_or_zero(powers.max(axis=1))
        sums: Array = np.square(residuals) @ np.exp(2 * (powers - common[:, None])).T
        is_lost = (sums <= SAFE_SHARE * np.square(residuals).max(axis=1, keepdims=True)).any(axis=1)
        found[:, part] = 2 * common + _log_abs(sums)
        for history in np.flatnonzero(is_lost):
            found[history, part] = _log_sum_exp(2 * (powers + _log_abs(residuals[history])))
    found -= np.log(span.n_rows)
    return found


def iterate(
    forget_inputs: npt.ArrayLike,
    targets: npt.ArrayLike,
    thetas: npt.ArrayLike,
    *,
    learning_rate: float,
    n_steps: int,
    direction: Direction = "ascent",
) -> Array:
    """Return every iterate by the explicit loop θ ← θ ± η (2/k) X_Uᵀ(X_Uθ − y): for comparison only.

    It loses the part off the span to cancellation once θ_t is large (10⁻¹⁶ ‖θ_t‖), so it agrees with the closed form
    relative to max_{s ≤ t} ‖θ_s‖, not to ‖θ_t − θ_0‖.

    Args:
        forget_inputs: X_U, shape [k, d]; rows may be dependent here.
        targets: y, shape [k].
        thetas: θ_0 of each history, shape [H, d].
        learning_rate: η > 0.
        n_steps: t of the last iterate.
        direction: of the steps.

    Returns:
        Shape [n_steps + 1, H, d].

    Raises:
        InputError: E-DATA-110 if a parameter leaves float64, E-DATA-112 for a negative number of steps or another
            direction, E-DATA-100 to -102 for the rest.

    >>> iterate([[1.0, 0.0]], [0.0], [[1.0, 5.0]], learning_rate=0.5, n_steps=2)[:, 0].tolist()
    [[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]]
    """
    rows = matrix(forget_inputs, "forget inputs")
    moving = matrix(thetas, "thetas", columns=rows.shape[1])
    wanted = vector(targets, "targets", len(rows))
    (last,) = whole_steps([n_steps])
    factor = _sign(direction) * positive(learning_rate, "learning_rate") * 2 / len(rows)
    path = np.empty((last + 1, *moving.shape))
    path[0] = moving
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(last):
            path[t + 1] = path[t] + factor * (path[t] @ rows.T - wanted) @ rows
    # What has left float64 never comes back: the last iterate tells for all.
    return _within_float64(path, last, direction)


def _log_distances(
    span: ForgetSpan,
    rows: Array,
    moving: Array,
    constant: Array,
    learning_rate: float,
    steps: npt.NDArray[np.int64],
    direction: Direction,
) -> Array:
    """Return log (1/m)‖X_test(Σ_j f_j^t a_j v_j + b)‖² for each history's a (`moving`) and b (`constant`), [H, T]."""
    log_factors, signs = _factors(span, learning_rate, direction)
    # An orthogonal basis of col(X_test Vᵀ) shortens m rows to at most k without squaring anything.
    orthogonal, triangle = np.linalg.qr(rows @ span.basis.T)
    lengths = np.linalg.norm(triangle, axis=0)
    # Unit columns: a mode that the test inputs do not see has amount 0, and sets no scale.
    columns: Array = (triangle / np.where(lengths > 0, lengths, 1.0)).T
    amounts: Array = moving * lengths
    visible: Array = constant @ rows.T
    constants: Array = np.linalg.norm(visible, axis=1)
    log_constants = _log_abs(constants)
    # Unit vectors too, so that a constant of exactly 0 meets no infinite scale.
    units: Array = visible / np.where(constants > 0, constants, 1.0)[:, None]
    within: Array = units @ orthogonal
    outside = np.square(units - within @ orthogonal.T).sum(axis=1)
    found = np.empty((len(moving), len(steps)))
    for part, times in _chunks(steps, span.n_rows):
        powers = _log_powers(log_factors, times)
        flips = np.where(times[:, None] % 2 == 1, signs, 1.0)
        common = _finite_or_zero(np.maximum(powers.max(axis=1), 0.0))
        shared = flips * np.exp(powers - common[:, None])
        for history, coordinates in enumerate(amounts):
            seen = (log_constants[history], within[history], outside[history])
            scale, squared = common, _squared(shared @ (coordinates[:, None] * columns), common, *seen)
            if (squared <= SAFE_SHARE * max(np.abs(coordinates).max(), constants[history]) ** 2).any():
                logs = powers + _log_abs(coordinates)
                scale = _finite_or_zero(np.maximum(logs.max(axis=1), log_constants[history]))
                own: Array = flips * np.sign(coordinates) * np.exp(logs - scale[:, None])
                squared = _squared(own @ columns, scale, *seen)
            found[history, part] = 2 * scale + _log_abs(squared) - np.log(len(rows))
    return found


def _squared(moved: Array, scale: Array, log_constant: float, within: Array, outside: float) -> Array:
    """Return ‖(moved, 0) + exp(log_constant − scale)(within, √outside)‖² for each step, shape [T]."""
    still = np.exp(log_constant - scale)
    inside: Array = moved + still[:, None] * within
    found: Array = np.einsum("tk,tk->t", inside, inside) + still**2 * outside
    return found


def _start(span: ForgetSpan, targets: npt.ArrayLike, thetas: npt.ArrayLike) -> tuple[Array, Array]:
    """Return θ_0, shape [H, d], and Uᵀ(X_Uθ_0 − y), shape [H, k]."""
    start = matrix(thetas, "thetas", columns=span.inputs.shape[1])
    wanted = vector(targets, "targets", span.n_rows)
    residuals: Array = (start @ span.inputs.T - wanted) @ span.left
    return start, residuals


def _within_float64(found: Array, step: np.int64, direction: Direction) -> Array:
    if not np.isfinite(found).all():
        raise InputError.of(
            "E-DATA-110", f"step {step}", f"a parameter of {direction} is above {np.finfo(np.float64).max:.3g}",
            "use the log forms, which have no such limit: log_path_distances, log_re_distances, log_forget_loss",
        )  # fmt: skip
    return found


def _sign(direction: Direction) -> float:
    if direction not in ("ascent", "descent"):
        raise InputError.of("E-DATA-112", "direction", f"'{direction}' is no direction", "use ascent or descent")
    return 1.0 if direction == "ascent" else -1.0


def _factors(span: ForgetSpan, learning_rate: float, direction: Direction) -> tuple[Array, Array]:
    """Return log|f_j| and the sign of f_j, each of shape [k]."""
    change = _sign(direction) * span.rates(learning_rate)
    above = change > -1
    with np.errstate(divide="ignore"):
        # log1p keeps slow modes exact; beyond −1 the factor is negative and its size is |change| − 1.
        logs: Array = np.where(above, np.log1p(np.where(above, change, 0.0)), np.log(np.abs(1 + change)))
    return logs, np.sign(1 + change)


def _log_powers(log_factors: Array, steps: npt.NDArray[np.int64]) -> Array:
    """Return t log|f_j|, shape [T, k]; 0⁰ = 1."""
    with np.errstate(invalid="ignore"):
        found: Array = np.where(steps[:, None] == 0, 0.0, steps[:, None] * log_factors)
    return found


def _minus_one(log_factors: Array, signs: Array, step: int) -> Array:
    """Return f_j^t − 1, exact for small x_j t; inf where it leaves float64."""
    power = _log_powers(log_factors, np.array([step]))[0]
    with np.errstate(over="ignore"):
        found: Array = np.where((signs < 0) & (step % 2 == 1), -np.exp(power) - 1, np.expm1(power))
    return found


def _log_abs(values: Array | np.float64) -> Array:
    with np.errstate(divide="ignore"):
        found: Array = np.log(np.abs(values))
    return found


def _finite_or_zero(logs: Array) -> Array:
    found: Array = np.where(np.isfinite(logs), logs, 0.0)
    return found


def _log_sum_exp(logs: Array) -> Array:
    """Return log Σ_j exp over the last axis; −inf where every term is."""
    top = logs.max(axis=-1)
    base = _finite_or_zero(top)
    return base + _log_abs(np.exp(logs - base[..., None]).sum(axis=-1))


def _chunks(steps: npt.NDArray[np.int64], width: int) -> list[tuple[slice, npt.NDArray[np.int64]]]:
    size = max(_CHUNK // width, 1)
    return [(slice(i, i + size), steps[i : i + size]) for i in range(0, len(steps), size)]
