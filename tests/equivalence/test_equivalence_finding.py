from __future__ import annotations

import json
from dataclasses import replace

import pytest

from retrain_equivalence.equivalence.finding import Finding, Verdict, from_json, to_json

ONE = Finding(
    contrast="oracle_distance", quantity="D_ho", probe="prediction:s/hellinger", estimate=0.1, low=None, high=0.3, n=5,
    unit="Hellinger²", method="m", reason="r", verdict=Verdict.INCONCLUSIVE,
)  # fmt: skip


def test_json_round_trip_keeps_everything() -> None:
    findings = [ONE, replace(ONE, contrast="band", estimate=None, verdict=None)]
    assert sorted(from_json(to_json(findings)), key=repr) == sorted(findings, key=repr)


def test_json_is_the_same_bytes_whatever_the_order_came_in() -> None:
    findings = [replace(ONE, step=step, quantity=name) for step in (None, 3, 1) for name in ("D_ho", "B_h")]
    assert to_json(findings) == to_json(reversed(findings))


def test_json_has_sorted_keys_and_null_for_what_is_undefined() -> None:
    text = to_json([ONE]).decode()
    item = json.loads(text)["findings"][0]
    assert list(item) == sorted(item)
    assert item["low"] is None
    assert "NaN" not in text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_undefined_must_be_null(value: float) -> None:
    with pytest.raises(ValueError, match="undefined is null"):
        replace(ONE, estimate=value)


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        from_json(b'{"version": 99, "findings": []}')
