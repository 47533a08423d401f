"""What each method did over all histories: by hand, on tables of a few numbers; and what theory predicts of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import planted
import pytest
from planted import row
from test_equivalence_growth import noisy, rows

from retrain_equivalence.core.predictions import Prediction
from retrain_equivalence.equivalence import method_summary as summary
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.predicted import predicted
from retrain_equivalence.equivalence.tables import report_tables
from retrain_equivalence.histories.unlearning import Phase, ReplayFrom, Step, Unlearning, WeightEdit
from retrain_equivalence.recipes.objective import ObjectiveRecipe
from retrain_equivalence.recipes.training import TrainingRecipe
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.study.study import Study

A, B, ORACLE = "instruct>safety", "safety>instruct", "instruct"
NATS = "nats/token"


def state(history: str, r: int, step: int = 0) -> StateName:
    return StateName(history=history, replicate=r, unlearning="ga" if step else "", step=step)


def losses(at: dict[tuple[str, int, int], float | None]) -> list[Any]:
    """`forget_loss` of (history, replicate, step) on four items; even items lie 0.5 above, odd ones 0.5 below."""
    return [
        row(state(h, r, step), "forget_loss", f"i{k}", None if value is None else value + (0.5, -0.5)[k % 2], NATS,
            status="ok" if value is not None else "censored")
        for (h, r, step), value in at.items()
        for k in range(4)
    ]  # fmt: skip


@pytest.fixture
def study() -> Study:
    return planted.study(replicates=2, unlearnings=[planted.unlearning(steps=(0, 4, 8))])


@pytest.fixture
def forgotten() -> list[Any]:
    """A passes the oracle's 3 at step 4 in replicate 0 and at 8 in replicate 1; B at step 8 in replicate 0 only."""
    return losses(
        {
            (A, 0, 0): 1.0, (A, 1, 0): 1.0, (B, 0, 0): 2.0, (B, 1, 0): 2.0,
            (A, 0, 4): 3.0, (A, 1, 4): 2.0, (B, 0, 4): 2.5, (B, 1, 4): 2.2,
            (A, 0, 8): 5.0, (A, 1, 8): 4.0, (B, 0, 8): 3.0, (B, 1, 8): 2.4,
            (ORACLE, 0, 0): 3.0, (ORACLE, 1, 0): 3.0,
        }
    )  # fmt: skip


def test_forgetting_by_hand_at_the_end(study: Study, forgotten: list[Any]) -> None:
    case, unlearning = Case(planted.frame(forgotten), study), study.unlearnings[0]
    at = summary.stops(case, unlearning, "at_end")
    assert at is not None and (at.reached, at.runs) == (3, 4)
    before, after, oracle = summary.forgetting(case, unlearning, "at_end", at)
    # Replicate 0: (5 + 3)/2 = 4; replicate 1: (4 + 2.4)/2 = 3.2; mean 3.6, standard error 0.4.
    assert (before.value, after.value, oracle.value) == pytest.approx((1.5, 3.6, 3.0))
    assert after.se == pytest.approx(0.4) and after.n == 2, "two replicates, not four runs"


def test_forgetting_by_hand_at_equal_forgetting(study: Study, forgotten: list[Any]) -> None:
    case, unlearning = Case(planted.frame(forgotten), study), study.unlearnings[0]
    at = summary.stops(case, unlearning, "at_forget_level")
    assert at is not None and at.steps == {A: [4, 8], B: [8, None]} and at.reached == 3
    _, after, oracle = summary.forgetting(case, unlearning, "at_forget_level", at)
    # Only replicate 0 has both histories there: A 3 at step 4, B 3 at step 8, each 0.5 lower on the judging half.
    assert (after.value, oracle.value) == pytest.approx((2.5, 2.5)) and after.n == 1


def test_without_forget_losses_there_is_no_level(study: Study) -> None:
    case = Case(planted.frame([row(state(A, 0), "answer_logprob:instruct", "i", -1.0, NATS)]), study)
    assert summary.stops(case, study.unlearnings[0], "at_forget_level") is None
    at = summary.stops(case, study.unlearnings[0], "at_end")
    assert at is not None and at.reached == 0


def answers(at: dict[tuple[str, int, int], float], probe: str = "answer_logprob:instruct") -> list[Any]:
    return [row(state(h, r, step), probe, "i", value, NATS) for (h, r, step), value in at.items()]


def test_utility_is_a_difference_to_the_own_oracle_of_the_replicate(study: Study) -> None:
    table = answers(
        {(A, 0, 8): -2.0, (B, 0, 8): -3.0, (A, 1, 8): -1.0, (B, 1, 8): -2.0, (ORACLE, 0, 0): -1.0, (ORACLE, 1, 0): -0.7}
    )
    case, unlearning = Case(planted.frame(table), study), study.unlearnings[0]
    at = summary.stops(case, unlearning, "at_end")
    assert at is not None
    found = summary.utility(case, "answer_logprob:instruct", unlearning, at)
    # Replicate 0: -2.5 + 1 = -1.5; replicate 1: -1.5 + 0.7 = -0.8.
    assert found.value == pytest.approx(-1.15) and found.n == 2


def base_losses(value: float, stage: str = "instruct", replicates: int = 1) -> list[Any]:
    return [
        row(StateName(history="(base)", replicate=r), f"stage_loss:{stage}", "i", value + r, NATS)
        for r in range(replicates)
    ]


