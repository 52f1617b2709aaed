"""The end of a session: all reports, and the files and places that they go to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.reports import github, json, markdown
from pytest_af3mem.reports.failures import Failure
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage.files import written_atomically


def put(path: Path, text: str) -> None:
    """Writes a file whole or not at all, and keeps its mode, where it can be replaced. Raises OSError."""
    place = path.resolve()  # what a link names is replaced, and not the link
    content = text.encode("utf-8", errors="backslashreplace")
    if (place.exists() and not place.is_file()) or not os.access(place.parent, os.W_OK):
        place.write_bytes(content)
        return
    with written_atomically(place, of_the_user=True) as unfinished:
        unfinished.write_bytes(content)


def write(
    settings: Settings,
    measurements: Sequence[Measurement],
    failures: Sequence[Failure] = (),
    buckets: Sequence[int] = (),
    folder: Path | None = None,
) -> tuple[list[Path], list[str]]:
    """Writes the reports that were asked for, named from `folder`. What was written, and a line for each that could not be."""

    def page() -> str:
        from pytest_af3mem.reports import html  # which needs an extra

        return html.render(measurements, failures, buckets)

    reports: tuple[tuple[Path | None, Callable[[], str]], ...] = (
        (settings.json, lambda: json.render(measurements, all_holders=settings.all_holders)),
        (settings.markdown, lambda: markdown.render(measurements, failures)),
        (settings.html, page),
    )
    written, lost = [], []
    for path, render in reports:
        if path:
            try:
                put(folder / path if folder else path, render())
                written.append(path)
            except OSError as error:
                lost.append(f"report {path} could not be written: {error.strerror}")
    return written, lost


def summarize(measurements: Sequence[Measurement], failures: Sequence[Failure], environment: Mapping[str, str]) -> list[str]:
    """Adds the summary to that of a job of GitHub Actions; a line where that fails."""
    path = environment.get("GITHUB_STEP_SUMMARY")
    if not path or not (measurements or failures):
        return []
    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(markdown.render(measurements, failures) + "\n")
    except OSError as error:
        return [f"the summary could not be added to $GITHUB_STEP_SUMMARY: {error.strerror}"]
    return []


def annotate(failures: Sequence[Failure], root: Path, environment: Mapping[str, str]) -> list[str]:
    """Lines that GitHub Actions shows at the tests' own; none elsewhere. `root` is where paths begin if nothing says so."""
    if not on_github(environment):
        return []
    return github.commands(failures, Path(environment.get("GITHUB_WORKSPACE") or root).resolve())


def on_github(environment: Mapping[str, str]) -> bool:
    """Whether GitHub Actions reads what is printed."""
    return environment.get("GITHUB_ACTIONS") == "true"
