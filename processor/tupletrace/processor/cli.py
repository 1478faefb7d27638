"""The ``tupletrace`` command. Only ``doctor`` works without the ``processor`` extra."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

_DEFAULT_DB: Final = "~/.tupletrace/tupletrace.duckdb"
_USAGE_ERROR: Final = 2


class UsageError(Exception):
    """What the user asked for cannot be done; the message is one line that says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (2: it could not be done as asked)."""
    # What is stored may be prompts: it is for this user alone.
    os.umask(0o077)
    parser = _parser()
    asked = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = asked.run
    try:
        return run(asked)
    except UsageError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("tupletrace"):
            raise
        extra = "demo" if run is _demo else "processor"
        return _fail(f"{error.name} is not installed: pip install 'tupletrace[{extra}]'")
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _fail(message: str) -> int:
    print(f"tupletrace: {message}", file=sys.stderr)
    return _USAGE_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tupletrace", description="Which model, prompt, retriever and tools answered, and what it cost."
    )
    parser.add_argument("--version", action="version", version=f"tupletrace {version('tupletrace')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="receive OTLP, store it, answer SQL")
    _add_db(serve)
    _add_address(serve, "grpc", "127.0.0.1:4317", "OTLP/gRPC")
    _add_address(serve, "http", "127.0.0.1:4318", "OTLP/HTTP and SQL")
    serve.set_defaults(run=_serve)

    sql = commands.add_parser("sql", help="ask in SQL, whether a processor is running or not")
    sql.add_argument("statement", metavar="SQL", help='for instance "FROM tuple_coverage"')
    _add_source(sql)
    sql.set_defaults(run=_sql)

    coverage = commands.add_parser("coverage", help="share of traces whose tuple is known, per route")
    _add_source(coverage)
    coverage.set_defaults(run=_coverage)

    costs = commands.add_parser("costs", help="USD spent")
    costs.add_argument(
        "--by", choices=_cost_reports(), default="route", help="what to group by (default: route)"
    )
    _add_source(costs)
    costs.set_defaults(run=_costs)

    doctor = commands.add_parser("doctor", help="say which instrumentors will load here and where spans go")
    doctor.set_defaults(run=_doctor)

    demo = commands.add_parser("demo", help="run example programs against a small endpoint of our own")
    demo.add_argument(
        "--db", type=Path, help="database file to make (default: a new one in a temporary folder)"
    )
    demo.add_argument("--live", action="store_true", help="use OPENAI_API_KEY and OPENAI_BASE_URL instead")
    demo.set_defaults(run=_demo)
    return parser


def _cost_reports() -> list[str]:
    reports = files("tupletrace.processor") / "sql" / "reports"
    names = (entry.name for entry in reports.iterdir())
    return sorted(
        name.removeprefix("costs_by_").removesuffix(".sql") for name in names if name.startswith("costs_by_")
    )


def _add_db(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("TUPLETRACE_DB", _DEFAULT_DB)
    parser.add_argument("--db", type=Path, default=default, metavar="FILE", help=f"DuckDB file ({default})")


def _add_source(parser: argparse.ArgumentParser) -> None:
    _add_db(parser)
    parser.add_argument("--url", help="a running processor, http://HOST:PORT, instead of --db")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table", help="default: table")


def _add_address(parser: argparse.ArgumentParser, name: str, default: str, what: str) -> None:
    default = os.environ.get(f"TUPLETRACE_{name.upper()}", default)
    said = f"where to receive {what} ({default}); port 0: any"
    parser.add_argument(f"--{name}", default=default, metavar="HOST:PORT", help=said)


def _split_address(text: str, option: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{option} {text}: write HOST:PORT, for instance 127.0.0.1:4317")
    return host, int(port)


def _serve(asked: argparse.Namespace) -> int:
    from tupletrace.processor.journal import JournalError
    from tupletrace.processor.listen import PortInUse
    from tupletrace.processor.lock import DatabaseInUse
    from tupletrace.processor.serve import serve
    from tupletrace.processor.store import StoreError

    grpc, http = _split_address(asked.grpc, "--grpc"), _split_address(asked.http, "--http")
    try:
        serve(_path(asked.db), grpc, http)
    except (DatabaseInUse, StoreError, PortInUse, JournalError) as error:
        raise UsageError(str(error)) from None
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"{_path(asked.db).parent} cannot be written: {error}") from None
    return 0


def _sql(asked: argparse.Namespace) -> int:
    return _show(asked, asked.statement)


def _coverage(asked: argparse.Namespace) -> int:
    return _report(asked, "coverage")


def _costs(asked: argparse.Namespace) -> int:
    return _report(asked, f"costs_by_{asked.by}")


def _report(asked: argparse.Namespace, name: str) -> int:
    from tupletrace.processor.store import statement

    return _show(asked, statement(f"reports/{name}"))


def _show(asked: argparse.Namespace, sql: str) -> int:
    from tupletrace.processor import ask, query, render
    from tupletrace.processor.journal import JournalError
    from tupletrace.processor.store import StoreError

    try:
        if asked.url:
            if not asked.url.startswith(("http://", "https://")):
                raise UsageError(f"--url {asked.url}: write http://HOST:PORT")
            render.show(ask.processor(asked.url)(sql), asked.format)
        else:
            with ask.database(_path(asked.db)) as answer:
                render.show(answer(sql), asked.format)
    except (query.SqlRefused, query.SqlFailed) as error:
        # DuckDB points at the place on the lines that follow.
        said = str(error).partition("\nLINE ")[0].split("\n")
        raise UsageError(" ".join(line.strip() for line in said if line.strip())) from None
    except (StoreError, JournalError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise UsageError(f"{asked.db}: {error}") from None
    return 0


def _doctor(asked: argparse.Namespace) -> int:
    from tupletrace.processor import doctor

    return doctor.report()


def _demo(asked: argparse.Namespace) -> int:
    from tupletrace.processor.demo.run import run

    return run(live=asked.live, db=asked.db and _path(asked.db))


def _path(path: Path) -> Path:
    return path.expanduser().absolute()


if __name__ == "__main__":
    sys.exit(main())
