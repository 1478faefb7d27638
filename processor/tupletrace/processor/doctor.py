"""``tupletrace doctor``: what will happen in this environment, before it happens. Needs no extra."""

import http.client
import logging
import os
import platform
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from opentelemetry.sdk._configuration import _OTelSDKConfigurator  # pyright: ignore[reportPrivateUsage]
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from packaging.requirements import Requirement

_OURS: Final = "tupletrace"
_RIVALS: Final = {
    "tupletrace_openai": ("openai", "openai_v2", "openai-v2"),
    "tupletrace_langchain": ("langchain", "langgraph"),
    "tupletrace_llama_index": ("llama_index", "llamaindex", "llama-index"),
}
"""Entry-point names under which other vendors instrument the library that ours does."""
_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_OTLP_EXPORTERS: Final = "opentelemetry.exporter.otlp."
_RETRYING: Final = re.compile(r", retrying in [0-9.]+s")
_TIMEOUT_S: Final = 10.0


class Finding(NamedTuple):
    """One line of the report; ``ok`` is None where there is nothing to judge."""

    ok: bool | None
    text: str


def report() -> int:
    """Print the findings; return 1 if spans would not be made or would not arrive, else 0."""
    findings = [*_environment(), *_instrumentors(), *_destination()]
    for ok, text in findings:
        print({True: "ok   ", False: "FAIL ", None: "     "}[ok] + text)
    return 1 if any(finding.ok is False for finding in findings) else 0


def _environment() -> Iterator[Finding]:
    yield Finding(None, f"tupletrace {version('tupletrace')}, Python {platform.python_version()}")
    for package in ("opentelemetry-sdk", "opentelemetry-instrumentation", "opentelemetry-util-genai"):
        yield Finding(None, f"{package} {version(package)}")
    wanted = os.environ.get("OTEL_PYTHON_DISTRO")
    distros = [distro.name for distro in entry_points(group="opentelemetry_distro")]
    chosen = wanted or distros[0]
    if chosen == _OURS:
        yield Finding(True, "distro: tupletrace (OTLP to localhost unless the environment says otherwise)")
    else:
        yield Finding(
            None, f"distro: {chosen} is loaded, not tupletrace's: OTEL_PYTHON_DISTRO=tupletrace chooses ours"
        )
    capture = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "NO_CONTENT")
    yield Finding(None, f"content of prompts and answers: {capture}")


def _instrumentors() -> Iterator[Finding]:
    disabled = {
        name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    }
    installed = list(entry_points(group="opentelemetry_instrumentor"))
    loading = 0
    for entry_point in sorted((e for e in installed if e.name in _RIVALS), key=lambda e: e.name):
        finding = _instrumentor(entry_point, disabled)
        loading += finding.ok is True
        yield finding
        for rival in installed:
            if rival.name in _RIVALS[entry_point.name] and not disabled & {rival.name, "*"} and finding.ok:
                yield Finding(
                    None,
                    f"  {rival.name} ({rival.value.partition(':')[0]}) instruments the same library too: "
                    f"two spans a call; OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={rival.name} switches it off",
                )
    if not loading:
        yield Finding(
            False, "no instrumentor will load: no supported library is installed, or all are disabled"
        )


def _instrumentor(entry_point: EntryPoint, disabled: set[str]) -> Finding:
    if disabled & {entry_point.name, "*"}:
        return Finding(None, f"{entry_point.name}: disabled by OTEL_PYTHON_DISABLED_INSTRUMENTATIONS")
    said: list[str] = []
    for text in entry_point.load().dependencies:
        requirement = Requirement(text)
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            return Finding(None, f"{entry_point.name}: not loaded, {requirement.name} is not installed")
        if not requirement.specifier.contains(found, prereleases=True):
            return Finding(
                False,
                f"{entry_point.name}: not loaded, {requirement.name} {found} is outside the supported "
                f"range {requirement.specifier}",
            )
        said.append(f"{requirement.name} {found}")
    return Finding(True, f"{entry_point.name}: will load ({', '.join(said)})")


