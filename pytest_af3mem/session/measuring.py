"""Measuring from a notebook or a pipeline: a job or a token count in, a `Peak` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from pytest_af3mem.errors import InputError, UsageError, is_whole_number
from pytest_af3mem.inputs import ambient
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.session import progress
from pytest_af3mem.session.session import Session


def measure(
    what: int | Job | Path | str,
    *,
    target: str | None = None,
    method: str | None = None,
    model_settings: Mapping[str, Any] | None = None,
    show: Callable[[str], None] | None = None,
) -> Peak:
    """Peak GPU memory of one input: `measure(1024, target="a100-40gb") <= "95 %"`.

    Args:
      what: Tokens of an input to generate; or a `Job`; or the path of an AlphaFold 3 JSON file that holds one.
      target: GPU or MIG slice, such as "a100-40gb"; by default the visible GPU, else h100-80gb.
      method: "compiled", "run" or "auto", the default: run where the target is visible.
      model_settings: Of the model, such as {"num_samples": 1, "xla_flags": "default"}.
      show: Takes a line about what is going on, twice a second; by default it goes to a terminal, if there is one.

    The first call starts a session, which ends with the process and is set by the environment: AF3MEM_PYTHON, AF3MEM_PATH,
    AF3MEM_CACHE_DIR and so on, as the options of pytest. Where a session runs already, that one answers.

    Raises UsageError or InputError for what cannot be measured, SetupError for what is not installed, and NotJudged where a
    measurement failed. None of them is ever a number.
    """
    session = cast(Session, ambient.current())
    if isinstance(what, int) or (isinstance(what, str) and is_whole_number(what)):
        asked: dict[str, Any] = {"tokens": int(what)}
    else:
        asked = {"job": what if isinstance(what, Job) else _only_job(session, Path(what))}
    request = session.request(**asked, target=target, method=method, model_settings=model_settings)
    if show is not None:
        return session.wait(session.pool.submit(request), show)
    try:
        return session.wait(session.pool.submit(request), progress.show)
    finally:
        progress.show("")


def _only_job(session: Session, path: Path) -> Job:
    try:
        jobs = session.read(path)
    except InputError as error:
        raise InputError(str(path), str(error)) from None
    if len(jobs) != 1:
        raise UsageError(f"{path} holds {len(jobs)} jobs: measure takes one, as in [measure(job) for job in jobs]")
    return jobs[0]
