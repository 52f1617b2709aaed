"""A repository of git, made for a test."""

import os
import subprocess


class Repository:
    """A new folder that git has. `date` is when commits are made."""

    date = "2026-11-26T12:00:00Z"

    def __init__(self, path):
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def __str__(self):
        return str(self.path)

    def git(self, *arguments):
        """What git prints."""
        who = {"NAME": "a@b", "EMAIL": "a@b", "DATE": self.date}
        stated = {f"GIT_{role}_{what}": text for role in ("AUTHOR", "COMMITTER") for what, text in who.items()}
        command = ["git", "-c", "commit.gpgsign=false", "-c", "protocol.file.allow=always", *arguments]
        environment = {**os.environ, **stated}
        return subprocess.run(command, cwd=self.path, check=True, capture_output=True, text=True, env=environment).stdout.strip()

    def commit(self, subject, files, *, tag=False):
        """Writes these files and commits all that is there, with its subject as a `tag` too. The hash of the commit."""
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.git("add", ".")
        self.git("commit", "-q", "-m", subject)
        if tag:
            self.git("tag", subject)
        return self.git("rev-parse", "HEAD")
