"""``tupletrace doctor``: what will happen in this environment, before it happens. Needs no extra."""

import http.client
import os
import platform
import urllib.request
from collections.abc import Iterator
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from packaging.requirements import Requirement

_OURS: Final = "tupletrace"
_RIVALS: Final = {
    "tupletrace_openai": ("openai", "openai_v2", "openai-v2"),
    "tupletrace_langchain": ("langchain", "langgraph"),
    "tupletrace_llama_index": ("llama_index", "llamaindex", "llama-index"),
}
"""Entry-point names under which other vendors instrument the library that ours does."""
_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
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
    if protocol == "grpc":
        problem = _grpc_problem(endpoint)
    else:
        # The endpoint of one signal is its whole address, the one of all signals is their beginning.
        own = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        problem = _http_problem(own or f"{endpoint.rstrip('/')}/v1/traces")
    if problem is None:
        yield Finding(True, "an OTLP receiver answers there")
    else:
        yield Finding(False, f"no OTLP receiver answers there ({problem}): start `tupletrace serve`")


def _variable(name: str) -> str | None:
    return os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}")


def _grpc_problem(endpoint: str) -> str | None:
    import grpc

    secure = endpoint.startswith("https://")
    target = urlsplit(endpoint).netloc or endpoint
    channel = (
        grpc.secure_channel(target, grpc.ssl_channel_credentials())
        if secure
        else grpc.insecure_channel(target)
    )
    with channel:
        try:
            channel.unary_unary(_EXPORT)(b"", timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            return error.details() if isinstance(error, grpc.Call) else str(error)
    return None


def _http_problem(endpoint: str) -> str | None:
    request = urllib.request.Request(  # noqa: S310 - the user's own setting
        endpoint, b"", {"Content-Type": "application/x-protobuf"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
            return None
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error))
