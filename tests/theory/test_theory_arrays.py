"""What every claim refuses."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import matrix, positive, vector, whole_steps


def test_good_values_become_float64() -> None:
    assert matrix([[1, 2]], "x").dtype == np.float64
    assert vector([1, 2, 3], "y", 3).tolist() == [1.0, 2.0, 3.0]
    assert positive(2, "eta") == 2.0


@pytest.mark.parametrize("values", [[1.0], [], [[]], [[[1.0]]]])
def test_other_shapes_are_no_matrix(values: list[float]) -> None:
    with pytest.raises(InputError, match=r"E-DATA-100.*rows"):
        matrix(values, "rows")


@pytest.mark.parametrize("values", [[[1.0]], [], [1.0, 2.0]])
def test_other_shapes_are_no_vector_of_three(values: list[float]) -> None:
    with pytest.raises(InputError, match=r"E-DATA-100.*3 values"):
        vector(values, "targets", 3)


def test_the_first_value_that_is_not_finite_is_named() -> None:
    with pytest.raises(InputError, match=r"E-DATA-101.*\(1, 0\).*nan"):
        matrix([[1.0, 2.0], [np.nan, np.inf]], "x")
    with pytest.raises(InputError, match=r"E-DATA-101.*\(2,\).*-inf"):
        vector([1.0, 2.0, -np.inf], "y")


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_step_sizes_are_finite_and_above_zero(value: float) -> None:
    with pytest.raises(InputError, match=r"E-DATA-102.*learning_rate"):
        positive(value, "learning_rate")


def test_columns_must_be_those_of_the_forget_inputs() -> None:
    assert matrix([[1.0, 2.0]], "deltas", columns=2).shape == (1, 2)
    with pytest.raises(InputError, match=r"E-DATA-100.*deltas.*2 dimensions, expected 3"):
        matrix([[1.0, 2.0]], "deltas", columns=3)


@pytest.mark.parametrize("steps", [[], [-1], [0.5], [[1, 2]], [True]])
def test_steps_are_whole_numbers_from_zero_on(steps: list[object]) -> None:
    assert whole_steps([0, 3]).tolist() == [0, 3]
    with pytest.raises(InputError, match="E-DATA-112"):
        whole_steps(steps)  # type: ignore[arg-type]
