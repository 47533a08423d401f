"""Write the invented logs beside this file: six unlearned, six retrained models and the one before, 24 forget items.

The layout is that of open-unlearning's TOFU_EVAL.json; the numbers are drawn from a fixed seed and come from no model.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy import stats

ITEMS, RUNS, SEED = 24, 6, 5
GROUPS = {"retrained": (0.20, RUNS), "unlearned": (0.21, RUNS), "before": (0.85, 1)}
"""Group -> mean probability of the true answer, runs."""


def logs() -> dict[str, dict[str, object]]:
    """Return file -> log."""
    random = np.random.default_rng(SEED)
    difficulty = random.normal(0, 0.5, ITEMS)
    found: dict[str, dict[str, object]] = {}
    reference: list[float] = []
    for group, (level, runs) in GROUPS.items():
        for run in range(runs):
            # Items of one run move together: a run's own effect is what makes runs, not items, the unit.
            logit = np.log(level / (1 - level)) + random.normal(0, 0.15) + difficulty + random.normal(0, 0.2, ITEMS)
            loss = np.log1p(np.exp(-logit))
            false = 1.5 + random.normal(0, 0.1) + difficulty / 2 + random.normal(0, 0.2, ITEMS)
            ratio = [round(float(x), 4) for x in np.exp(loss - false)]
            reference = reference or ratio
            found[f"{group}/seed-{run}/TOFU_EVAL.json"] = {
                "forget_Q_A_Prob": {
                    "agg_value": round(float(np.exp(-loss).mean()), 4),
                    "value_by_index": {
                        str(i): {"prob": round(float(np.exp(-x)), 4), "avg_loss": round(float(x), 4)}
                        for i, x in enumerate(loss)
                    },
                },
                # As there, a single retrained model is the reference of all.
                "forget_quality": {"agg_value": round(float(stats.ks_2samp(ratio, reference).pvalue), 4)},
                "forget_truth_ratio": {
                    "agg_value": round(float(np.minimum(ratio, 1 / np.array(ratio)).mean()), 4),
                    "value_by_index": {str(i): {"score": x} for i, x in enumerate(ratio)},
                },
            }
    return found


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, log in logs().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
