"""What a plan says of the replicates: per kind of comparison, and from a pilot's spread."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import small_study
from scipy import stats

from retrain_equivalence.core.errors import InputError
from retrain_equivalence.equivalence import spending
from retrain_equivalence.equivalence.finding import Finding, to_json
from retrain_equivalence.equivalence.power import detectable_effect, equivalence_margin
from retrain_equivalence.execution.power import pilot_spreads, power_lines
from retrain_equivalence.execution.results_folder import FINDINGS, LOCK


def of(n: int, *overrides: str) -> str:
    return "\n".join(power_lines(small_study.small(f"replicates={n}", *overrides)))


def test_one_replicate_decides_nothing() -> None:
    assert "every verdict will be INCONCLUSIVE" in of(1)


def test_scalars_have_an_effect_and_a_margin_in_sd() -> None:
    said = of(8)
    line = next(line for line in said.splitlines() if "difference of answer_logprob" in line)
    assert "recency of forget_loss" in line
    assert f"a difference of {detectable_effect(8):.2f} sd" in line
    assert f"margin of {equivalence_margin(8):.2f} sd" in line
    assert "INCONCLUSIVE" not in said
    assert "INCONCLUSIVE below n = 3" in of(2)
    assert "INCONCLUSIVE below n = 3" not in of(3)


def test_distances_need_five_replicates() -> None:
    for n, enough in ((2, False), (4, False), (5, True), (8, True)):
        line = next(line for line in of(n).splitlines() if "oracle_distance of prediction" in line)
        assert "path_gap of prediction" in line
        assert ("every one will be INCONCLUSIVE" in line) is not enough
        assert ("--pilot" in line) is enough
        assert ("sign-flip test of a path gap reaches 5 % from n = 6" in line) is (n < 6)


def test_without_a_comparison_or_a_margin_there_is_no_verdict() -> None:
    assert "no verdict" in of(8, "comparisons=[]")
    line = of(8, "comparisons=[{contrast: path_gap, probe: prediction}]")
    assert "without a verdict: path_gap" in line


def gap(sd: float, n: int, **fields: object) -> Finding:
    half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
    place: dict[str, object] = {
        "contrast": "path_gap", "quantity": "G_ab", "probe": "prediction:safety/hellinger", "test_set": "forget",
        "estimate": 0.1, "low": 0.1 - half, "high": 0.1 + half, "n": n, "unit": "Hellinger²", "method": "",
        "reason": "",
    }  # fmt: skip
    return Finding(**(place | fields))  # type: ignore[arg-type]


@pytest.fixture
def pilot(tmp_path: Path) -> Path:
    (tmp_path / LOCK).write_text("")
    findings = [
        gap(0.02, 6), gap(0.03, 8, other="b"), gap(0.5, 8, alignment="trained"), gap(0.5, 8, quantity="G_ab/D_seed"),
        gap(0.5, 8, probe="prediction:safety/squared_l2"), gap(0.01, 8, test_set="generic"),
        gap(0.5, 8, test_set="held_out", low=None, high=None),
    ]  # fmt: skip
    (tmp_path / FINDINGS).write_bytes(to_json(findings))
    return tmp_path


def test_a_pilot_gives_back_the_spread_that_made_its_intervals(pilot: Path) -> None:
    found = {gap.test_set: gap for gap in pilot_spreads(pilot, 10)}
    assert set(found) == {"forget", "generic"}
    forget = found["forget"]
    assert forget.sd == pytest.approx(0.03)
    assert (forget.n, forget.numbers) == (6, 2)
    assert forget.detectable == pytest.approx(detectable_effect(10) * 0.03)
    assert "forget: 10 replicates detect a path gap of 0.0299 Hellinger²" in forget.line(10)
    assert pilot_spreads(pilot, 1)[0].detectable is None


def test_a_pilot_of_a_ratio_is_read_on_the_log_scale(pilot: Path) -> None:
    half = float(stats.t.ppf(0.975, 7)) * 0.2 / math.sqrt(8)
    ratio = gap(
        0.0, 8, contrast="oracle_distance", quantity="D_ho/D_oo", unit="ratio", estimate=1.3,
        low=1.3 * math.exp(-half), high=1.3 * math.exp(half),
    )  # fmt: skip
    (pilot / FINDINGS).write_bytes(to_json([ratio]))
    (found,) = pilot_spreads(pilot, 12)
    assert found.sd == pytest.approx(0.2)
    assert found.detectable == pytest.approx(math.exp(0.2 * detectable_effect(12)))
    assert "12 replicates detect 1.19 times the band from once the band (sd of the logarithm 0.2" in found.line(12)


def test_looks_say_what_each_of_them_spends() -> None:
    levels = spending.levels((5, 8), 12, 0.05)
    said = of(12, "looks=[5,8]")
    assert all(f"n = {n} at {100 * level:.2g} %" in said for n, level in zip((5, 8, 12), levels, strict=True))
    assert f"n = 12 at {100 * levels[-1]:.2g} %, 5 % in all" in said
    assert "looks" not in of(12)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"version":2,"findings":[{}]}', b'{"version":9,"findings":[]}'])
def test_findings_of_another_kind_are_refused(pilot: Path, data: bytes) -> None:
    (pilot / FINDINGS).write_bytes(data)
    with pytest.raises(InputError, match="E-DATA-81"):
        pilot_spreads(pilot, 8)
    (pilot / FINDINGS).unlink()
    with pytest.raises(InputError, match="E-DATA-80"):
        pilot_spreads(pilot, 8)
