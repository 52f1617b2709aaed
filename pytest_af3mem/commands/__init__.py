"""The commands of `af3mem`, a module each: `HELP`, `EXAMPLES`, `STATUSES`, `prepare(parser)`, and `run(parsed, settings)`.

The docstring of a module is the command's description, and `run` gives the exit status, of which `STATUSES` says those that only
some commands have. A command that takes only some of the options that say how to measure names those in `OPTIONS`.
"""

OK, OVER, USAGE, NOT_JUDGED = 0, 1, 2, 3
FAULT, INTERRUPTED, UNREAD = 70, 130, 141  # EX_SOFTWARE of sysexits.h; as shells report SIGINT and SIGPIPE
STATUSES = {
    OK: "done",
    USAGE: "something to mend in what was asked or installed",
    FAULT: "a fault of af3mem",
    INTERRUPTED: "interrupted",
}
"""Exit statuses that all commands have, in words."""
