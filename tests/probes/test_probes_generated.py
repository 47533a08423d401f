"""Accuracy and exact match, by a real model that has learned its rows by heart."""

import pytest
import torch

from retrain_equivalence.data.example import Dataset, Example
from retrain_equivalence.models.forward import pad, token_logps
from retrain_equivalence.probes.accuracy import Accuracy
from retrain_equivalence.probes.base import Subject
from retrain_equivalence.probes.exact_match import ExactMatch

KNOWN = 3


@pytest.fixture
def learned(nano_directory, sums: Dataset) -> Subject:  # type: ignore[no-untyped-def]
    """A nano model trained on the first rows of `sums` until it says them."""
    from retrain_equivalence.models.base import load_base
    from retrain_equivalence.recipes.model import TinyModel

    model, codec = load_base(nano_directory, TinyModel(tiny="nano"))
    rows = pad([codec.encode(e.prompt, e.response) for e in sums.train[:KNOWN]], codec.pad_id)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        logps, mask = token_logps(model, rows)
        loss = -logps.sum() / mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Subject(model=model.eval(), codec=codec)


def test_a_model_is_right_on_what_it_learned_and_wrong_elsewhere(learned: Subject, sums: Dataset) -> None:
    unknown = Example(id="u", prompt=sums.train[0].prompt, response="#### 99999", cluster="u")
    examples = (*sums.train[:KNOWN], unknown)
    values = list(Accuracy(measure_name="accuracy:math", examples=examples, max_new_tokens=32).measure(learned))
    for name in ("strict", "flexible"):
        found = [value.value for value in values if value.measure == f"accuracy:math/{name}"]
        assert found == [1.0] * KNOWN + [0.0]
    assert len(values) == 2 * len(examples)
    matches = list(ExactMatch(measure_name="exact_match:math", examples=examples, max_new_tokens=32).measure(learned))
    assert [match.value for match in matches] == [1.0] * KNOWN + [0.0]
    assert {str(match.unit) for match in matches} == {"fraction"}


def test_samples_are_averaged_and_reproducible(learned: Subject, sums: Dataset) -> None:
    probe = Accuracy(
        measure_name="accuracy:math", examples=sums.train[:KNOWN], samples=4, temperature=2.0, max_new_tokens=24, seed=7
    )
    first, second = list(probe.measure(learned)), list(probe.measure(learned))
    assert first == second
    sampled = [value.value for value in first if value.measure.startswith("accuracy:math/samples_")]
    assert len(sampled) == 2 * KNOWN
    assert set(sampled) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    cold = Accuracy(
        measure_name="accuracy:math", examples=sums.train[:KNOWN], samples=2, temperature=0.01, max_new_tokens=32
    )
    assert [v.value for v in cold.measure(learned) if v.measure.endswith("/samples_strict")] == [1.0] * KNOWN


def test_an_answer_cut_short_is_not_exact(learned: Subject, sums: Dataset) -> None:
    (match,) = ExactMatch(measure_name="m", examples=sums.train[:1], max_new_tokens=3).measure(learned)
    assert match.value == 0.0
