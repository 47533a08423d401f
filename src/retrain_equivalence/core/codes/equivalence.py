"""What the errors of `compare` mean."""

from __future__ import annotations

CODES: dict[str, str] = {
    "E-DATA-53": (
        "The results table names a replicate that the study does not have. The table and the study do not belong "
        "together: compare the table with the study.lock.yaml that lies beside it."
    ),
    "E-DATA-55": (
        "A row says that its measurement is ok but has no finite value. Nothing is guessed: a value that could not be "
        "measured has an empty 'value' and its reason in 'status' (censored, unscored or failed)."
    ),
    "E-DATA-56": "The status of a row is none of ok, censored, unscored, failed.",
    "E-DATA-57": (
        "The 'against' column of a distance does not name a state. States are written history#replicate for a trained "
        "state and history#replicate@unlearning:step for an unlearned one. A gap/... row must name a coupled state: "
        "another history of the same replicate, or another replicate of the same history, at the same step."
    ),
    "E-DATA-58": (
        "One probe has rows in two units. Different units are never combined; give the probes different names."
    ),
}
