"""`python -m pytest_af3mem` is `af3mem`."""

from __future__ import annotations

import sys

from pytest_af3mem.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
