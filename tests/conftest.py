"""What every room's tests share: no module leaves its numeric settings to the next."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def gradual_underflow() -> Iterator[None]:
    """Undo the flushing of denormals that training sets for its process: property tests draw such numbers."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
