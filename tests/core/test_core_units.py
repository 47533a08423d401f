"""Quantities never mix units; durations are exactly one thing."""

import pytest

from retrain_equivalence.core.units import Duration, Quantity, Unit


def test_quantities_of_one_unit_add_and_subtract() -> None:
    a, b = Quantity(value=3.0, unit=Unit.NATS), Quantity(value=1.0, unit=Unit.NATS)
    assert a + b == Quantity(value=4.0, unit=Unit.NATS)
    assert a - b == Quantity(value=2.0, unit=Unit.NATS)


@pytest.mark.parametrize("other", [unit for unit in Unit if unit is not Unit.NATS])
def test_mixing_units_is_refused(other: Unit) -> None:
    a, b = Quantity(value=3.0, unit=Unit.NATS), Quantity(value=1.0, unit=other)
    with pytest.raises(ValueError, match=f"NATS with {other.name}"):
        a + b
    with pytest.raises(ValueError, match="cannot combine"):
        b - a


def test_units_are_printed_by_value() -> None:
    assert f"{Unit.NATS_PER_TOKEN}" == "nats/token"
    assert len(set(map(str, Unit))) == len(Unit)


@pytest.mark.parametrize("given", [{}, {"epochs": 1, "steps": 1}, {"steps": 0}, {"tokens": -5}])
def test_a_duration_is_exactly_one_positive_count(given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Duration(**given)


def test_durations() -> None:
    assert Duration(epochs=2).steps is None
    assert Duration(tokens=10) == Duration(tokens=10)
