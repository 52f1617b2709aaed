"""`python -m pytest_af3mem` is `af3mem`."""

import sys

from pytest_af3mem.cli import main

if __name__ == "__main__":
    sys.exit(main())
