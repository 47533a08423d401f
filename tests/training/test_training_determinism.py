import importlib.metadata
import json
import subprocess
import sys

import torch

from retrain_equivalence.core.identity import canonical_json
from retrain_equivalence.training.determinism import numeric_environment, prepare


def test_prepare_sets_everything_and_may_be_called_again():
    prepare(threads=1)
    prepare(threads=1)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cuda.matmul.allow_tf32
    # A denormal times one is flushed to zero.
    assert float(torch.tensor([1e-40]) * torch.tensor([1.0])) == 0.0


def test_a_fresh_process_gets_the_threads_it_asks_for():
    script = (
        "from retrain_equivalence.training.determinism import prepare; prepare(2)\n"
        "import os, torch\n"
        "print(torch.get_num_threads(), torch.get_num_interop_threads(), os.environ['OMP_NUM_THREADS'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "1", "2"]


def test_the_environment_names_what_moves_a_bit_without_torch():
    script = (
        "import sys, json\n"
        "from retrain_equivalence.training.determinism import numeric_environment\n"
        "found = numeric_environment(threads=1)\n"
        "assert not sys.modules.keys() & {'torch', 'transformers', 'numpy'}\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found == numeric_environment()
    assert found["torch"] == importlib.metadata.version("torch")
    assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert canonical_json(found)


def test_what_moves_a_bit_moves_the_environment():
    base = numeric_environment()
    assert numeric_environment(threads=2) != base
    assert numeric_environment(dtype="bfloat16") != base
    assert numeric_environment(device="cuda") != base
