"""Real programs under `opentelemetry-instrument`, and receivers that answer, refuse or stay silent."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tupletrace.instrumentors.distro.notices import (
    EXPORTER_LOGGERS,
    ExporterFilter,
    Notices,
    take_over_exporter_logs,
)

_LAUNCH = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
_USUAL = {
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
    # On a busy machine a receiver that is there may need long; whoever tests the default says "".
    "TUPLETRACE_EXIT_SECONDS": "60",
    # One that crashes says where.
    "PYTHONFAULTHANDLER": "1",
}
_FOREIGN = ("OTEL_", "TUPLETRACE_", "PYTEST_", "GRPC_ENABLE_FORK", "PYTHONPATH")
_PRELUDE = """\
import os, sys, time
from opentelemetry import trace

tracer = trace.get_tracer("app")

def span(name, **attributes):
    tracer.start_span(name, attributes=attributes).end()

def end():
    with open(os.environ["END"], "w") as file:
        file.write(str(time.monotonic()))

"""
"""What every program begins with: it makes spans with `span` and says with `end` that its exit begins."""


class Receiver:
    """An OTLP/gRPC receiver that keeps what it was sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.log_records: list[str] = []
        self.metrics: set[str] = set()
        self.requested = threading.Event()
        self.answer = threading.Event()
        self.answer.set()
        self.refuse: Callable[[list[str]], grpc.StatusCode | None] = lambda _names: None
        self._server = grpc.server(
            ThreadPoolExecutor(8),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 * 1024 * 1024)],
        )
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(self), self._server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), self._server)
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(_Logs(self), self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    @property
    def names(self) -> Counter[str]:
        """How often a span of each name arrived."""
        return Counter(span.name for span in self.spans)

    def stop(self) -> None:
        """End it with everything that it still holds."""
        self.answer.set()
        self._server.stop(None).wait()


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:
        self._receiver.requested.set()
        self._receiver.answer.wait()
        spans = [
            span for each in request.resource_spans for scope in each.scope_spans for span in scope.spans
        ]
        if status := self._receiver.refuse([span.name for span in spans]):
            context.abort(status, "not taken")
        self._receiver.spans.extend(spans)
        for resource in request.resource_spans:
            attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
            self._receiver.resources.append(attributes)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:
        self._receiver.answer.wait()
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                self._receiver.metrics.update(metric.name for metric in scope.metrics)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class _Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:
        self._receiver.answer.wait()
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                self._receiver.log_records.extend(r.body.string_value for r in scope.log_records)
        return logs_service_pb2.ExportLogsServiceResponse()


@dataclass(frozen=True)
class Result:
    """How a program ended; ``exit_s`` is the time from `end()` to the end of its process."""

    code: int
    out: str
    errors: str
    exit_s: float


class Program:
    """A user's program in a folder of its own."""

    def __init__(self, folder: Path, source: str) -> None:
        self.path = folder / "app.py"
        self.path.write_text(_PRELUDE + source)
        self.end = folder / "end"

    def start(self, env: Mapping[str, str], *, instrumented: bool = True) -> subprocess.Popen[str]:
        """Start it as its user would, with nothing of this test run's environment."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        launch = [sys.executable, "-c", _LAUNCH] if instrumented else []
        return subprocess.Popen(
            [*launch, sys.executable, str(self.path)],
            cwd=self.path.parent,
            env=clean | _USUAL | {"END": str(self.end)} | dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> Result:
        """Wait for its end."""
        out, errors = process.communicate(timeout=150)
        ended = time.monotonic()
        last_line = float(self.end.read_text()) if self.end.exists() else ended
        return Result(process.returncode, out, errors, ended - last_line)

    def run(self, endpoint: str | None = None, *, instrumented: bool = True, **env: str) -> Result:
        """Run it to its end, sending to an endpoint."""
        if endpoint is not None:
            env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        return self.finish(self.start(env, instrumented=instrumented))


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Program]:
    """Write a program."""

    def write(source: str) -> Program:
        folder = tmp_path / f"app{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return Program(folder, source)

    return write


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that answers."""
    running = Receiver()
    yield running
    running.stop()


@pytest.fixture
def nobody() -> Iterator[dict[str, str]]:
    """Endpoints at which nothing is received; `silent` accepts connections and never answers."""
    with ExitStack() as stack:
        refused, silent = (stack.enter_context(socket.socket()) for _ in range(2))
        refused.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        by_http = {f"HTTP {status}": stack.enter_context(answer_with(status)) for status in (400, 413, 503)}
        yield by_http | {
            "refused": f"http://127.0.0.1:{refused.getsockname()[1]}",
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "unknown host": "http://receiver.invalid:4317",
            "no TLS": by_http["HTTP 400"].replace("http", "https"),
        }


class Clock:
    """A clock that the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time by which a minute passes."""
    return Clock()


@pytest.fixture
def notices(clock: Clock) -> Iterator[Notices]:
    """What the log says of this test's exporters."""
    speaking = Notices(clock)
    take_over_exporter_logs(speaking)
    yield speaking
    for name in EXPORTER_LOGGERS:
        logger = logging.getLogger(name)
        for known in [each for each in logger.filters if isinstance(each, ExporterFilter)]:
            logger.removeFilter(known)


@pytest.fixture
def answering() -> Callable[..., AbstractContextManager[str]]:
    """An HTTP receiver that answers with the statuses given."""
    return answer_with


@contextmanager
def answer_with(*statuses: int) -> Generator[str]:
    """Serve HTTP that answers with these statuses in turn, and on with the last; yields the address."""
    coming = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(coming.pop(0) if len(coming) > 1 else coming[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
