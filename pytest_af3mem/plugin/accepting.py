"""What becomes of the baseline at the end of a run, in lines for its summary: updated, offered next to it, or left as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_af3mem.plugin import baseline_file
from pytest_af3mem.plugin.full_run import Run, refused, unused, why_partial
from pytest_af3mem.records.baseline import Baseline

_OLD_FORM = "do not say what was stated, and a changed default of the model is not judged: --af3-update-baseline writes them anew"


@dataclass(frozen=True)
class Ending:
    """A run that ended, and its baseline: `path` as the user spells it, `place` where it lies whatever the working directory."""

    run: Run
    names: baseline_file.Names
    path: Path
    place: Path

    def update(self) -> list[str]:
        """Enters what passing tests measured. Raises Af3memError."""
        run, partial = self.run, why_partial(self.run)
        before, after = baseline_file.change(self.place, lambda found: self._updated(found, run))
        lines = [f"baseline: {self.path} has {count(after)}: {_changes(before, after)}"]
        lines += [f"baseline: {test} did not pass, so its entries stay as they are" for test in refused(run)]
        if partial and (stay := unused(before, run, self.names.file)):
            lines.append(f"baseline: {len(stay)} not used by this run, and kept, for the run was not full: {partial}")
        return lines

    def offer(self, new: Path, place: Path, copy: str) -> list[str]:
        """Writes what an update would to another file, also of tests that nothing but the baseline failed; `copy` accepts it.

        Where nothing differs there is no such file, nor one of an earlier run. Raises Af3memError.
        """
        run, before = self.run.accepted(), baseline_file.read(self.place)
        after = self._updated(before, run)
        if after.render() == before.render():
            baseline_file.withdraw(place)
            return []
        baseline_file.write(place, after)
        accept = f"accept it: {copy}, or --af3-update-baseline"
        lines = [f"new baseline: {new} has {count(after)}: {_changes(before, after)}; {accept}"]
        return lines + [f"new baseline: {test} did not pass, so its entries stay as they are" for test in refused(run)]

    def left(self, baseline: Baseline) -> list[str]:
        """What an update would mend: orphans, after a full run, and entries in the form of earlier versions."""
        orphans = [] if why_partial(self.run) else unused(baseline, self.run, self.names.file)
        lines = [
            f"orphan in {self.path}: {entry.test} {entry.conditions} is used by no test; --af3-update-baseline removes it"
            for entry in orphans
        ]
        unstated = Baseline(tuple(baseline.unstated))
        return lines + ([f"baseline: {count(unstated)} of {self.path} {_OLD_FORM}"] if unstated.entries else [])

    def _updated(self, found: Baseline, run: Run) -> Baseline:
        """Entries that no test uses are removed after a full run only."""
        renamed = filter(None, map(found.find, self.names.renamed(run.measured)))
        return found.updated(run.measured, [*renamed, *(() if why_partial(run) else unused(found, run, self.names.file))])


def count(found: Baseline) -> str:
    return f"{len(found.entries)} entr{'y' if len(found.entries) == 1 else 'ies'}"


def _changes(before: Baseline, after: Baseline) -> str:
    """What differs: `2 new, 1 removed`."""
    pairs = [(before.find(entry), entry) for entry in after.entries]
    kept = {old.key for old, _ in pairs if old}
    counts = {
        "new": sum(old is None for old, _ in pairs),
        "changed": sum(old is not None and old.to_json() != new.to_json() for old, new in pairs),
        "removed": len(before.by_key.keys() - kept),
    }
    return ", ".join(f"{number} {what}" for what, number in counts.items() if number) or "nothing changed"
