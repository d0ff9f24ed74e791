"""``python -m headstart``."""

from __future__ import annotations

from headstart.cli import main

main()
