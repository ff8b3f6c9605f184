"""Standard streams that take whatever is printed: closed ones, full ones, and terminals that are not UTF-8."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from contextlib import suppress

PLAIN, ESCAPED = "automl.plain", "automl.escaped"
"""How signs that a stream cannot hold are written: readable for people, as escapes in JSON."""
_READABLE = {
    "−": "-", "–": "-", "—": "-", "‑": "-", "…": "...", "×": "x", "·": "-", "•": "*", "→": "->", "←": "<-",
    "≥": ">=", "≤": "<=", "≠": "!=", "≈": "~", "±": "+/-", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
    "█": "#", "▏": "|", "━": "-", "─": "-", "│": "|", "╸": "-", "╺": "-", "µ": "u", "\u00a0": " ", "\u202f": " ",
}  # fmt: skip


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Our own signs in ASCII; letters of the data as their escapes, which keeps two names apart."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_READABLE.get(sign) or _escape(sign) for sign in lost), error.end


def _escape(sign: str) -> str:
    return sign.encode("ascii", "backslashreplace").decode("ascii")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What cannot be written stands inside a JSON string, where an escape means the same."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def prepare_streams() -> None:
    """Let every stream exist and take every sign.

    A closed one is opened on the null device: the next file that is opened would else get its number, and whatever a
    child process prints.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it takes the lowest free number: this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    codecs.register_error(PLAIN, _plain)
    codecs.register_error(ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        _write_lost_signs(stream, PLAIN)


def expect_json() -> None:
    """Keep standard output valid JSON where it cannot hold a sign."""
    _write_lost_signs(sys.stdout, ESCAPED)


def _write_lost_signs(stream: object, how: str) -> None:
    if isinstance(stream, io.TextIOWrapper):
        with suppress(OSError):  # one that is full; it is told of at the end
            stream.reconfigure(errors=how)


def finish_output() -> OSError | None:
    """Write what is still held back; why standard output does not take it, None where it did.

    A stream that fails is replaced, so that Python does not complain of it when it ends.
    """
    problem = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            problem = error if stream is sys.stdout else problem
            with suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
        except ValueError:  # closed by somebody
            pass
    return problem


def output_is_lost() -> OSError | None:
    """Why standard output takes nothing, if it was that which failed: a lost line is not held back to try again."""
    try:
        print()
    except OSError as error:
        return error
    return finish_output()


def say(line: str) -> None:
    """Print a line on standard error, if that takes it."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr)
