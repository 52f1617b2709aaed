"""Failed tests in, workflow commands of GitHub Actions out, which annotate the lines of a pull request.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_af3mem.reports.failures import Failure


def commands(failures: Sequence[Failure], root: Path) -> list[str]:
    """One annotation for each place, however many sizes failed there: GitHub shows ten of a step and drops the others.

    `root` is the folder of the repository: GitHub knows files by their path from there.
    """
    places: dict[tuple[Path, int], list[Failure]] = {}
    for one in failures:
        places.setdefault((one.file, one.line), []).append(one)
    return [_error(file, line, found, root) for (file, line), found in places.items()]


def _error(file: Path, line: int, found: Sequence[Failure], root: Path) -> str:
    path = file.relative_to(root) if file.is_relative_to(root) else file
    name = found[0].test.partition("::")[2] or found[0].test
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    properties = {"file": path.as_posix(), "line": str(line), "title": f"GPU memory: {name}{others}"}
    stated = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    messages = "\n".join(one.message for one in found)
    return f"::error {stated}::{_data(messages)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
