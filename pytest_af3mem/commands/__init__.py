"""The commands of `af3mem`, a module each, of one shape.

Its docstring is the command's description. `HELP` is one line of it, `EXAMPLES` are two command lines, `STATUSES` the exit
statuses that not all commands have, and `TAKES` the session's settings that it has options for. `prepare(parser)` adds its own
arguments, and `run(parsed, settings)` gives the exit status.
"""

from pytest_af3mem.records.verdict import Outcome
from pytest_af3mem.session.settings import OPTIONS

OK, OVER, USAGE, NOT_JUDGED = 0, 1, 2, 3
FAULT, INTERRUPTED, UNREAD = 70, 130, 141  # EX_SOFTWARE of sysexits.h; as shells report SIGINT and SIGPIPE
STATUSES = {
    OK: "done",
    USAGE: "something to mend in what was asked or installed",
    FAULT: "a fault of af3mem",
    INTERRUPTED: "interrupted",
}
"""Exit statuses that all commands have, in words."""
STATUS_OF = {Outcome.WITHIN: OK, Outcome.OVER: OVER, Outcome.NOT_JUDGED: NOT_JUDGED}
_OF_TESTS = {"markdown", "html", "baseline", "update_baseline", "new_baseline", "tolerance", "tolerance_below", "against"}
MEASURING = tuple(option.name for option in OPTIONS if option.name not in _OF_TESTS)
"""What a command takes that measures: all that says how."""
