"""From documents and files of AlphaFold 3 to Jobs; `dialect` has the rules."""

from __future__ import annotations

from pathlib import Path

from pytest_af3mem.errors import InputError, first_line
from pytest_af3mem.inputs import dialect
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.models.ccd import Store


def from_json(text: str, *, components: Store | None = None, folder: Path | None = None, strict: bool = False) -> list[Job]:
    """The jobs of a document: one of dialect `alphafold3`, or each of a list of dialect `alphafoldserver`.

    Codes and names of atoms are looked up in `components`, where given; paths of files start in `folder`, that of the
    document. A server's job without seeds, for which AlphaFold 3 draws one, gets 1. Raises InputError for what AlphaFold 3
    would refuse, and if `strict` for what it would ignore or mistake, which is else in the `notes` of each job.
    """
    return [Job(*parts) for parts in dialect.parse(text, components=components, folder=folder, strict=strict)]


def read(path: Path, *, components: Store | None = None, strict: bool = False) -> list[Job]:
    """The jobs of a file, as `from_json`. Raises InputError."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise InputError("", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError("", "is not text in UTF-8") from error
    except ValueError as error:
        raise InputError("", "is not a path") from error
    return from_json(text, components=components, folder=path.parent, strict=strict)


def check(job: Job, components: Store | None = None) -> None:
    """Raises InputError for a job that was built by hand and could not have been read."""
    try:
        text = job.to_json()
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError("", f"the job cannot be written as JSON: {first_line(error)}") from error
    from_json(text, components=components)
