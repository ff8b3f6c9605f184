"""A picture of `automl watch`: one frame, as a terminal shows it.

Taken while the run goes on, it shows a search under way. The browser that draws it is found as the tests find it.
"""

from __future__ import annotations

import argparse
import html
import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.terminal_theme import MONOKAI

from automl.leaderboard.store import RunFolder
from automl.watch import frame
from tests.leaderboard.browser import NAMES, Browser, find_browser

PAGE = """<!doctype html><html data-drawn="yes"><meta charset="utf-8"><body style="margin:0;background:{background}">
<pre style="margin:0;padding:18px 22px;width:max-content;color:{foreground};font:15px/1.4 monospace">
<span style="color:#98e024">$</span> automl watch {run}
{{code}}</pre><style>{{stylesheet}}</style></body></html>"""


def page(folder: RunFolder, columns: int) -> str:
    """The frame as HTML, in the colours of a dark terminal."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(frame(folder, console))
    run = html.escape(str(folder.path)).replace("{", "{{").replace("}", "}}")
    colours = {"background": "#121212", "foreground": "#d9d9d9"}
    return console.export_html(theme=MONOKAI, code_format=PAGE.format(run=run, **colours))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("picture", type=Path, metavar="PNG")
    parser.add_argument("--columns", type=int, default=110)
    options = parser.parse_args()
    binary = find_browser()
    if binary is None:
        sys.exit(f"no browser found; expected one of {', '.join(NAMES)}. Install one or set AUTOML_TEST_BROWSER.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        source = Path(place) / "frame.html"
        source.write_text(page(RunFolder.existing(options.run), options.columns), encoding="utf-8")
        with Browser(binary, Path(place) / "profile") as browser:
            browser.open(source, 400, height=10)
            size = [browser.evaluate(f"document.querySelector('pre').offset{side}") for side in ("Width", "Height")]
            browser.open(source, *size[:1], height=size[1])
            browser.screenshot(options.picture, whole=False)


if __name__ == "__main__":
    main()