def _destination() -> Iterator[Finding]:
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    if "otlp" not in exporter:
        yield Finding(None, f"spans go to the {exporter} exporter (OTEL_TRACES_EXPORTER)")
        return
    protocol = _variable("PROTOCOL") or "grpc"
    default = "http://localhost:4317" if protocol == "grpc" else "http://localhost:4318"
    endpoint = _variable("ENDPOINT") or default
    yield Finding(None, f"spans go to {endpoint} ({protocol})")
    if os.environ.get("OTEL_CONFIG_FILE"):
        yield Finding(None, "unless the file that OTEL_CONFIG_FILE names says otherwise")
        return
    try:
        exporters = _exporters()
    except Exception as error:  # noqa: BLE001 - whatever the environment says is to be reported
        text = f"{type(error).__name__}: {error}"
        cure = "; pip install opentelemetry-exporter-otlp-proto-http" if "otlp_proto_http" in text else ""
        yield Finding(False, f"no telemetry, the SDK cannot be configured ({text}){cure}")
        return
    for one in exporters:
        problem = _problem(one)
        if problem is None:
            yield Finding(True, "an OTLP receiver answers there")
        else:
            yield Finding(False, _advice(problem, endpoint, protocol))


def _variable(name: str) -> str | None:
    return os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}")


def _exporters() -> list[SpanExporter]:
    """Return the OTLP span exporters that the SDK makes of this environment, as it does in the program."""
    # What gRPC's core would write of a handshake is in what the exporter says.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("OTEL_TRACES_EXPORTER", "otlp")
    os.environ.update(OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none")
    made: list[SpanExporter] = []

    def keep(exporter: SpanExporter) -> SpanProcessor:
        made.append(exporter)
        return SpanProcessor()

    _OTelSDKConfigurator().configure(export_span_processor=keep)
    return [one for one in made if type(one).__module__.startswith(_OTLP_EXPORTERS)]


class _Heard(logging.Handler):
    """What the exporters log, the first of which ends their trying again."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(logging.WARNING)
        self.exporter = exporter
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(_RETRYING.sub("", record.getMessage()))
        if len(self.said) == 1:
            self.exporter.shutdown()


def _problem(exporter: SpanExporter) -> str | None:
    """Send an empty request; return None if it was taken, else what the exporter says."""
    logger = logging.getLogger("opentelemetry")
    heard = _Heard(exporter)
    logger.addHandler(heard)
    logger.propagate = False
    try:
        if exporter.export([]) is SpanExportResult.SUCCESS:
            return None
    except Exception as error:  # noqa: BLE001 - the program's exporter may raise anything
        return f"{type(error).__name__}: {error}"
    finally:
        logger.removeHandler(heard)
        logger.propagate = True
    return heard.said[0] if heard.said else "the exporter does not say why"


def _advice(problem: str, endpoint: str, protocol: str) -> str:
    if re.search(r"StatusCode\.UNAUTHENTICATED|code: 401", problem):
        return (
            f"the OTLP receiver there wants a token, or another one ({problem}): "
            "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN"
        )
    if re.search(r"StatusCode\.PERMISSION_DENIED|code: 403", problem):
        return (
            f"the OTLP receiver there does not let this token send ({problem}): "
            "`tupletrace tokens add NAME --scope ingest` makes one that may"
        )
    if "CERTIFICATE_VERIFY_FAILED" in problem:
        return (
            f"the certificate there is not trusted ({problem}): "
            "OTEL_EXPORTER_OTLP_CERTIFICATE names the file of its authority"
        )
    if protocol == "grpc" and _speaks_http(endpoint):
        return (
            f"no OTLP receiver answers there by gRPC, but HTTP is spoken ({problem}): the port of OTLP/gRPC "
            "(4317 unless told otherwise), or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
        )
    if protocol != "grpc" and _speaks_grpc(endpoint):
        return (
            f"no OTLP receiver answers there by HTTP, but gRPC is spoken ({problem}): the port of OTLP/HTTP "
            "(4318 unless told otherwise), or OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
        )
    return f"no OTLP receiver answers there ({problem}): start `tupletrace serve`"


def _speaks_http(endpoint: str) -> bool:
    address = urlsplit(endpoint if "//" in endpoint else f"http://{endpoint}")
    try:
        with urllib.request.urlopen(f"{address.scheme}://{address.netloc}/", timeout=_TIMEOUT_S):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _speaks_grpc(endpoint: str) -> bool:
    import grpc

    with grpc.insecure_channel(urlsplit(endpoint).netloc or endpoint) as channel:
        try:
            channel.unary_unary(_EXPORT)(b"", timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            return isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.UNAUTHENTICATED
    return True
