"""An audit of any cross-entropy: whether it is stable, where it begins to fail, and how to repair it.

Reading order: `exact` (the exact values), `frameworks` (arrays and gradients of NumPy, PyTorch, JAX and
TensorFlow), `function` (how a function takes its arguments), `faults` (their kinds and repairs), `search`
(where they begin) and `report` (the verdict and the table).
"""

from .faults import Fault, Sample
from .report import VERDICTS, Audit, assert_stable, audit

__all__ = ["VERDICTS", "Audit", "Fault", "Sample", "assert_stable", "audit"]