def test_collapsed_is_worse_than_the_base_on_every_retain_stage() -> None:
    study = planted.study(
        replicates=2, stages=("instruct", "tofu"), unlearnings=[planted.unlearning(steps=(0, 8))],
        histories=(("instruct", "tofu", "safety"),),
    )  # fmt: skip
    (name,) = [h.name for h in study.all_histories()]
    unlearning = study.unlearnings[0]
    on_both = answers({(name, 0, 8): -6.0, (name, 1, 8): -6.0})
    on_tofu = answers({(name, 0, 8): -7.0, (name, 1, 8): -4.0}, "answer_logprob:tofu")

    def count(*parts: list[Any]) -> int | None:
        case = Case(planted.frame([row for part in parts for row in part]), study)
        at = summary.stops(case, unlearning, "at_end")
        assert at is not None
        return summary.collapsed(case, unlearning, at)

    shared = [*base_losses(5.0), *base_losses(5.0, "tofu")]
    assert count(on_both, on_tofu, shared) == (1, 2), "replicate 1 still knows tofu better than the base"
    assert count(on_both, on_tofu, base_losses(5.0)) == (2, 2), "told by the stages whose base loss is known"
    # A base of its own per replicate: 5 and 6; a loss of 6 is not larger than 6.
    assert count(on_both, base_losses(5.0, replicates=2)) == (1, 2)
    assert count(on_both, on_tofu) is None and count(shared) is None, "nothing to compare is no collapse and no health"


def test_a_run_that_stopped_is_diverged_and_not_collapsed(study: Study) -> None:
    gone = losses({(A, 0, 0): 1.0, (A, 1, 0): 1.0, (A, 0, 4): None, (A, 0, 8): None, (A, 1, 8): 2.0})
    scored = [
        row(state(A, 0, 8), "answer_logprob:instruct", "i", None, NATS, status="censored"),
        *answers({(A, 1, 8): -9.0}),
        *base_losses(5.0),
    ]
    case, unlearning = Case(planted.frame([*gone, *scored]), study), study.unlearnings[0]
    at = summary.stops(case, unlearning, "at_end")
    assert at is not None
    assert summary.diverged(case, unlearning) == 1
    assert summary.collapsed(case, unlearning, at) == (1, 1), "of the run that stopped it cannot be told"


def test_nearness_by_hand(study: Study) -> None:
    """A comes from 4 to 1, B stays at 2; the band is 2: 1.5 bands before, 0.75 after, 1.5 nearer on average."""
    at = {(A, 0): 4.0, (A, 8): 1.0, (B, 0): 2.0, (B, 8): 2.0}
    table = [
        row(state(h, r, step), planted.PROBE, "forget", value, "Hellinger²", against=f"{ORACLE}#{1 - r}")
        for (h, step), value in at.items()
        for r in (0, 1)
    ]
    table.append(row(state(ORACLE, 0), planted.PROBE, "forget", 2.0, "Hellinger²", against=f"{ORACLE}#1"))
    case, unlearning = Case(planted.frame(table), study), study.unlearnings[0]
    stops = summary.stops(case, unlearning, "at_end")
    assert stops is not None
    found = summary.nearness(case, planted.PROBE, "forget", unlearning, stops)
    assert (found.before_bands, found.after_bands) == pytest.approx((1.5, 0.75))
    assert found.improvement.value == pytest.approx(-1.5) and found.improvement.n == 2


def test_the_table_of_rates_has_the_documented_layout_and_the_estimates(study: Study) -> None:
    import re

    import retrain_equivalence.equivalence.tables as module

    study = planted.study(replicates=5)
    tables = report_tables(planted.frame(rows(study, noisy(1, 0.3))), study)
    (found,) = tables["growth"]
    assert module.__doc__ is not None
    assert set(found) <= set(re.findall(r"\w+", module.__doc__.split("`growth`")[1]))
    assert found["predicted"] == "expanding" and found["word"] == "expands" and found["n"] == found["seed_n"] == 5
    assert found["path_low"] < found["path_rate"] < found["path_high"] and found["steps"] == 5
    assert found["path_rate"] == pytest.approx(0.3, abs=0.1)
    # Both kinds of gaps start at 3 and grow alike.
    assert found["start"] == pytest.approx(1, abs=0.3) and found["difference"] == pytest.approx(0, abs=0.1)
    bare = report_tables(planted.frame(losses({(A, 0, 0): 1.0})), planted.study(replicates=1))
    assert bare["growth"] == [] and [r["alignment"] for r in bare["methods"]] == ["at_end"]


def phase(name: str) -> Phase:
    return Phase(objective=ObjectiveRecipe(name=name), training=TrainingRecipe(learning_rate=1e-3, max_steps=3))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((phase("ga"),), Prediction.EXPANDING),
        ((phase("idk"),), Prediction.CONTRACTING),
        ((phase("undial"),), Prediction.FROZEN),
        ((phase("ce_u"),), None),
        ((phase("weighted_sum"),), None),
        ((phase("nll"), phase("ga")), Prediction.SHRINKS_THEN_EXPANDS),
        ((phase("nll"), phase("idk")), None),
        ((phase("ga"), phase("nll")), None),
        ((phase("nll"), WeightEdit(task_vector=1.0)), Prediction.ONE_EXPANSION),
        ((phase("ga"), WeightEdit(task_vector=1.0)), None),
        ((phase("nll"), WeightEdit(task_vector=1.0), phase("ga")), None),
        ((ReplayFrom(replay="since_forget"),), Prediction.REMOVED),
        ((ReplayFrom(replay=1),), None),
    ],
)
def test_a_procedure_is_predicted_by_its_shape(steps: tuple[Step, ...], said: Prediction | None) -> None:
    assert predicted(Unlearning(name="u", procedure=steps)) is said


def test_names_of_unlearnings_predict_nothing() -> None:
    named_ga = replace(planted.unlearning("ga"), procedure=(phase("flat_logits"),))
    assert predicted(named_ga) is None
