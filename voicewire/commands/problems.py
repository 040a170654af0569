"""What can go wrong for a person at the command line, and the exit status that says so."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Every exit status, for scripts to rely on."""

    OK = 0
    FAILED = 1  # the server or its engine gave up, or refused what was asked
    USAGE = 2  # an argument, a setting or a file of the data folder is not right
    UNREACHABLE = 3  # no server there, or it went away for good
    REFUSED = 4  # the key is missing, wrong, or may not do that
    OUTPUT = 5  # the audio could not be written or played
    INTERRUPTED = 130  # Ctrl-C, as shells count it


class Problem(Exception):
    """Ends the command with one line that tells the person what to do."""

    def __init__(self, exit: Exit, message: str) -> None:
        super().__init__(message)
        self.exit = exit
