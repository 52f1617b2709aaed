"""The errors of this project. Each text stands alone: what is wrong, with which value, and the way out."""


class Af3memError(Exception):
    """What a user can mend: shown as one line, never as a traceback."""


class UsageError(Af3memError, ValueError):
    """An argument that cannot be right."""


class SetupError(Af3memError):
    """Something is not installed, not readable or not writable."""


class NotJudged(Af3memError):
    """A measurement that gave no number; the text is the reason. Never a pass, never 0 bytes.

    `detail` is what the worker printed last, for people who look further.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason)
        self.detail = detail


def near(name: str, known: "list[str] | tuple[str, ...]") -> str:
    """`"; did you mean x or y?"`, or nothing where no known name is near."""
    import difflib

    names = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(names)}?" if names else ""
