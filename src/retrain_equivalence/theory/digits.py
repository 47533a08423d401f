"""Real images for the theory: handwritten digits, 8 × 8 pixels, bundled with scikit-learn, in stages by class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module

import numpy as np
import numpy.typing as npt

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.arrays import Array
from retrain_equivalence.theory.world import stage_name

Labels = npt.NDArray[np.int64]
"""Class numbers, one per row."""

TEST_SHARE = 0.2
"""Of all images; the rest is for training."""
FIRST_CLASSES: dict[int, tuple[int, ...]] = {2: (0, 5, 10), 3: (0, 4, 7, 10)}
"""Per number of stages, where each stage's classes begin: 0-4 and 5-9, or 0-3, 4-6 and 7-9."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DigitStage:
    """The training rows of some classes, and some of the others."""

    name: str
    inputs: Array
    """Pixels from 0 to 1 and a constant 1, shape [n, 65]."""
    labels: Labels
    """The digit 0 to 9, shape [n]."""

    def without_first(self, n_rows: int) -> DigitStage:
        """Return the stage without its first rows: what a retrained model learns."""
        return DigitStage(name=self.name, inputs=self.inputs[n_rows:], labels=self.labels[n_rows:])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DigitWorld:
    """Two or three stages of disjoint rows; the first rows of the last of them are to be forgotten."""

    stages: tuple[DigitStage, ...]
    n_forget: int
    """k."""
    test_inputs: Array
    """Shape [m, 65]; rows of every class that no stage holds."""
    test_labels: Labels

    @property
    def forget_inputs(self) -> Array:
        """X_U, shape [k, 65]."""
        return self.stages[-1].inputs[: self.n_forget]

    @property
    def forget_labels(self) -> Labels:
        """Shape [k]."""
        return self.stages[-1].labels[: self.n_forget]

    @property
    def forget_last(self) -> tuple[int, ...]:
        """The order that ends with the forget stage."""
        return tuple(range(len(self.stages)))

    @property
    def forget_first(self) -> tuple[int, ...]:
        """The order that begins with the forget stage; the other stages keep theirs."""
        return (len(self.stages) - 1, *range(len(self.stages) - 1))


def draw_digits(
    seed: int, *, n_stages: int = 2, stage_rows: int = 300, n_forget: int = 20, shared: float = 0.0, n_test: int = 120
) -> DigitWorld:
    """Split the digits at random into a test set and stages by class.

    Args:
        seed: which rows go where; one seed, one world.
        n_stages: 2 (digits 0-4, 5-9) or 3 (0-3, 4-6, 7-9).
        stage_rows: rows of each stage.
        n_forget: k, at least 1 and below `stage_rows`; all of the last stage's own classes.
        shared: share of a stage's rows, 0 to 1, that come from the classes of other stages, so that no class is met in
            one stage only; never the same image twice.
        n_test: m, at most a fifth of the 1,797 images; which ones does not depend on the stages.

    Raises:
        InputError: E-DATA-130 without scikit-learn, E-DATA-131 for another number of stages or a share outside 0 to 1,
            E-DATA-132 for more rows than there are, E-DATA-106 for an empty forget set.
    """
    if n_stages not in FIRST_CLASSES:
        raise InputError.of("E-DATA-131", "stages", f"the digits come in 2 or 3 stages, not {n_stages}", "use 2 or 3")
    if not 0 <= shared <= 1:
        raise InputError.of("E-DATA-131", "shared", f"a share lies in 0 to 1, found {shared}", "give such a share")
    if n_forget < 1:
        raise InputError.of("E-DATA-106", "forget set", "is empty", "name at least one row to forget")
    images, digits = _images()
    shuffled = np.random.default_rng(seed).permutation(len(digits))
    n_held = round(TEST_SHARE * len(digits))
    test, train = shuffled[:n_held], shuffled[n_held:]
    if not 1 <= n_test <= n_held:
        raise InputError.of(
            "E-DATA-132", "n_test", f"expected 1 to {n_held} test images, found {n_test}", "ask for fewer or more"
        )
    test = test[:n_test]
    free = {number: train[_within(digits[train], n_stages, number)] for number in range(n_stages)}
    n_own = stage_rows - round(shared * stage_rows)
    for number, rows in free.items():
        if not n_forget <= n_own <= len(rows) or n_forget >= stage_rows:
            raise InputError.of(
                "E-DATA-132", "stage_rows",
                f"stage {number + 1} needs {n_own} images of its own digits, more than are forgotten ({n_forget}) and "
                f"at most the {len(rows)} there are", "change stage_rows, n_forget or shared",
            )  # fmt: skip
    own = [rows[:n_own] for rows in free.values()]
    left = np.setdiff1d(train, np.concatenate(own), assume_unique=True)
    left = train[np.isin(train, left)]
    stages = []
    for number in range(n_stages):
        others = left[~_within(digits[left], n_stages, number)][: stage_rows - n_own]
        if len(others) < stage_rows - n_own:
            raise InputError.of(
                "E-DATA-132", "shared", f"only {len(others)} of the {stage_rows - n_own} shared images are left",
                "lower shared or stage_rows",
            )  # fmt: skip
        left = left[~np.isin(left, others)]
        kept = np.concatenate([own[number], others])
        stages.append(DigitStage(name=stage_name(number), inputs=images[kept], labels=digits[kept]))
    return DigitWorld(stages=tuple(stages), n_forget=n_forget, test_inputs=images[test], test_labels=digits[test])


def _within(digits: Labels, n_stages: int, number: int) -> npt.NDArray[np.bool_]:
    first, after = FIRST_CLASSES[n_stages][number : number + 2]
    found: npt.NDArray[np.bool_] = (digits >= first) & (digits < after)
    return found


@cache
def _images() -> tuple[Array, Labels]:
    try:
        found = import_module("sklearn.datasets").load_digits()
    except ModuleNotFoundError as missing:
        raise InputError.of(
            "E-DATA-130", "digits", f"the images come with scikit-learn, which is not installed ({missing})",
            'install the extra: pip install "retrain-equivalence[theory]"',
        ) from missing  # fmt: skip
    pixels = np.asarray(found.data, dtype=np.float64) / 16
    images = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
    digits = np.asarray(found.target, dtype=np.int64)
    images.setflags(write=False)
    digits.setflags(write=False)
    return images, digits
