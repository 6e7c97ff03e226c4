"""Kernels of OpenBLAS: each adds the terms of a product in another order, as other machines do.

``python -m tests.support.openblas`` prints those that this machine can use but does not choose by itself. The
environment variable OPENBLAS_CORETYPE chooses one before Python starts.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

# The flags in /proc/cpuinfo that a kernel needs. With missing instructions, the process would end.
KERNELS = {
    "SkylakeX": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "Haswell": {"avx2", "fma"},
    "Sandybridge": {"avx"},
    "Prescott": {"pni"},  # SSE3
}

NAME = """
import numpy, threadpoolctl
found = threadpoolctl.ThreadpoolController().select(internal_api="openblas").info()
print(*{library["architecture"] for library in found})
"""


def kernel_in_use(**environment):
    """The kernel of OpenBLAS in a new process, or "" for another BLAS library."""
    run = subprocess.run(
        [sys.executable, "-c", NAME], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip().replace("Katmai", "Prescott")  # both names have the same kernel


def other_kernels():
    """The kernels that the processor has the instructions for and that OpenBLAS uses only if asked to."""
    cpu = Path("/proc/cpuinfo")
    flags = re.search(r"^flags\s*:(.*)$", cpu.read_text() if cpu.exists() else "", re.MULTILINE)
    has = set(flags[1].split()) if flags else set()  # other processors have no line of this name
    now = kernel_in_use()
    supported = [kernel for kernel, needs in KERNELS.items() if needs <= has and kernel != now]
    return [kernel for kernel in supported if kernel_in_use(OPENBLAS_CORETYPE=kernel) == kernel]


if __name__ == "__main__":
    print(*other_kernels())
