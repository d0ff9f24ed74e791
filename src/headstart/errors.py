"""Errors that say what happened, where, what was found and what to do.

Every error a user can cause is a :class:`HeadstartError`. It has four parts and an exit code, and
prints as one line. The command line turns it into that line and the exit code, never a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ConfigError",
    "CorruptionError",
    "DivergedError",
    "HeadstartError",
    "InputError",
    "InterruptedRunError",
    "StoreError",
    "UserCodeError",
]


class HeadstartError(Exception):
    """Base of every error that Headstart raises on purpose.

    Args:
        what: what is wrong, in one clause.
        where: the place: a file, a row, an option, an argument.
        got: the value found there.
        fix: what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", got: object = "", fix: str = "") -> None:
        self.what = what
        self.where = where
        self.got = _short(got)
        self.fix = fix
        super().__init__(self._line())

    def _line(self) -> str:
        parts = [self.what]
        for label, text in (("where", self.where), ("got", self.got), ("fix", self.fix)):
            if text:
                parts.append(f"{label}: {text}")
        return " | ".join(" ".join(part.split()) for part in parts)

    def to_dict(self) -> dict[str, str]:
        """The parts as plain JSON values."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "got": self.got,
            "fix": self.fix,
        }


class InputError(HeadstartError, ValueError):
    """Wrong input: an argument, an option, a configuration or a data file."""

    exit_code = 2


class ConfigError(InputError):
    """Every problem of one configuration, gathered."""

    def __init__(self, problems: Sequence[str], *, where: str, fix: str = "") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            f"{count} problem{'s' if count != 1 else ''} in the configuration",
            where=where,
            got="; ".join(self.problems),
            fix=fix or "correct the named keys; `headstart init` writes a commented example",
        )


class StoreError(HeadstartError):
    """The store cannot do what was asked: missing, locked, full, or not ours."""


class CorruptionError(StoreError):
    """Stored content is not what its digest says.

    Args:
        file: the file whose content is wrong.
        expected: the digest (or size) recorded when it was written.
        found: what the file has now.
        last_good: the newest version that still verifies, or None.
    """

    def __init__(self, file: str, *, expected: str, found: str, last_good: str | None = None) -> None:
        self.file = file
        self.expected = expected
        self.found = found
        self.last_good = last_good
        good = f"last good version: {last_good}" if last_good else "no earlier version verifies"
        super().__init__(
            "stored content does not match its digest",
            where=file,
            got=f"expected {expected}, found {found}",
            fix=f"restore the file from a copy, or `headstart rollback` ({good})",
        )


class DivergedError(HeadstartError):
    """Training produced a loss or weights that are not finite."""


class UserCodeError(InputError):
    """The user's own model, loss or data set raised; the cause is chained."""


class InterruptedRunError(HeadstartError):
    """A signal asked for a stop; the step was finished and the state saved."""

    def __init__(self, what: str, *, signal: int, where: str = "", fix: str = "") -> None:
        self.exit_code = 128 + signal
        super().__init__(what, where=where, got=f"signal {signal}", fix=fix)


def _short(value: object, limit: int = 500) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
