"""Templates that escape whatever is put into them, one style sheet, and data text that is safe to show."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
_LETTERS = 280


def environment(own: Path) -> Environment:
    """Templates of a room's own folder and the shared ones; an unknown name is an error, not a blank."""
    made = Environment(
        loader=FileSystemLoader([own, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["style"] = Markup((TEMPLATES / "page.css").read_text(encoding="utf-8"))
    return made


def cut(value: object, longest: int = _LETTERS) -> str:
    """Text on one line, without control letters (some turn the line's direction around), and not too long."""
    letters = "".join(" " if unicodedata.category(letter) in ("Cc", "Cf") else letter for letter in str(value))
    line = " ".join(letters.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
