"""The commands of `af3mem`, a module each: `HELP`, `prepare(parser)`, and `run(parsed, settings)` -> exit status.

The docstring of a module is the command's description. A command that takes only some of the options that say how to measure
names those in `OPTIONS`.
"""

OK, OVER, USAGE, NOT_JUDGED = 0, 1, 2, 3
FAULT, INTERRUPTED, UNREAD = 70, 130, 141  # EX_SOFTWARE of sysexits.h; as shells report SIGINT and SIGPIPE
