"""Two-class worlds for logistic regression: inputs of a named law, labels drawn from a teacher's probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.inputs import ISOTROPIC, InputLaw

TEST_ROWS = 500
"""m."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelWorld:
    """Stages of rows with labels ±1, and a test set from the mixture of the stages' teachers."""

    inputs: tuple[Array, ...]
    """Of each stage, shape [n, d]."""
    labels: tuple[Array, ...]
    """Of each stage, −1 or 1, shape [n]."""
    test_inputs: Array
    """Shape [m, d]."""
    test_labels: Array
    """Shape [m]; each row's teacher is one of the stages', in turn."""


def draw_labels(
    seed: int,
    *,
    dim: int,
    stage_rows: tuple[int, ...],
    agreement: float = 1.0,
    sharpness: float = 3.0,
    law: InputLaw = ISOTROPIC,
) -> LabelWorld:
    """Draw stages with `P(y = 1 | x) = 1 / (1 + exp(−c ⟨x, w_s⟩))`, `w_s = √a w + √(1 − a) w'_s`, all standard normal.

    Args:
        seed: one seed, one world.
        dim: d.
        stage_rows: n of each stage.
        agreement: a, 0 to 1: how far the stages teach the same thing.
        sharpness: c > 0: how well an input determines its label; ⟨x, w⟩ has variance 1 under the isotropic law.
        law: of the inputs.

    Raises:
        InputError: E-DATA-102 for sizes or a sharpness that are not above 0, or an agreement outside 0 to 1.
    """
    for name, value in (("dim", dim), ("sharpness", sharpness), *(("stage_rows", n) for n in stage_rows)):
        positive(value, name)
    if agreement not in (0.0, 1.0):
        positive(agreement, "agreement")
        positive(1 - agreement, "1 - agreement")
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(dim)
    teachers = [
        np.sqrt(agreement) * common + np.sqrt(1 - agreement) * rng.standard_normal(dim) for _ in range(len(stage_rows))
    ]
    inputs, labels = [], []
    for number, (n, teacher) in enumerate(zip(stage_rows, teachers, strict=True)):
        rows = law.draw(rng, n, dim, stage=number, n_stages=len(stage_rows))
        inputs.append(rows)
        labels.append(drawn_labels(rng, sharpness * (rows @ teacher)))
    test = law.draw(rng, TEST_ROWS, dim)
    margins = np.einsum("md,md->m", test, np.stack(teachers)[np.arange(TEST_ROWS) % len(teachers)])
    return LabelWorld(
        inputs=tuple(inputs), labels=tuple(labels), test_inputs=test, test_labels=drawn_labels(rng, sharpness * margins)
    )


def drawn_labels(rng: np.random.Generator, logits: Array) -> Array:
    """Draw a label per logit z: 1 with chance 1 / (1 + exp(−z)), else −1; shape [n]."""
    found: Array = np.where(rng.random(len(logits)) < special.expit(logits), 1.0, -1.0)
    return found
