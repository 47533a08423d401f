"""Rows and models for the loop: a `nano` model from scratch, ragged rows of random ids."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch

from retrain_equivalence.models.codec import Encoded
from retrain_equivalence.models.lora import attach
from retrain_equivalence.models.tiny import tiny_model
from retrain_equivalence.recipes.model import Lora
from retrain_equivalence.training.determinism import prepare


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    prepare(threads=1)


@pytest.fixture(scope="session")
def rows() -> list[Encoded]:
    """Ten ragged rows; the seventh has one target only."""
    rng = random.Random(5)
    made = []
    for index in range(10):
        length = rng.randint(6, 20)
        n_prompt = length - 1 if index == 6 else rng.randint(1, 4)
        ids = tuple(rng.randrange(5, 384) for _ in range(length))
        made.append(Encoded(id=f"row-{index}", ids=ids, n_prompt=n_prompt))
    return made


@pytest.fixture
def model_of() -> Callable[[str], torch.nn.Module]:
    """Return a function `full|lora -> model`; equal calls give equal models."""

    def make(tuning: str = "full") -> torch.nn.Module:
        model = tiny_model("nano", seed=3)
        return attach(model, Lora(rank=2, alpha=4.0), seed=4) if tuning == "lora" else model

    return make
