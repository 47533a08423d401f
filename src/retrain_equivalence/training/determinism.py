"""The settings that make equal keys give equal bytes, in one place; and the environment that enters every key.

Design. `prepare` is called once at the start of a process that trains or measures. `numeric_environment` describes the
same settings without loading torch, because a plan computes keys with it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Literal

NUMERIC_LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "safetensors", "numpy")
"""The libraries whose version can move a bit of a result."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Device = Literal["cpu", "cuda"]


def prepare(threads: int = 1) -> None:
    """Make torch deterministic in this process; calling it again with the same number changes nothing.

    Threads of one operation are fixed, since sums over another split round differently (1 against 2 threads: up to 4e-5
    in the weights after 5 steps of a 2 M model). Denormals are flushed: a saturated log-sigmoid gives gradients around
    1e-40 that cost 17 % of a step. Uninitialised memory is not filled, which deterministic mode would do at a cost and
    which no operation here reads.

    Args:
        threads: of one operation, >= 1.
    """
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read by CUDA at its first use
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    import torch

    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        # It can be set only before torch's first parallel work, and moves no result here: the loop never starts two
        # operations at once.
        with contextlib.suppress(RuntimeError):
            torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def numeric_environment(
    *, threads: int = 1, device: Device = "cpu", dtype: str = "float32"
) -> dict[str, str | int | bool]:
    """Return everything outside the recipe that can move a bit: libraries, Python minor, hardware kind, settings.

    Torch-free. Two machines with equal answers are expected to give equal bytes; a machine that does not is found by
    its digests. The CPU is named by the widest vector instructions it offers, since torch and its matrix library choose
    their kernels by them, and not by its model, so that results move between machines of one class.

    Args:
        threads: of one operation, >= 1.
        device: where tensors live.
        dtype: of weights and arithmetic.
    """
    versions = {name: importlib.metadata.version(name) for name in NUMERIC_LIBRARIES}
    return {
        **versions,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "system": sys.platform,
        "device": device,
        "device_name": _gpu_name() if device == "cuda" else f"{platform.machine()} {_vector_instructions()}".strip(),
        "dtype": dtype,
        "threads": threads,
        "deterministic": True,
        "flush_denormal": True,
        "tf32": False,
        "attention": "sdpa",
    }


def _vector_instructions() -> str:
    """Return the widest vector instruction set of this CPU, or nothing where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    flags = next(
        (set(line.split(":", 1)[1].split()) for line in lines if line.startswith(("flags", "Features"))), set()
    )
    return next((name for name in ("amx_tile", "avx512f", "avx2", "sve", "asimd") if name in flags), "")


def _gpu_name() -> str:
    """Return the driver's name of the first GPU, or `unknown` where the driver does not tell."""
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Model:"):
                return line.split(":", 1)[1].strip()
    return "unknown"
