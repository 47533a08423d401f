"""Random streams by identity: never by position, call order, rank, worker or name.

Design. A stage must see the same batches in the same order wherever it stands in a history; otherwise the order of
stages and the order of samples change together, and nothing can be paired. So a stream is named by what it is for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from retrain_equivalence.core.identity import canonical_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """The streams of one replicate of one study."""

    study: int
    """The study's seed, 0 <= study < 2**63."""
    replicate: int
    """Which replicate, >= 0; oracle-only replicates continue the count."""
    shuffle: int = 0
    """Which sample order: 0 is the study's own; `shuffle_only` controls use 1, 2, ... and move nothing else."""

    def stream(self, purpose: str, identity: str = "", occurrence: int = 0) -> int:
        """Return the 63-bit seed of one stream.

        Args:
            purpose: `init`, `adapter`, `order`, `sampling`, ...: what the numbers are used for.
            identity: what they are used on, by content (a dataset's digest), never by its name or position.
            occurrence: 0 for the first use of that identity in a history, 1 for the second, ...

        Returns:
            An integer in [0, 2**63). Streams of different arguments are independent for all practical purposes.
        """
        shuffle = self.shuffle if purpose == "order" else 0
        name = canonical_json([self.study, self.replicate, shuffle, purpose, identity, occurrence])
        return int.from_bytes(hashlib.sha256(f"retrain-equivalence/seed/v1\0{name}".encode()).digest()[:8], "big") >> 1
