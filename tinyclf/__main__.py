"""``python -m tinyclf demo`` and ``python -m tinyclf lesson``; the commands are in ``teaching/cli.py``."""

from .teaching.cli import main

main()
