"""The digits in stages, and the question `theory digits` from options to figures."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory import digits as digits_module
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.digits import draw_digits
from retrain_equivalence.theory.questions.digits import answer


@cache
def default() -> Answer:
    pytest.importorskip("sklearn")
    return answer(seeds=6)


def cell(classifier: str, method: str) -> dict[str, Any]:
    return next(
        c for c in default().numbers["cells"] if c["classifier"] == classifier and c["method"] == method
    )  # fmt: skip


def interval(summary: dict[str, Any]) -> tuple[float, float]:
    return summary["mean"] - summary["half_width_95"], summary["mean"] + summary["half_width_95"]


@pytest.mark.parametrize(("n_stages", "shared"), [(2, 0.0), (2, 0.2), (3, 0.0), (3, 0.3)])
def test_stages_are_disjoint_and_of_their_classes(n_stages: int, shared: float) -> None:
    pytest.importorskip("sklearn")
    firsts = {2: (0, 5, 10), 3: (0, 4, 7, 10)}[n_stages]
    for seed in range(5):
        world = draw_digits(seed, n_stages=n_stages, stage_rows=200, shared=shared)
        # 1,797 images, all different: equal rows would be the same image.
        rows = np.concatenate([*(s.inputs for s in world.stages), world.test_inputs])
        assert len(np.unique(rows, axis=0)) == len(rows) == 200 * n_stages + 120
        for number, stage in enumerate(world.stages):
            own = (stage.labels >= firsts[number]) & (stage.labels < firsts[number + 1])
            assert own.mean() == pytest.approx(1 - shared)
            assert len(stage.inputs) == len(stage.labels) == 200
        assert (world.forget_labels >= firsts[-2]).all()
        np.testing.assert_array_equal(world.forget_inputs, world.stages[-1].inputs[:20])
        assert len(world.stages[-1].without_first(20).labels) == 180
        assert rows.min() == 0
        assert rows.max() == 1
        assert (rows[:, -1] == 1).all()


def test_images_are_scikit_learns() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    found = datasets.load_digits()
    world = draw_digits(3)
    known = {tuple(row): label for row, label in zip(found.data / 16, found.target, strict=True)}
    for row, label in zip(world.test_inputs, world.test_labels, strict=True):
        assert known[tuple(row[:-1])] == label


def test_worlds_differ_by_seed_only() -> None:
    pytest.importorskip("sklearn")
    one, again, other = draw_digits(1), draw_digits(1), draw_digits(2)
    np.testing.assert_array_equal(one.stages[0].inputs, again.stages[0].inputs)
    assert not np.array_equal(one.stages[0].inputs, other.stages[0].inputs)
    np.testing.assert_array_equal(draw_digits(1, n_stages=3, stage_rows=200).test_inputs, one.test_inputs)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"n_stages": 4}, "E-DATA-131"),
        ({"shared": 1.5}, "E-DATA-131"),
        ({"n_forget": 0}, "E-DATA-106"),
        ({"stage_rows": 5000}, "E-DATA-132"),
        ({"stage_rows": 20}, "E-DATA-132"),
        ({"n_test": 0}, "E-DATA-132"),
        ({"stage_rows": 800, "shared": 0.9}, "E-DATA-132"),
    ],
)
def test_impossible_worlds_are_refused(options: dict[str, Any], code: str) -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(InputError, match=code):
        draw_digits(0, **options)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(digits_module, "import_module", missing)
    digits_module._images.cache_clear()
    with pytest.raises(InputError, match=r"E-DATA-130.*\[theory\]"):
        draw_digits(0)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"classifier": "forest"}, "E-DATA-131"),
        ({"seeds": 1}, "E-DATA-131"),
        ({"steps": 3}, "E-DATA-131"),
        ({"epochs": 0}, "E-DATA-131"),
        ({"seed": -1}, "E-DATA-131"),
        ({"beta": 0.0}, "E-DATA-102"),
        ({"learning_rate": -1.0, "seeds": 2, "classifier": "binary"}, "E-DATA-102"),
        ({"training_learning_rate": float("nan")}, "E-DATA-102"),
        ({"margin": 0.0, "seeds": 2, "steps": 4, "classifier": "binary"}, "E-DATA-102"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], code: str) -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(InputError, match=code):
        answer(**options)


def test_ascent_expands_every_gap_at_first_and_slower_than_the_linear_world_says() -> None:
    for classifier in ("binary logistic", "softmax regression", "small network"):
        found = cell(classifier, "ascent")
        rates = found["rates of the parameter gap"]["histories"]
        assert rates["early"][0] > max(0.01, 2 * rates["late"][0])
        measured = found["log growth, measured"]["parameters"]["histories"]
        linear = found["log growth, predicted"]["parameters"]["histories, start curvature"]
        assert interval(measured)[0] > 0
        assert linear["min"] > measured["max"]
        assert 5 < found["steps near the prediction"]["linear"]["median"] < 100


def test_a_common_target_contracts_predictions_but_not_a_networks_parameters() -> None:
    for classifier in ("binary logistic", "softmax regression", "small network"):
        growths = cell(classifier, "to a common target")["log growth, measured"]
        assert interval(growths["forget logits"]["histories"])[1] < 0
        assert interval(growths["test logits"]["histories"])[1] < 0
        if classifier == "small network":
            assert interval(growths["parameters"]["twin"])[0] > 0
        else:
            assert growths["parameters"]["histories"]["max"] < 0


def test_what_convexity_proves_holds_in_every_world() -> None:
    for classifier in ("binary logistic", "softmax regression"):
        assert cell(classifier, "ascent")["worlds in which no step shrinks a gap"] == 6
        assert cell(classifier, "to a common target")["worlds in which no step expands a gap"] == 6
        for method in ("ascent", "NPO-like", "to a common target", "to own outputs", "to own logits"):
            assert cell(classifier, method)["largest relative change off the span"] < 1e-12
        growth = cell(classifier, "to own logits")["log growth, measured"]["parameters"]["histories"]
        assert max(abs(growth["min"]), abs(growth["max"])) < 1e-12
    # The counts can be other than all: NPO-like weights contract in some worlds.
    assert cell("softmax regression", "NPO-like")["worlds in which no step shrinks a gap"] < 6


def test_the_twin_follows_the_first_variation() -> None:
    # κ = 1/16 leaves second-order terms; they are small wherever the gap is not multiplied many times.
    near = 0
    for found in default().numbers["cells"]:
        predicted = found["log growth, predicted"]["parameters"]["twin, first variation"]["median"]
        measured = found["log growth, measured"]["parameters"]["twin"]["median"]
        assert found["steps near the prediction"]["twin predicted"]["median"] > 25
        if found["method"].startswith("to "):
            assert abs(measured - predicted) < 0.1
        near += abs(measured - predicted) < np.log(1.1)
    assert near >= 11


def test_ascent_expands_the_gap_of_two_sample_orders_too() -> None:
    for classifier in ("binary logistic", "softmax regression", "small network"):
        found = cell(classifier, "ascent")
        assert interval(found["log growth, measured"]["parameters"]["seeds"])[0] > 0
        ratio = found["log ratio of histories to seeds"]["parameters"]
        assert interval(ratio["start"])[0] > 0
        assert ratio["end"]["mean"] < ratio["start"]["mean"]


def test_a_common_target_keeps_most_labels() -> None:
    for classifier in ("binary logistic", "softmax regression", "small network"):
        found = cell(classifier, "to a common target")["accuracy"]["forget"]
        assert interval(found["forget stage last, end"])[0] > 0.4


def test_own_outputs_under_cross_entropy_do_not_freeze() -> None:
    for classifier, sign in (("binary logistic", -1), ("softmax regression", 1)):
        found = cell(classifier, "to own outputs")["log growth, measured"]["parameters"]["histories"]
        assert min(sign * bound for bound in interval(found)) > 0


def test_ascent_ends_in_collapse() -> None:
    for classifier, chance in (("binary logistic", 0.5), ("softmax regression", 0.1), ("small network", 0.1)):
        test = cell(classifier, "ascent")["accuracy"]["test"]
        assert test["forget stage last, start"]["mean"] > 0.7
        assert test["forget stage last, end"]["mean"] < chance + 0.1


def test_answer_is_plain_and_serialisable() -> None:
    found = default()
    json.dumps([dict(found.numbers), dict(found.settings)], allow_nan=False)
    assert found.settings["seeds"] == 6
    assert len(found.says) <= 8
    assert all(s.endswith(".") and len(s) < 900 for s in found.says)
    assert [len(t.rows) for t in found.tables] == [15, 15, 15]
    printed = found.numbers["cells"][0]["log growth, measured"]["parameters"]["histories"]["mean"]
    assert f"{np.exp(printed):.3g}" in found.says[0]
    assert f"{np.exp(printed):.3g}" in found.tables[0].rows[0][3]


def test_same_seeds_same_numbers_and_later_seeds_are_a_continuation() -> None:
    pytest.importorskip("sklearn")
    options: dict[str, Any] = {"classifier": "binary", "steps": 8, "seeds": 2}
    one, two = answer(**options), answer(**options)
    assert one.numbers == two.numbers
    path = ("log growth, measured", "parameters", "histories")

    def mean(found: Answer) -> float:
        return float(found.numbers["cells"][0][path[0]][path[1]][path[2]]["mean"])

    four = answer(**{**options, "seeds": 4})
    assert mean(four) == pytest.approx((mean(one) + mean(answer(**{**options, "seed": 2}))) / 2, rel=1e-12)


def test_three_stages_and_one_classifier() -> None:
    pytest.importorskip("sklearn")
    found = answer(classifier="softmax", stages=3, stage_rows=200, seeds=2, steps=12)
    assert {c["classifier"] for c in found.numbers["cells"]} == {"softmax regression"}
    assert len(found.tables[0].rows) == 5


def test_figures_show_every_classifier_and_series() -> None:
    figures = default().draw()
    assert [f.name for f in figures] == ["digits-growth", "digits-ascent"]
    for figure in figures:
        assert len(figure.panels) == 3
        assert all(p.startswith("<svg") and 'role="img"' in p for p in figure.panels)
        assert len(figure.legend) == 5
        assert len(figure.table.rows) == 3 * 5 * 4
        assert "6 seeds" in figure.caption
