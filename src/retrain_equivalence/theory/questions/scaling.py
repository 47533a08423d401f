"""How large is t0, and what makes it larger?"""

from __future__ import annotations

from typing import Any

from retrain_equivalence.figures.elements import Column, Figure, Table
from retrain_equivalence.theory.answer import Answer
from retrain_equivalence.theory.arrays import positive
from retrain_equivalence.theory.inputs import law_named
from retrain_equivalence.theory.scaling import Along, Factor, Setting, along, small_step_constant
from retrain_equivalence.theory.summary import Summary

VALUES: dict[Factor, tuple[float, ...]] = {
    Factor.LEARNING_RATE: (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    Factor.PENALTY: (0.001, 0.01, 0.1, 1.0, 10.0),
    Factor.FORGET_ROWS: (2, 5, 10, 20, 40, 60),
    Factor.TEST_ROWS: (10, 20, 40, 60, 120, 240),
    Factor.DIMENSION: (80, 120, 200, 400, 800),
}
"""What is varied, one factor at a time; beside it the share k/d at fixed d/n."""
SIZES = (4.0, 2.0, 1.0, 0.5, 0.4)
"""d and n together, as multiples of their values elsewhere: with k fixed they vary k/d at fixed d/n."""
LOGARITHMIC = frozenset({Factor.LEARNING_RATE, Factor.PENALTY})
"""Factors whose axis shows the logarithm."""


def answer(
    *,
    seeds: int = 20,
    seed: int = 0,
    law: str = "isotropic",
    learning_rate: float = 1.0,
    penalty: float = 0.1,
    dim: int = 200,
) -> Answer:
    """Answer over worlds `seed` to `seed + seeds - 1`, the same seeds at every value.

    Args:
        seeds: worlds per value.
        seed: of the first.
        law: of the inputs: isotropic, power-law or half-shared.
        learning_rate: η where it is not varied.
        penalty: μ where it is not varied.
        dim: d where it is not varied.

    Raises:
        InputError: for an unknown law, a value that is not above 0, or a dimension in which the forget rows are
            dependent.
    """
    positive(seeds, "seeds")
    setting = Setting(law=law_named(law), learning_rate=learning_rate, penalty=penalty, dim=dim)
    limits = [small_step_constant(setting.constants(s), learning_rate) for s in range(seed, seed + seeds)]
    kept = [value for value in limits if value is not None]
    limit = Summary.of(kept) if kept else None
    asked = {**VALUES, Factor.FORGET_SHARE: tuple(setting.forget_rows / (size * dim) for size in SIZES)}
    values = {
        factor: tuple(v for v in of if setting.with_value(factor, v).has_independent_rows)
        for factor, of in asked.items()
    }
    left_out = {factor: [v for v in of if v not in values[factor]] for factor, of in asked.items()}
    found = {factor: along(factor, of, setting, seeds=seeds, seed=seed) for factor, of in values.items() if of}
    return Answer(
        name="scaling",
        title="How t0 scales",
        question="How large is t0, and how does it depend on the step size, the penalty and the sizes?",
        says=_says(found, left_out, limit, setting, seeds),
        settings={
            "seeds": seeds, "seed": seed, "law": setting.law.name, "learning_rate": learning_rate, "penalty": penalty,
            "dim": setting.dim, "forget_rows": setting.forget_rows, "test_rows": setting.test_rows,
            "stage_rows": setting.stage_rows, "values": {factor.name.lower(): list(v) for factor, v in values.items()},
        },
        numbers={
            "small_step_constant": limit.numbers() if limit else "t0 is no number in any world",
            **{factor.name.lower(): [_numbers(part) for part in parts] for factor, parts in found.items()},
        },
        tables=(_table(found, seeds),),
        draw=lambda: (_figure(found, seeds),),
    )  # fmt: skip


def _says(
    found: dict[Factor, tuple[Along, ...]],
    left_out: dict[Factor, list[float]],
    limit: Summary | None,
    setting: Setting,
    seeds: int,
) -> tuple[str, ...]:
    def course(factor: Factor) -> str:
        parts = [f"{part.value:.3g}: {part.t0.median:g}" for part in found.get(factor, ()) if part.t0]
        return ", ".join(parts) or "no number at any value"

    rates = f"t0 is {course(Factor.LEARNING_RATE)} at the step sizes named (medians over {seeds} worlds)"
    said = [
        f"t0 grows like 1/η: η·t0 tends to {limit.text()} as η → 0, and {rates}: a longer wait in steps, about the "
        f"same in learning time."
        if limit and limit.low > 0
        else f"Against the step size, {rates}.",
        f"Against the penalty μ, t0 is {course(Factor.PENALTY)}.",
        f"Against k forget rows of {setting.stage_rows} in the stage, t0 is {course(Factor.FORGET_ROWS)}.",
        f"Against m test rows, t0 is {course(Factor.TEST_ROWS)}.",
        f"Against d with k = {setting.forget_rows} and n = {setting.stage_rows}, so that k/d and d/n both change, t0 "
        f"is {course(Factor.DIMENSION)}; against k/d at d/n = {setting.dim / setting.stage_rows:.3g} and "
        f"k = {setting.forget_rows}, t0 is {course(Factor.FORGET_SHARE)}.",
    ]
    missing = [
        f"{factor.value} = {', '.join(f'{v:.3g}' for v in values)}" for factor, values in left_out.items() if values
    ]
    if missing:
        said.append(f"Left out, since the stage cannot hold k independent rows there: {'; '.join(missing)}.")
    vacuous = [part for parts in found.values() for part in parts if part.n_vacuous]
    if vacuous:
        where = ", ".join(f"{part.factor.value} = {part.value:.3g} ({part.n_vacuous} of {seeds})" for part in vacuous)
        said.append(f"There is no bound (as for m < k, where σ_U = 0) at {where}.")
    said.append(
        f"Elsewhere {setting.law.name} inputs, η = {setting.learning_rate:g}, μ = {setting.penalty:g}, "
        f"d = {setting.dim}, k = {setting.forget_rows}, m = {setting.test_rows}; t0 stands for max(t0, 0)."
    )
    return tuple(said)


def _numbers(part: Along) -> dict[str, Any]:
    summaries = {"t0": part.t0, "t0_tight": part.t0_tight, "t0_modes": part.t0_modes, "rate": part.rate}
    return {
        "value": part.value,
        "n_vacuous": part.n_vacuous,
        **{key: one.numbers() if one else "no bound in any world" for key, one in summaries.items()},
    }


def _table(found: dict[Factor, tuple[Along, ...]], seeds: int) -> Table:
    def text(summary: Summary | None) -> str:
        return summary.text(4) if summary else "no bound"

    return Table.of(
        f"t0 against one factor at a time; median (range) over {seeds} worlds",
        [
            Column(head="factor", text=lambda part: part.factor.value),
            Column(head="value", text=lambda part: f"{part.value:.4g}", numeric=True),
            Column(head="t0", text=lambda part: text(part.t0), numeric=True),
            Column(head="tight t0", text=lambda part: text(part.t0_tight), numeric=True),
            Column(head="proof's condition", text=lambda part: text(part.t0_modes), numeric=True),
            Column(head="ρ*", text=lambda part: text(part.rate), numeric=True),
        ],
        [part for parts in found.values() for part in parts],
    )


def _figure(found: dict[Factor, tuple[Along, ...]], seeds: int) -> Figure:
    from math import log10

    import pandas as pd

    from retrain_equivalence.figures.chart import to_svg
    from retrain_equivalence.figures.legend import of_series
    from retrain_equivalence.figures.palette import series_of
    from retrain_equivalence.figures.panel import line_panel

    series = series_of(
        [("t0", "t0 as printed"), ("tight", "tight t0"), ("modes", "first step of the proof's condition")]
    )
    panels = []
    for factor, parts in found.items():
        is_log = factor in LOGARITHMIC
        rows = [
            {"series": name, "x": x, **s.band()}
            for x, part in ((log10(part.value) if is_log else part.value, part) for part in parts)
            for name, s in (("t0", part.t0), ("tight", part.t0_tight), ("modes", part.t0_modes))
            if s
        ]
        chart = line_panel(
            pd.DataFrame(rows), series, title=f"Against the {factor.value}", y_title="steps of ascent",
            x_title=f"log10 of the {factor.value}" if is_log else factor.value, log=factor is Factor.LEARNING_RATE,
        )  # fmt: skip
        label = f"t0 as printed, tight t0 and the first step of the proof's condition against the {factor.value}."
        panels.append(to_svg(chart, name=f"scaling-{factor.name.lower().replace('_', '-')}", label=label))
    return Figure(
        name="theory-scaling",
        title="How t0 scales",
        panels=tuple(panels),
        legend=of_series(series),
        caption=(
            f"max(t0, 0) in steps of ascent, one factor varied at a time, the same {seeds} seeds at every value. Lines "
            f"are medians, bands ranges. The panel of the step size has a logarithmic vertical axis without zeros."
        ),
        table=_table(found, seeds),
    )
