import pytest
import torch

from retrain_equivalence.core.errors import RunError
from retrain_equivalence.models.forward import pad, token_logps
from retrain_equivalence.training.reference import aligned, reference_logps


def test_it_is_the_models_own_log_probabilities_at_the_targets(model_of, rows):
    model = model_of()
    found = reference_logps(model, rows, pad_id=0, batch=3)
    assert list(found) != [row.id for row in rows]
    assert {row.id: row.n_targets for row in rows} == {name: len(values) for name, values in found.items()}
    for row in rows:
        logps, mask = token_logps(model, pad([row], 0))
        torch.testing.assert_close(found[row.id], logps[mask].detach(), rtol=1e-6, atol=1e-6)
    assert not any(values.requires_grad for values in found.values())


def test_it_aligns_with_the_padded_batch(model_of, rows):
    model = model_of()
    found = reference_logps(model, rows, pad_id=0)
    chosen = [rows[5], rows[1], rows[6]]
    logps, mask = token_logps(model, pad(chosen, 0))
    values = aligned(found, chosen, mask)
    torch.testing.assert_close(values, logps.detach(), rtol=1e-6, atol=1e-6)
    assert (values[~mask] == 0).all()


def test_rows_it_does_not_hold_are_refused(model_of, rows):
    found = reference_logps(model_of(), rows[:3], pad_id=0)
    mask = pad(rows[:4], 0).targets_BT
    with pytest.raises(RunError, match=r"E-RUN-04.*1 rows, first 'row-3'"):
        aligned(found, rows[:4], mask)
    found["row-2"] = found["row-2"][1:]
    with pytest.raises(RunError, match=r"E-RUN-04.*first 'row-2'"):
        aligned(found, rows[:3], pad(rows[:3], 0).targets_BT)


def test_ids_that_occur_twice_are_refused(model_of, rows):
    with pytest.raises(RunError, match=r"E-RUN-04.*1 row ids occur twice"):
        reference_logps(model_of(), [rows[0], rows[1], rows[0]], pad_id=0)
