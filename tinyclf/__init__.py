"""tinyclf: a minimal neural-network classifier whose loss is exact for any logits.

The public names are listed once, in ``__init__.pyi``, where type checkers and editors find them.
Each name is imported on first use. So ``import tinyclf`` is fast, and scikit-learn is imported only
with a name that needs it.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ._version import __version__ as __version__

_LIST = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_MODULE_OF = {name: module for module, name in re.findall(r"^from (\.[a-z][\w.]*) import (\w+)", _LIST, re.M)}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name], __name__), name)
    if not name.startswith("__") and find_spec(f"{__name__}.{name}"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    folder = Path(__file__).parent
    modules = {path.stem for path in (*folder.glob("[a-z]*.py"), *folder.glob("[a-z]*/"))}
    return sorted({"__version__", *__all__, *modules})
