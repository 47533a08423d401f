import numpy as np
import pytest

from retrain_equivalence.objectives.nll import NLL


def token_mean(policy, reference):
    return -np.concatenate(policy).mean()


def test_value_and_gradient_agree_with_the_formula(agrees):
    agrees(NLL(), token_mean)


def test_hand_arithmetic_weighs_tokens_not_rows(evaluated):
    # (1 + 2 + 3 + 6) / 4 = 3; the mean of the row means would be (2 + 6) / 2 = 4.
    loss, gradient = evaluated(NLL(), [np.array([-1.0, -2.0, -3.0]), np.array([-6.0])], [np.zeros(3), np.zeros(1)])
    assert loss == 3.0
    assert [list(row) for row in gradient] == [[-0.25] * 3, [-0.25]]


def test_it_is_the_loss_of_transformers_on_a_model():
    from retrain_equivalence.models.codec import Encoded
    from retrain_equivalence.models.forward import pad, token_logps
    from retrain_equivalence.models.tiny import tiny_model
    from retrain_equivalence.objectives.base import POLICY_LOGPS, Observed, Seen

    model = tiny_model("nano", 0).double()
    rows = [
        Encoded(id="a", ids=(1, 9, 8, 7, 6), n_prompt=2),
        Encoded(id="b", ids=(1, 5, 4), n_prompt=1),
        Encoded(id="c", ids=(1, 5, 9, 9), n_prompt=4),
    ]
    padded = pad(rows, pad_id=0)
    labels = padded.ids_BT.masked_fill(~padded.targets_BT, -100)
    theirs = float(model(input_ids=padded.ids_BT, labels=labels).loss.detach())
    logps, mask = token_logps(model, padded)
    terms = NLL()(Seen({POLICY_LOGPS: Observed(values_BT=logps, mask_BT=mask)}, declared=NLL.passes))
    assert terms.count == 5
    # transformers upcasts to float32 in its loss
    assert float(terms.total.detach()) / terms.count == pytest.approx(theirs, rel=1e-6)
