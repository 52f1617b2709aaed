"""Failed tests in, workflow commands of GitHub Actions out, which annotate the lines of a pull request; and one such command.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_af3mem.reports.failures import Failure


def commands(failures: Sequence[Failure], root: Path) -> list[str]:
    """One annotation for each place, since GitHub shows ten of a step; `root` is the repository, from which it knows files."""
    places: dict[tuple[Path, int], list[Failure]] = {}
    for one in failures:
        places.setdefault((one.file, one.line), []).append(one)
    lines = []
    for (file, line), found in places.items():
        path = file.relative_to(root) if file.is_relative_to(root) else file
        name = found[0].test.partition("::")[2] or found[0].test
        others = f" and {len(found) - 1} more" if len(found) > 1 else ""
        messages = "\n".join(one.message for one in found)
        lines.append(annotation("error", path.as_posix(), line, f"{name}{others}", messages))
    return lines


def annotation(level: str, file: str, line: int, title: str, message: str) -> str:
    """An annotation at a line, of the level `error`, `warning` or `notice`; `file` is named from the repository's top folder."""
    properties = {"file": file, "line": str(line), "title": f"GPU memory: {title}"}
    stated = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{level} {stated}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    return text.translate({ord(letter): f"%{ord(letter):02X}" for letter in f"%\r\n{more}"})
