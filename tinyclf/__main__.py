"""``python -m tinyclf demo``, ``lesson`` and ``audit``; the commands are in ``teaching/cli.py``."""

from .teaching.cli import main

main()
