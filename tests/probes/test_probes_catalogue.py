"""From recipes to probes: which rows, which names, and what is refused."""

import subprocess
import sys

import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.data.example import Dataset
from retrain_equivalence.data.refusals import paraphrases
from retrain_equivalence.probes.base import Subject, choose_items
from retrain_equivalence.probes.catalogue import build, forget_loss, stage_loss
from retrain_equivalence.recipes.probe import (
    AccuracyProbe,
    AnswerLogprobProbe,
    ExactMatchProbe,
    ForgetScoreProbe,
    PredictionProbe,
)


def measures(probe, subject: Subject) -> dict[str, set[str]]:  # type: ignore[no-untyped-def]
    found: dict[str, set[str]] = {}
    for value in probe.measure(subject):
        found.setdefault(value.measure, set()).add(value.item)
    return found


def test_names_and_items(subject: Subject, refusals: Dataset, sums: Dataset) -> None:
    chosen = {row.id for row in choose_items(refusals.train, 4)}
    held_out = {row.id for row in refusals.held_out}
    numbers = {row.id for row in choose_items(sums.train, 2)}
    assert measures(build(ForgetScoreProbe(forget_score="safety", items=4), refusals), subject) == {
        "forget_score:safety/label": chosen,
        "forget_score:safety/paraphrases": chosen,
    }
    without = ForgetScoreProbe(forget_score="safety", items=4, paraphrases=False)
    assert measures(build(without, refusals), subject) == {"forget_score:safety/label": chosen}
    assert measures(build(AnswerLogprobProbe(answer_logprob="safety", split="held_out"), refusals), subject) == {
        "answer_logprob:safety:held_out": held_out
    }
    assert measures(build(AccuracyProbe(accuracy="math", items=2, samples=1, max_new_tokens=2), sums), subject) == {
        f"accuracy:math/{name}": numbers for name in ("strict", "flexible", "samples_strict", "samples_flexible")
    }
    assert measures(build(ExactMatchProbe(exact_match="math", items=2, max_new_tokens=2), sums), subject) == {
        "exact_match:math": numbers
    }
    assert measures(forget_loss(refusals, 4), subject) == {"forget_loss": chosen}
    assert measures(stage_loss("safety", refusals, 4), subject) == {"stage_loss:safety": chosen}


def test_all_twenty_paraphrases_are_scored(refusals: Dataset) -> None:
    probe = build(ForgetScoreProbe(forget_score="safety"), refusals)
    assert len(probe.paraphrases) == len(set(probe.paraphrases)) == 20  # type: ignore[attr-defined]
    assert probe.paraphrases == paraphrases()  # type: ignore[attr-defined]


def test_paraphrases_of_a_refusal_are_not_scored_for_other_labels(subject: Subject, sums: Dataset) -> None:
    found = measures(build(ForgetScoreProbe(forget_score="math", items=2), sums), subject)
    assert set(found) == {"forget_score:math/label"}


def test_an_empty_split_is_refused(refusals: Dataset) -> None:
    empty = Dataset(
        train=refusals.train, held_out=(), digest=refusals.digest, sensitive=True, provenance=refusals.provenance
    )
    with pytest.raises(InputError, match=r"E-DATA-90.*answer_logprob:safety:held_out") as caught:
        build(AnswerLogprobProbe(answer_logprob="safety", split="held_out"), empty)
    assert caught.value.exit_code == 4


def test_accuracy_without_numbers_is_refused_by_row_id(refusals: Dataset) -> None:
    with pytest.raises(InputError, match="E-DATA-91") as caught:
        build(AccuracyProbe(accuracy="safety"), refusals)
    line = caught.value.lines()[0]
    assert "row r" in line
    assert not any(row.prompt in line or row.response in line for row in refusals.train)


def test_prediction_is_no_item_probe(refusals: Dataset) -> None:
    with pytest.raises(ValueError, match="snapshots"):
        build(PredictionProbe(prediction="safety"), refusals)


def test_the_catalogue_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, retrain_equivalence.probes.catalogue, retrain_equivalence.probes.prediction, "
        "retrain_equivalence.probes.prediction_sets, retrain_equivalence.metrics.catalogue; "
        "print([name for name in ('torch', 'transformers', 'peft', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
