"""The commands of `af3mem` that have a module each: `HELP`, `prepare(parser)`, and `run(parsed, settings)` -> exit status."""

OK, OVER, USAGE, NOT_JUDGED = 0, 1, 2, 3
