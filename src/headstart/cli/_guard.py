"""What becomes of an error: one line on standard error and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

import click

from headstart.errors import ConfigError, HeadstartError, InputError

__all__ = ["exit_code_of"]

_WRONG_PATH = frozenset(
    (
        errno.ENOENT,
        errno.EEXIST,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
        errno.ENOTEMPTY,
    )
)
_INTERRUPTED = 130


def exit_code_of(run: Callable[[], object], *, traceback: bool = False) -> int:
    """Run a command and turn what it returns or raises into an exit code.

    Args:
        run: returns the exit code, or anything else for 0.
        traceback: print the traceback of an error before its line.
    """
    try:
        code = run()
        sys.stdout.flush()  # a closed pipe shows here, while it can still be caught
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:
        return _quiet_pipe()
    except SystemExit as error:  # click leaves so when the reader of its output has gone
        return error.code if isinstance(error.code, int) else 1
    except Exception as error:
        if traceback:
            import traceback as printer

            printer.print_exc()
        return _explain(error)
    return code if isinstance(code, int) else 0


def _explain(error: Exception) -> int:
    known = _as_headstart_error(error)
    if known is None:
        _say(
            f"this is a bug in Headstart, or in code it called: {type(error).__name__}: {error}"
            " | fix: run again with --traceback, and report what it prints"
        )
        return 1
    _say(_line(known))
    return 1 if isinstance(error, OSError) and error.errno not in _WRONG_PATH else known.exit_code


def _as_headstart_error(error: Exception) -> HeadstartError | None:
    if isinstance(error, HeadstartError):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, OSError):
        return InputError(
            (error.strerror or str(error) or type(error).__name__).lower(),
            where=os.fsdecode(error.filename)
            if isinstance(error.filename, (str, bytes))
            else "the file system",
            got=errno.errorcode.get(error.errno or 0, type(error).__name__),
            fix="give another path, or mend this one",
        )
    return None


def _usage(error: click.ClickException) -> InputError:
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "headstart"
    got = getattr(error, "option_name", None) or getattr(error, "param_hint", None)
    if isinstance(error, click.MissingParameter):
        got = "nothing"
    return InputError(
        error.format_message().rstrip("."),
        where=path,
        got=got or "this command line",
        fix=f"`{path} --help` lists what can be given",
    )


def _line(error: HeadstartError) -> str:
    if isinstance(error, ConfigError):  # every problem in full, where the exception's own text is cut
        return f"{error.what} | where: {error.where} | got: {'; '.join(error.problems)} | fix: {error.fix}"
    return str(error)


def _say(text: str) -> None:
    """One printable line, whatever the text holds and the terminal can show."""
    line = " ".join(f"headstart: error: {text}".split())
    line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)
    encoding = sys.stderr.encoding or "utf-8"
    click.echo(line.encode(encoding, "backslashreplace").decode(encoding), err=True)


def _quiet_pipe() -> int:
    """The reader has gone (``headstart log | head``): let Python's own last flush find no pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
