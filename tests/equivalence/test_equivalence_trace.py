"""Which rows are behind a number: moved by these, and by no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from report_synthetic import every_contrast, margins_and_gaps
from report_synthetic import rows as planted_rows

from retrain_equivalence.equivalence import compare as compared
from retrain_equivalence.equivalence.case import Case
from retrain_equivalence.equivalence.finding import COORDINATES, Finding, id_of
from retrain_equivalence.equivalence.trace import RULES, probes_behind, rows_behind
from retrain_equivalence.records.state_name import StateName
from retrain_equivalence.records.table import combine
from retrain_equivalence.study.load import load_study
from retrain_equivalence.study.study import Contrast, Study


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, pd.DataFrame]:
    text = every_contrast(replicates=3, oracles=2)
    file = tmp_path_factory.mktemp("trace") / "study.yaml"
    file.write_text(text)
    study = load_study(file)
    return study, combine([planted_rows(study), margins_and_gaps(study)])


def _by_quantity(study: Study, frame: pd.DataFrame) -> Iterator[Finding]:
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in compared.compare(frame, study):
        if finding.estimate is not None:
            kind = (finding.contrast, finding.quantity, finding.alignment, "distance" if finding.test_set else "scalar")
            groups.setdefault(kind, []).append(finding)
    for group in groups.values():
        yield group[len(group) // 2]


def _again(finding: Finding, study: Study, frame: pd.DataFrame) -> float | None:
    """Return the same number of another table."""
    module = next(m for m in compared.CONTRASTS if m.__name__.endswith(f".{finding.contrast}"))
    where = tuple(getattr(finding, name) for name in COORDINATES)
    for other in module.findings(Case(frame, study)):
        if tuple(getattr(other, name) for name in COORDINATES) == where:
            return other.estimate
    raise AssertionError("the finding is gone")


def _moved(frame: pd.DataFrame, which: pd.Index, seed: int) -> pd.DataFrame:
    factor = pd.Series(1.0, index=frame.index)
    factor[which] = 1 + 2 * np.random.default_rng(seed).random(len(which))
    return frame.assign(value=frame["value"] * factor)


def test_every_contrast_can_be_traced() -> None:
    assert set(get_args(Contrast)) | {"band", "forget_level", "natural_forgetting"} == set(RULES)


def test_a_number_moves_with_the_rows_behind_it_and_with_no_others(planted: tuple[Study, pd.DataFrame]) -> None:
    study, frame = planted
    seen: set[str] = set()
    for finding in _by_quantity(study, frame):
        behind = rows_behind(finding, frame, study).index
        about = (finding.contrast, finding.quantity, finding.probe, finding.alignment, len(behind))
        assert 0 < len(behind) < len(frame), about
        others = frame.index.difference(behind)
        same = _again(finding, study, _moved(frame, others, 1))
        assert same == pytest.approx(finding.estimate, rel=1e-9, abs=1e-15), about
        assert _again(finding, study, _moved(frame, behind, 2)) != pytest.approx(finding.estimate, rel=1e-9), about
        seen.add(finding.contrast)
    assert seen == {module.__name__.rpartition(".")[2] for module in compared.CONTRASTS}


def test_rows_of_other_probes_need_not_be_read(planted: tuple[Study, pd.DataFrame]) -> None:
    study, frame = planted
    for finding in _by_quantity(study, frame):
        part = frame.loc[frame["probe"].astype(str).isin(probes_behind(finding))]
        assert rows_behind(finding, part, study).equals(rows_behind(finding, frame, study))


def test_the_rows_behind_a_band_and_a_distance_can_be_counted(planted: tuple[Study, pd.DataFrame]) -> None:
    study, frame = planted
    found = {(f.contrast, f.quantity, f.alignment): f for f in compared.compare(frame, study) if f.test_set == "forget"
             and f.probe.endswith("/hellinger")}  # fmt: skip
    # 5 oracle runs have 10 pairs; 3 runs meet each 4 oracles of another replicate.
    assert len(rows_behind(found["band", "D_oo", "trained"], frame, study)) == 10
    assert len(rows_behind(found["oracle_distance", "D_ho", "at_end"], frame, study)) == 12
    ratio = rows_behind(found["oracle_distance", "D_ho/D_oo", "at_end"], frame, study)
    assert len(ratio) == 22 and set(ratio["item"]) == {"forget"}
    # Both distances of 12 pairs, before and after.
    assert len(rows_behind(found["improvement", "D_ho(end)-D_ho(0)", "at_end"], frame, study)) == 24


def test_equal_seeds_are_behind_coupled_gaps_only(planted: tuple[Study, pd.DataFrame]) -> None:
    study, frame = planted
    path = next(f for f in compared.compare(frame, study) if f.contrast == "growth" and f.quantity == "path rate")
    for row in rows_behind(path, frame, study).itertuples():
        assert StateName.parse(row.against).replicate == row.replicate
    distance = next(f for f in compared.compare(frame, study) if f.contrast == "oracle_distance")
    for row in rows_behind(distance, frame, study).itertuples():
        assert StateName.parse(row.against).replicate != row.replicate


def test_an_id_is_of_the_coordinates_and_of_nothing_else(planted: tuple[Study, pd.DataFrame]) -> None:
    study, frame = planted
    findings = compared.compare(frame, study)
    ids = {f.id for f in findings}
    assert len(ids) == len({tuple(getattr(f, name) for name in COORDINATES) for f in findings})
    first = findings[0]
    assert first.id == id_of(**{name: getattr(first, name) for name in COORDINATES}) and len(first.id) == 8
