"""A right study, and writing wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

STUDY = """\
name: small
question: Does order matter?
model: {tiny: nano}
training: {learning_rate: 1e-3, num_train_epochs: 2}
stages:
  - {name: tofu, dataset: {generated: authors, rows: 100}}
  - {name: math, dataset: {generated: arithmetic, rows: 100}}
  - {name: safety, role: forget, dataset: {generated: refusals, rows: 100}}
histories: forget_at_each_position
unlearnings:
  - {name: ga, objective: ga, learning_rate: 1e-4, max_steps: 10, save_at: [0, 5, 10]}
  - {name: npo, objective: npo, beta: 0.1, learning_rate: 1e-4, max_steps: 10}
probes:
  - {forget_score: safety}
  - {answer_logprob: tofu}
  - {prediction: safety}
comparisons:
  - {contrast: oracle_distance, probe: prediction, margin: {times_band: 1.5, rationale: half again}}
  - {contrast: difference, probe: answer_logprob, margin: {value: 0.1, rationale: a tenth}}
replicates: 8
oracle_replicates: 2
seed: 0
"""


@pytest.fixture
def study_text() -> str:
    """A valid study of 21 lines."""
    return STUDY


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a file into a fresh working directory; returns its name, so that messages begin with a short place."""
    monkeypatch.chdir(tmp_path)

    def write_file(content: str | bytes, name: str = "study.yaml") -> str:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return write_file
