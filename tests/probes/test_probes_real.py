"""Probes over the real data sets: every row can be read as its probe needs it."""

import os
from pathlib import Path

import pytest

from retrain_equivalence.data.ingest import Locations, ingest
from retrain_equivalence.probes.catalogue import build
from retrain_equivalence.probes.final_number import flexible, normalise, strict
from retrain_equivalence.recipes.dataset import Gsm8kDataset
from retrain_equivalence.recipes.probe import AccuracyProbe

DATA = os.environ.get("RETRAIN_EQUIVALENCE_DATA")
pytestmark = [pytest.mark.real, pytest.mark.skipif(not DATA, reason="RETRAIN_EQUIVALENCE_DATA is not set")]


def test_every_gsm8k_answer_ends_with_a_number_that_both_readings_find() -> None:
    where = Locations(study_dir=Path.cwd(), data_dir=Path(str(DATA)), offline=True)
    dataset = ingest(Gsm8kDataset(gsm8k="test"), where)
    rows = (*dataset.train, *dataset.held_out)
    assert len(rows) > 1000
    for row in rows:
        assert strict(row.response) == flexible(row.response) == normalise(row.response), row.id
    build(AccuracyProbe(accuracy="math", items=len(rows)), dataset)
