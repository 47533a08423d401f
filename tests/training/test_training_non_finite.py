import math
import pickle

from retrain_equivalence.core.errors import RunError
from retrain_equivalence.training.non_finite import NonFinite


def test_the_line_says_what_where_and_what_to_do():
    error = NonFinite(37, math.nan, 2.314159, ("12", "88"), "stage 'tofu'")
    assert isinstance(error, RunError)
    assert error.exit_code == 8
    assert error.lines() == [
        "error[E-RUN-01]: stage 'tofu': step 37: loss is nan (last finite 2.314 at step 36; rows 12, 88); no step was "
        "taken. Fix: look at these rows, lower learning_rate, or set max_grad_norm"
    ]


def test_a_long_batch_is_shortened():
    error = NonFinite(1, 0.5, None, tuple(str(n) for n in range(20)))
    assert "the gradient of loss 0.5 is not finite (first step; rows 0, 1, 2, 3, 4, 5, 6, 7 and 12 more)" in str(error)
    assert len(error.row_ids) == 20


def test_it_crosses_process_borders():
    error = NonFinite(3, math.inf, 1.0, ("a",), "ga")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.step, copy.loss, copy.last_finite, copy.row_ids, copy.place) == (3, math.inf, 1.0, ("a",), "ga")
    assert str(copy) == str(error)
