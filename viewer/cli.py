"""The command line. Each command is a few calls of the library; errors end here, as two lines and an exit code.

Exit codes: 0 done; 1 an error, said on stderr; 2 wrong usage; 130 interrupted.
Only the chosen command's rooms are imported, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Sequence
from typing import Any

from meshing.errors import AnatomyError
from meshing.progress import Cancelled
from viewer.bar import progress_bar
from viewer.grammar import parser, with_points
from viewer.interrupt import stoppable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = parser().parse_args(with_points(sys.argv[1:] if arguments is None else arguments))
    try:
        command = importlib.import_module(f"viewer.commands.{options.command}")
        with progress_bar(sys.stderr) as bar, stoppable(bar) as progress:
            result = command.run(options, progress)
    except AnatomyError as error:
        _say(f"anatomyxr: {error}")
        if error.hint:
            _say(f"Try: {error.hint}")
        return 1
    except (KeyboardInterrupt, Cancelled):
        _say("anatomyxr: interrupted; nothing was left half-written")
        return 130
    except OSError as error:
        _say(f"anatomyxr: {error.strerror or error} ({error.filename or options.command})")
        _say("Try: check that the path exists and that you may read and write there")
        return 1
    return _print(result, options.json, command.as_text)


def _print(result: dict[str, Any], as_json: bool, as_text: Any) -> int:
    """The result on standard output; a closed pipe ends it quietly."""
    code = int(result.pop("exit", 0))
    text = json.dumps(result, ensure_ascii=False, default=str) if as_json else as_text(result)
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        sys.stdout.write(text.rstrip("\n") + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = None  # the reader left; nothing more to flush at exit
    except OSError as error:
        sys.stdout = None
        _say(f"anatomyxr: the answer cannot be written: {error.strerror} (standard output)")
        _say("Try: send it elsewhere")
        return 1
    return code


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
