"""Report modules, code lines and docstring lines per folder, and the change since a revision.

Usage: python .ci/size.py [REVISION]. The default is the last tag, or the last commit before the
package was divided into folders.
"""

import ast
import subprocess
import sys
from collections import Counter

BEFORE_FOLDERS = "f690647"


def git(*arguments: str) -> str:
    """Return the output of git, or an empty string if git fails."""
    found = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return found.stdout if found.returncode == 0 else ""


def count(source: str) -> tuple[int, int]:
    """Return the numbers of code lines and of docstring lines, without blank lines and comments."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            documented.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), 1)
    filled = {number for number, line in lines if line.strip() and not line.strip().startswith("#")}
    return len(filled - documented), len(filled & documented)


def sizes(revision: str) -> dict[str, Counter[str]]:
    """Return modules, code lines and docstring lines of each folder at a revision."""
    found: dict[str, Counter[str]] = {}
    for path in git("ls-tree", "-r", "--name-only", revision, "tinyclf").split():
        if path.endswith(".py"):
            code, documented = count(git("show", f"{revision}:{path}"))
            parts = path.split("/")
            folder = parts[1] if len(parts) > 2 else "(top)"
            found.setdefault(folder, Counter()).update(modules=1, code=code, docstrings=documented)
    found["total"] = sum(found.values(), Counter())
    return found


def main() -> None:
    """Print the table."""
    reference = (sys.argv[1:] or [git("describe", "--tags", "--abbrev=0").strip() or BEFORE_FOLDERS])[0]
    now, before = sizes("HEAD"), sizes(reference)
    print(f"{'folder':12} {'modules':>8} {'code':>6} {'docstrings':>11}")
    for folder, counts in now.items():
        print(f"{folder:12} {counts['modules']:8} {counts['code']:6} {counts['docstrings']:11}")
    if before["total"]:
        change = {key: now["total"][key] - before["total"][key] for key in ("modules", "code", "docstrings")}
        print(f"since {reference}: " + ", ".join(f"{key} {value:+d}" for key, value in change.items()))


main()
