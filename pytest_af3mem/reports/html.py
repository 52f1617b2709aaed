"""Measurements in, one page out that loads nothing from elsewhere, with plotly.js in it. Needs the extra `html`."""

from __future__ import annotations

import base64
import datetime
import gzip
import os
import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
from plotly.offline import get_plotlyjs

from pytest_af3mem import __version__, gpus
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.models.function_call import shortened
from pytest_af3mem.records.holders import Change
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.reports import agreement as agreement_report
from pytest_af3mem.reports import failures as failing
from pytest_af3mem.reports import figures, growth, series, terminal, timeline
from pytest_af3mem.reports.columns import signed
from pytest_af3mem.reports.failures import Failure

_EMPTY = dict.fromkeys(
    "stories changes lost padded bars several unattributed tables headings rows numbers versions witnesses conditions".split(), ()
)


@dataclass(frozen=True)
class Table:
    """Rows of text, the first their headings; the columns numbered in `right` stand to the right."""

    name: str
    rows: Sequence[Sequence[str]]
    right: Collection[int]


def render(measurements: Sequence[Measurement], failures: Sequence[Failure] = (), buckets: Sequence[int] = ()) -> str:
    """The page. `failures` are the failed tests, and `buckets` the padding sizes of the model, where it has some."""
    found = series.split(measurements)
    composition, bars = figures.composition(found) if found else (None, [])
    plots = {"curve": figures.curve(found, buckets), "composition": composition} if composition else {}
    headings, *rows = terminal.rows(failing.first(measurements)) if measurements else [()]
    return _page(
        headline=failing.headline(measurements, failures),
        plots=plots,
        stories=failing.stories(measurements, failures),
        lost=list(dict.fromkeys(_asked(one) for one in measurements if one.peak is None)),
        padded=bool(buckets),
        bars=bars,
        timelines=timeline.drawn(found, composition.keys if composition else ()),
        tall=timeline.TALL,
        several=len(found) > 1,
        headings=headings,
        rows=rows,
        numbers=terminal.numbers(headings),
        changes=_changes(measurements),
        witnesses="\n".join(agreement_report.summary(measurements)),
        versions=growth.versions(measurements),
        unattributed=sorted({one.peak.unattributed for one in measurements if one.peak} - {""}),
        conditions=_conditions(measurements),
    )


def render_history(headline: str, plot: figures.Plot | None, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """The page of a baseline's history."""
    none = timeline.drawn((), ())
    return _page(
        headline=headline,
        plots={"history": plot} if plot else {},
        tables=tables,
        versions=notes,
        timelines=none,
        tall=timeline.TALL,
    )


def _page(*, headline: str, plots: Mapping[str, figures.Plot], **parts: Any) -> str:
    """The template's page; parts that are left out are empty."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": format_bytes, "signed": signed, "breakable": _breakable}
    page: str = environment.get_template("page.html.jinja").render(
        {**_EMPTY, **parts},
        version=__version__,
        made=_made(os.environ),
        headline=headline,
        plots=plots,
        figures={name: plot.figure for name, plot in plots.items()},
        # The page unpacks it: plotly.js is 4.8 MB, and 2 MB in this form; plotly ships no smaller bundle.
        plotly=base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode() if plots else "",
    )
    return page


def _asked(one: Measurement) -> str:
    return f"{shortened(one.function) if one.tokens is None else f'{one.tokens:,} tokens'} on {one.target}"


def _made(environment: Mapping[str, str]) -> str:
    """When the page was made, and of which commit and branch, as GitHub's or GitLab's job says, or else git in this folder."""

    def stated(git: Sequence[str], *names: str) -> str:
        if found := next((environment[name] for name in names if environment.get(name)), None):
            return found
        try:
            return subprocess.run(["git", *git], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return ""

    commit = stated(["rev-parse", "HEAD"], "GITHUB_SHA", "CI_COMMIT_SHA")[:12]
    branch = stated(["branch", "--show-current"], "GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME")
    commit_and_branch = (f"commit {commit}" if commit else "", f"branch {branch}" if branch else "")
    return ", ".join([f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC", *filter(None, commit_and_branch)])


def _changes(measurements: Sequence[Measurement]) -> dict[str, list[Change]]:
    """Of each test that is held against a baseline, the components that hold more or less than in it."""
    known = [(one.test, one.baseline, one.peak) for one in measurements if one.baseline and one.peak and one.peak.holders]
    changes = {f"{test} {peak.conditions}": growth.grew(entry, peak) for test, entry, peak in known}
    return {test: found for test, found in changes.items() if found}


def _conditions(measurements: Sequence[Measurement]) -> dict[str, list[str]]:
    """Everything that was measured with; of a target, what it is."""
    peaks = [one.peak for one in measurements if one.peak]
    found = series.distinct(map(series.conditions, peaks)) | {"target": []}
    for gpu in (gpus.find(name) for name in dict.fromkeys(one.target for one in measurements)):
        major, minor = gpu.compute_capability
        memory = format_bytes(gpu.memory_bytes)
        found["target"].append(f"{gpu.name}: {gpu.description}, {memory}, compute capability {major}.{minor}")
    return {name: values for name, values in found.items() if values}


def _breakable(name: str) -> markupsafe.Markup:
    """A name of a test or a component, which may go on in the next line after each part of it."""
    return markupsafe.Markup(re.sub(r"([/_]|::)", r"\1<wbr>", str(markupsafe.escape(name))))
