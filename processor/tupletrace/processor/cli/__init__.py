"""The ``tupletrace`` command, one file a command. Only ``doctor`` works without the ``processor`` extra."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib.metadata import version
from typing import Final

from tupletrace.processor.cli import (
    costs,
    coverage,
    demo,
    diff,
    doctor,
    evaluations,
    forget,
    prices,
    questions,
    rebuild,
    retain,
    serve,
    settings,
    sides,
    snapshot,
    sql,
    tokens,
    trace,
    transfer,
)
from tupletrace.processor.cli.options import UsageError

_COMMANDS: Final = (
    serve,
    sql,
    coverage,
    costs,
    prices,
    questions,
    diff,
    sides,
    evaluations,
    trace,
    settings,
    tokens,
    rebuild,
    retain,
    forget,
    snapshot,
    transfer,
    doctor,
    demo,
)
"""In the order of ``--help``; each has ``add(commands)``, which names ``run`` (and ``extra``) as defaults."""
_USAGE_ERROR: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (2: it could not be done as asked)."""
    # What is stored may be prompts: it is for this user alone.
    os.umask(0o077)
    asked = _parsed(sys.argv[1:] if arguments is None else arguments)
    run: Callable[[argparse.Namespace], int] = asked.run
    try:
        return run(asked)
    except UsageError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("tupletrace"):
            raise
        return _fail(f"{error.name} is not installed: pip install 'tupletrace[{asked.extra}]'")
    except ImportError as error:
        if not error.name or error.name.startswith("tupletrace"):
            raise
        said = str(error).partition("\n")[0]
        return _fail(
            f"{error.name} cannot be loaded ({said}): it is for another Python or another machine, "
            f"pip install --force-reinstall 'tupletrace[{asked.extra}]'"
        )
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _fail(message: str) -> int:
    print(f"tupletrace: {message}", file=sys.stderr)
    return _USAGE_ERROR


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tupletrace", description="Which model, prompt, retriever and tools answered, and what it cost."
    )
    parser.add_argument("--version", action="version", version=f"tupletrace {version('tupletrace')}")
    parser.set_defaults(extra="processor")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    name = next(iter(arguments), "-")
    if not name.startswith("-") and name not in commands.choices:
        meant = "".join(f", did you mean {one}?" for one in get_close_matches(name, commands.choices, 1))
        parser.error(f"there is no command {name!r}{meant or ':'} `tupletrace --help` shows all")
    return parser.parse_args(arguments)
