"""Inputs of failed measurements, written as files that `run_alphafold.py --json_path` reads."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_LONGEST = 120


def write(job: str, folder: Path, test: str) -> Path:
    """Writes AlphaFold 3 JSON to a file named after the test, which its next failure replaces. Raises OSError."""
    digest = hashlib.sha256(test.encode()).hexdigest()[:8]
    path = folder / "failing" / f"{re.sub(r'[^A-Za-z0-9]+', '_', test).strip('_')[-_LONGEST:]}_{digest}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(job)
    return path
