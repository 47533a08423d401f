"""Whether the GPU that was asked for is there: asked before anything is read, trained or written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from retrain_equivalence.core.errors import InstrumentError, MachineError

if TYPE_CHECKING:
    from retrain_equivalence.execution.api import Device

DRIVER = Path("/proc/driver/nvidia")
"""Made by the driver's kernel module; containers and WSL may have `nvidia-smi` alone."""


def _refused(why: str, fix: str) -> InstrumentError:
    return MachineError.of("E-ENV-06", "--device cuda", why, fix)


def require_driver(device: Device) -> None:
    """Refuse `cuda` where the system shows no GPU; torch-free, so that a plan may ask.

    Raises:
        MachineError: E-ENV-06.
    """
    if device == "cuda" and not DRIVER.exists() and shutil.which("nvidia-smi") is None:
        raise _refused("this machine has no NVIDIA driver", "run where there is a GPU, or use --device cpu")


def require_gpu(device: Device) -> None:
    """Refuse `cuda` where torch cannot use a GPU; loads torch for that device only.

    Raises:
        MachineError: E-ENV-06.
    """
    require_driver(device)
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            build = torch.version.cuda or "CPU"
            raise _refused(
                f"torch {torch.__version__} (built for {build}) sees no GPU",
                "install the CUDA build of torch, or use --device cpu",
            )
