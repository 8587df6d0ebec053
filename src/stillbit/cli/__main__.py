"""``python -m stillbit.cli``: how torchrun starts the command line."""

from __future__ import annotations

from stillbit.cli.main import main

main()
