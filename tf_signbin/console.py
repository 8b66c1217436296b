"""Terminal output of the commands: tables, progress bars, JSON files, exit codes.

Tables go to stdout; progress and messages go to stderr, so that stdout can be piped. Colours and
bars appear only on a terminal (rich looks at the streams, NO_COLOR and TERM).
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tf_signbin.convert.files import write_file

# Exit codes of every command. 2 is argparse's own.
OK, FAILED, USAGE = 0, 1, 2


class CommandError(Exception):
    """Ends a command with this message on stderr and this exit code."""

    exit_code = FAILED


class UsageError(CommandError):
    """Arguments that do not belong together."""

    exit_code = USAGE


def rich_module(name: str) -> Any:
    """A module of rich; CommandError when it is not installed."""
    try:
        return importlib.import_module(f"rich.{name}")
    except ImportError:
        raise CommandError("the command line needs rich: pip install 'tf-signbin[cli]'") from None


@contextmanager
def progress(description: str) -> Iterator[Callable[[str, float], None]]:
    """A progress bar with elapsed and remaining time on stderr, when that is a terminal.

    The block gets a function of a label and the share of the work that is done.
    """
    module = rich_module("progress")
    console = rich_module("console").Console(stderr=True)
    columns = (
        module.TextColumn("{task.description}"),
        module.BarColumn(),
        module.TaskProgressColumn(),
        module.TimeElapsedColumn(),
        module.TimeRemainingColumn(),
    )
    bar = module.Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    )
    with bar:
        task = bar.add_task(description, total=1.0)
        yield lambda label, share: bar.update(task, description=label, completed=share)


@contextmanager
def status(text: str) -> Iterator[None]:
    """A spinner on stderr while work of unknown length goes on, when that is a terminal."""
    console = rich_module("console").Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


def table(title: str, header: list[str], rows: list[list[str]], footer: Sequence[str] = ()) -> None:
    """Prints a table: the first column is left-aligned text, the others are right-aligned.

    No cell is ever cut off: in a terminal that is too narrow, the terminal breaks the lines.
    """
    module = rich_module("table")
    console = rich_module("console").Console()
    grid = module.Table(title=title, title_justify="left", box=rich_module("box").SIMPLE_HEAD)
    for index, name in enumerate(header):
        grid.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    console.width = console.measure(grid, options=console.options.update(width=10_000)).maximum
    console.print(grid)
    for line in footer:
        print(line)


def say(text: str) -> None:
    """A message on stderr."""
    print(text, file=sys.stderr)


def write_json(path: str, value: Any) -> None:
    """Writes to a file, or to stdout when path is '-'."""
    text = json.dumps(value, indent=2) + "\n"
    if path == "-":
        sys.stdout.write(text)
    else:
        write_file(path, text.encode())
