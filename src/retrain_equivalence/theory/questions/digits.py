"""Beyond linear, on real images: does the path gap of a classifier grow and shrink as the linear world says?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import Array, positive
from retrain_equivalence.theory.classifier_gap import Rows, classifier_gap
from retrain_equivalence.theory.classifier_training import StageTraining, train_history
from retrain_equivalence.theory.classifier_unlearning import METHODS, NpoLike, stable_learning_rate
from retrain_equivalence.theory.classifiers import BinaryLogistic, Classifier, SmallNetwork, SoftmaxRegression
from retrain_equivalence.theory.digits import DigitStage, DigitWorld, Labels, draw_digits
from retrain_equivalence.theory.digits_study.cell import DigitsCell
from retrain_equivalence.theory.digits_study.figures import drawn
from retrain_equivalence.theory.digits_study.numbers import numbers
from retrain_equivalence.theory.digits_study.sentences import sentences
from retrain_equivalence.theory.digits_study.tables import accuracy_table, control_table, growth_table

CLASSIFIERS: dict[str, Classifier] = {
    "binary": BinaryLogistic(n_inputs=65),
    "softmax": SoftmaxRegression(n_inputs=65),
    "network": SmallNetwork(n_inputs=65),
}
"""Names for the option. The binary one tells even digits from odd ones."""


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    classifier: str = "all",
    stages: int = 2,
    stage_rows: int = 300,
    forget_rows: int = 20,
    shared: float = 0.2,
    learning_rate: float = 0.05,
    steps: int = 100,
    epochs: int = 3,
    training_learning_rate: float = 0.2,
    beta: float = 1.0,
    margin: float = 0.002,
    test_rows: int = 120,
) -> Answer:
    """Measure the gap of two stage orders of digit classifiers under five local methods.

    Args:
        seeds: worlds, at least two: images of each stage, initial weights, sample order.
        seed: of the first.
        classifier: `binary`, `softmax`, `network` or `all`.
        stages: 2 or 3.
        stage_rows: images in each stage.
        forget_rows: k, of the last stage.
        shared: share of a stage's images that come from the other stages' digits.
        learning_rate: η of unlearning, plain full-batch steps.
        steps: T, at least 4.
        epochs: passes over each stage in training.
        training_learning_rate: of training, minibatches of 20.
        beta: of the NPO-like weights.
        margin: κ, nats per step: a rate of log gap below it counts as none.
        test_rows: m, images on which predictions are compared.

    Raises:
        InputError: E-DATA-130 without scikit-learn; E-DATA-131, -132, -133 or -102 for settings that make no world.
    """
    chosen = _chosen(classifier)
    if seeds < 2 or seed < 0 or steps < 4 or epochs < 1:
        raise InputError.of(
            "E-DATA-131", "seeds, seed, steps, epochs", f"found {seeds}, {seed}, {steps} and {epochs}",
            "use at least 2 seeds from 0 on, 4 steps and 1 epoch",
        )  # fmt: skip
    positive(training_learning_rate, "training_learning_rate")
    methods = tuple(replace(m, beta=positive(beta, "beta")) if isinstance(m, NpoLike) else m for m in METHODS)
    training = StageTraining(learning_rate=training_learning_rate, n_epochs=epochs)
    worlds = [
        draw_digits(s, n_stages=stages, stage_rows=stage_rows, n_forget=forget_rows, shared=shared, n_test=test_rows)
        for s in range(seed, seed + seeds)
    ]
    cells = []
    for model in chosen:
        starts = [
            _starts(model, world, training, s) for world, s in zip(worlds, range(seed, seed + seeds), strict=True)
        ]
        for method in methods:
            gaps = tuple(
                classifier_gap(
                    model, method, *start, forget=_rows(model, world.forget_inputs, world.forget_labels),
                    test=_rows(model, world.test_inputs, world.test_labels), learning_rate=learning_rate, n_steps=steps,
                )
                for world, start in zip(worlds, starts, strict=True)
            )  # fmt: skip
            cells.append(DigitsCell(model=model, method=method, gaps=gaps, margin=margin))
    stable = {
        m.name: min(stable_learning_rate(m, world.forget_inputs) for world in worlds) for m in chosen if m.is_linear
    }
    settings = {
        "seeds": seeds, "seed": seed, "classifier": classifier, "stages": stages, "stage_rows": stage_rows,
        "forget_rows": forget_rows, "shared": shared, "learning_rate": learning_rate, "steps": steps, "epochs": epochs,
        "training_learning_rate": training_learning_rate, "beta": beta, "margin": margin,
        "test_rows": test_rows,
    }  # fmt: skip
    return Answer(
        name="digits",
        title="Beyond linear: classifiers of real digits",
        question="Do the gaps of digit classifiers trained in two orders grow and shrink as the linear world says?",
        says=tuple(sentences(cells, stable, settings)),
        settings=settings,
        numbers=numbers(cells, stable),
        tables=(growth_table(cells, settings), control_table(cells, settings), accuracy_table(cells, settings)),
        draw=lambda: drawn(cells),
    )


def _chosen(name: str) -> tuple[Classifier, ...]:
    if name == "all":
        return tuple(CLASSIFIERS.values())
    if name not in CLASSIFIERS:
        raise InputError.of(
            "E-DATA-131", "classifier", f"'{name}' is no classifier", f"use one of all, {', '.join(CLASSIFIERS)}"
        )
    return (CLASSIFIERS[name],)


def _labels(model: Classifier, digits: Labels) -> Labels:
    return digits % 2 if isinstance(model, BinaryLogistic) else digits


def _rows(model: Classifier, inputs: Array, digits: Labels) -> Rows:
    return Rows(inputs=inputs, labels=_labels(model, digits))


def _starts(model: Classifier, world: DigitWorld, training: StageTraining, seed: int) -> tuple[Array, Array, Array]:
    """Return history a (forget stage last), b (first), and a under another sample order; one initial state."""
    stages = [DigitStage(name=s.name, inputs=s.inputs, labels=_labels(model, s.labels)) for s in world.stages]
    initial = model.initial(np.random.default_rng([seed, 0]))
    last, first = world.forget_last, world.forget_first
    # Sample orders of one seed are 2s and 2s + 1, so that no two worlds share one.
    a, b, other = (
        train_history(model, stages, order, training, initial=initial, seed=stream)
        for order, stream in ((last, 2 * seed), (first, 2 * seed), (last, 2 * seed + 1))
    )
    return a, b, other
