"""``tupletrace serve``."""

import argparse
import os
import sqlite3
from typing import Any, Final

from tupletrace.processor.cli.options import Commands, UsageError, add_db, path

_UNITS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("serve", help="receive OTLP, store it, answer SQL")
    add_db(parser)
    _add(parser, "grpc", "HOST:PORT", "where to receive OTLP/gRPC; port 0: any", "localhost:4317")
    _add(parser, "http", "HOST:PORT", "where to receive OTLP/HTTP and SQL; port 0: any", "localhost:4318")
    _add(parser, "flight", "HOST:PORT", "answer Arrow Flight SQL there too, for ADBC, JDBC, DBeaver, Grafana")
    _add(parser, "prices", "FILE", "your own prices (TOML); see `tupletrace prices`", None)
    said = (
        "send everything on there, enriched: OTLP/gRPC, https:// for TLS; TUPLETRACE_FORWARD_HEADERS: a=b,c=d"
    )
    _add(parser, "forward", "HOST:PORT", said)
    _add(parser, "log-format", "text|json", "how the log is written on stderr", "text")
    _add_access(parser)
    limits = parser.add_argument_group("limits", "SIZE is a number of bytes, or 64M, 1G")
    _add(limits, "max-request", "SIZE", "most of one request, uncompressed (64M)")
    _add(limits, "max-objects", "NUMBER", "most spans, attributes and values in one request (1000000)")
    _add(limits, "max-in-flight", "SIZE", "most of all requests under way; more are asked to retry (128M)")
    _add(limits, "disk-reserve", "SIZE", "left free; below, all are asked to retry (5 %%, at least 1G)")
    keep = parser.add_argument_group("retention", "for ever unless it is said; AGE is 7d, 12h, 1d12h")
    _add(keep, "keep-content", "AGE", "how long prompts, answers, arguments and documents are kept")
    _add(keep, "keep-spans", "AGE", "how long spans, their tokens and costs are kept")
    _add(
        keep,
        "keep-size",
        "SIZE",
        "most of database and journal, for instance 20GB; the oldest goes, content first",
    )
    parser.set_defaults(run=_run)


def _add_access(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("access", "tokens are made by `tupletrace tokens add`")
    said = "let other machines in without a token"
    access.add_argument("--insecure", action="store_true", default=_said("insecure") == "1", help=said)
    _add(access, "tls-cert", "FILE", "serve TLS with this certificate (PEM, with its chain)")
    _add(access, "tls-key", "FILE", "and its key (PEM)")
    _add(access, "tls-client-ca", "FILE", "ask clients for a certificate of this authority (PEM)")
    _add(access, "allow-host", "NAME", "names under which HTTP is asked for, beside this machine's; a,b")
    _add(access, "allow-origin", "URL", "pages that may ask from a browser, https://ui.example; a,b")


def _said(name: str) -> str | None:
    return os.environ.get(f"TUPLETRACE_{name.upper().replace('-', '_')}")


def _add(parser: Any, name: str, metavar: str, help_: str, default: str | None = None) -> None:
    """Let an option, or the variable of its name, say something."""
    default = _said(name) or default
    shown = f"{help_} ({default})" if default else help_
    parser.add_argument(f"--{name}", metavar=metavar, default=default, help=shown)


def _split_address(text: str, option: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{option} {text}: write HOST:PORT, for instance localhost:4317")
    return host, int(port)


def _forward(asked: argparse.Namespace) -> str | None:
    if asked.forward is None:
        return None
    _split_address(asked.forward.partition("://")[2] or asked.forward, "--forward")
    if asked.forward == asked.grpc:
        raise UsageError(f"--forward {asked.forward}: that is this processor itself")
    return asked.forward


def _size(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    number, unit = text.rstrip("kKmMgG"), text.lower()[-1:]
    if not number.isdigit() or len(text) - len(number) > 1:
        raise UsageError(f"{option} {text}: write a number of bytes, or 64M, or 1G")
    return int(number) * _UNITS[unit if unit in _UNITS else ""]


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(one.strip() for one in (text or "").split(",") if one.strip())


def _run(asked: argparse.Namespace) -> int:
    from tupletrace.processor.journal import JournalError
    from tupletrace.processor.limits import Limits
    from tupletrace.processor.listen import PortInUse
    from tupletrace.processor.lock import DatabaseInUse
    from tupletrace.processor.retention import Policy
    from tupletrace.processor.schema import StoreError
    from tupletrace.processor.serve import Settings, Unprotected, serve
    from tupletrace.processor.tls import Tls, TlsUnusable
    from tupletrace.processor.tokens import TokensUnreadable

    if asked.prices:
        os.environ["TUPLETRACE_PRICES"] = asked.prices
    if bool(asked.tls_cert) != bool(asked.tls_key) or (asked.tls_client_ca and not asked.tls_cert):
        raise UsageError("--tls-cert and --tls-key go together, --tls-client-ca goes with both")
    client_ca = path(asked.tls_client_ca) if asked.tls_client_ca else None
    tls = Tls(path(asked.tls_cert), path(asked.tls_key), client_ca) if asked.tls_cert else None
    if asked.log_format not in ("text", "json"):
        raise UsageError(f"--log-format {asked.log_format}: write text or json")
    most = {
        "request_bytes": _size(asked.max_request, "--max-request"),
        "objects": _size(asked.max_objects, "--max-objects"),
    }
    in_flight = _size(asked.max_in_flight, "--max-in-flight")
    try:
        retention = Policy.of(asked.keep_content, asked.keep_spans, asked.keep_size)
    except ValueError as error:
        raise UsageError(f"--keep-content, --keep-spans, --keep-size: {error}") from None
    settings = Settings(
        database=asked.db,
        grpc=_split_address(asked.grpc, "--grpc"),
        http=_split_address(asked.http, "--http"),
        flight=_split_address(asked.flight, "--flight") if asked.flight else None,
        log_json=asked.log_format == "json",
        insecure=asked.insecure,
        tls=tls,
        hosts=_list(asked.allow_host),
        origins=_list(asked.allow_origin),
        limits=Limits(**{name: said for name, said in most.items() if said is not None}),
        forward=_forward(asked),
        reserve_bytes=_size(asked.disk_reserve, "--disk-reserve"),
        retention=retention,
        **({} if in_flight is None else {"in_flight_bytes": in_flight}),
    )
    try:
        serve(settings)
    except (
        DatabaseInUse,
        StoreError,
        PortInUse,
        JournalError,
        TlsUnusable,
        TokensUnreadable,
        Unprotected,
    ) as error:
        raise UsageError(str(error)) from None
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"{asked.db.parent} cannot be written: {error}") from None
    return 0
