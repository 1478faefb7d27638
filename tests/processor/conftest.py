"""What the processor's tests share: a real ``tupletrace serve``, OTLP messages, a store to put them in."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tupletrace.processor import decode
from tupletrace.processor.normalise import canonical
from tupletrace.processor.store import Store

CLI = [sys.executable, "-m", "tupletrace.processor.cli"]
NOON = 1_767_268_800_000_000_000
"""2026-01-01 12:00 UTC."""


@dataclass(frozen=True)
class Answer:
    """What an HTTP request got."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def eventually(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """Ask until the condition is true, and return what it said; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not (said := condition()):
        assert time.monotonic() < deadline, f"still {said!r} after {seconds} s"
        threading.Event().wait(0.03)
    return said


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment of a user who has set nothing of ours, nor of OpenTelemetry's."""
    foreign = ("OTEL_", "TUPLETRACE_", "PYTEST_")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)} | extra


class Processor:
    """A running ``tupletrace serve``, in a process of its own."""

    def __init__(self, database: Path, **extra: str) -> None:
        self.database = database
        self.process = subprocess.Popen(
            [*CLI, "serve", "--db", str(database)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(TUPLETRACE_GRPC="127.0.0.1:0", TUPLETRACE_HTTP="127.0.0.1:0") | extra,
        )
        assert self.process.stdout
        ready = self.process.stdout.readline()
        assert ready.startswith("tupletrace ready "), self.process.communicate()
        said = dict(word.split("=", 1) for word in ready.split()[2:])
        self.said = said
        self.grpc, self.http = said["grpc"], said["http"]
        assert said["db"] == str(database)

    def request(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send one HTTP request; header names with ``_`` for ``-``."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        asked = urllib.request.Request(f"http://{self.http}{path}", body, named)
        try:
            with urllib.request.urlopen(asked, timeout=120) as got:
                return Answer(got.status, got.read(), dict(got.headers))
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, refused.read(), dict(refused.headers))

    def post_traces(self, body: bytes, **headers: str) -> Answer:
        return self.request("/v1/traces", body, **{"Content_Type": "application/x-protobuf"} | headers)

    def ask(self, query: str, params: Any = None, accept: str = "application/json") -> Answer:
        body = json.dumps({"sql": query} | ({"params": params} if params is not None else {})).encode()
        return self.request("/sql", body, Content_Type="application/json", Accept=accept)

    def sql(self, query: str, params: Any = None) -> list[dict[str, Any]]:
        """Rows of a query that must succeed."""
        answer = self.ask(query, params)
        assert answer.status == 200, answer.body
        return answer.json

    def export(self, count: int = 1, name: str = "span", **attributes: Any) -> SpanExportResult:
        """Send new root spans through the real gRPC exporter and wait for its verdict."""
        exporter = OTLPSpanExporter(endpoint=self.grpc, insecure=True)
        try:
            return exporter.export(finished_spans(count, name, **attributes))
        finally:
            exporter.shutdown()

    def metric(self, name: str, **labels: str) -> float:
        """What ``/metrics`` says under a name and these labels, 0 if nothing yet."""
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        answer = self.request("/metrics")
        assert answer.status == 200, answer.body
        for line in answer.body.decode().splitlines():
            said, _, value = line.rpartition(" ")
            found, _, rest = said.partition("{")
            if found == name and set(rest.removesuffix("}").split(",")) - {""} == wanted:
                return float(value)
        return 0

    def stop(self, number: signal.Signals = signal.SIGTERM) -> str:
        """End it as a service manager or Ctrl-C does; return what it wrote to stderr."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, stderr
        return stderr

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self.process.kill()
        self.process.communicate(timeout=120)


def finished_spans(count: int, name: str, **attributes: Any) -> Sequence[Any]:
    """Root spans as the SDK makes them, one trace each; ``__`` in attribute names stands for a dot."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    for _ in range(count):
        provider.get_tracer("tests").start_span(name, attributes=named).end()
    return memory.get_finished_spans()


@pytest.fixture(scope="session")
def start_processor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Processor]]:
    """Start a processor, on a new database if none is named; whatever still runs ends with the session."""
    started: list[Processor] = []

    def start(database: Path | None = None, **extra: str) -> Processor:
        started.append(Processor(database or tmp_path_factory.mktemp("serve") / "x.duckdb", **extra))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture
def processor(start_processor: Callable[..., Processor], tmp_path: Path) -> Iterator[Processor]:
    """A processor with an empty database; if the test did not end it, it must end cleanly."""
    running = start_processor(tmp_path / "x.duckdb")
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def tupletrace() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one ``tupletrace`` command to its end."""

    def run(*arguments: object, **extra: str) -> subprocess.CompletedProcess[str]:
        command = [*CLI, *(str(argument) for argument in arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=150, check=False, env=clean_environment(**extra)
        )

    return run


def any_value(value: Any) -> AnyValue:
    """A Python value as OTLP; an ``AnyValue`` stays what it is, None is the empty value."""
    match value:
        case AnyValue():
            return value
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case dict():
            made = AnyValue()
            made.kvlist_value.values.extend(key_values(value))
            made.kvlist_value.SetInParent()
            return made
        case list():
            made = AnyValue()
            made.array_value.values.extend(any_value(item) for item in value)
            made.array_value.SetInParent()
            return made
        case _:
            return AnyValue(string_value=value)


def key_values(attributes: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> list[KeyValue]:
    pairs = attributes.items() if isinstance(attributes, Mapping) else attributes
    return [KeyValue(key=key, value=any_value(value)) for key, value in pairs]


class Otlp:
    """Builders of OTLP messages."""

    noon = NOON
    any_value = staticmethod(any_value)
    key_values = staticmethod(key_values)

    @staticmethod
    def span(
        trace: int = 1,
        span: int = 1,
        parent: int | None = None,
        attributes: Mapping[str, Any] | Sequence[tuple[str, Any]] = (),
        **fields: Any,
    ) -> Span:
        """One span; numbers become ids, times are nanoseconds."""
        start = fields.pop("start", NOON + span * 1_000_000)
        made = Span(
            trace_id=trace.to_bytes(16),
            span_id=span.to_bytes(8),
            parent_span_id=b"" if parent is None else parent.to_bytes(8),
            name=fields.pop("name", "span"),
            start_time_unix_nano=start,
            end_time_unix_nano=fields.pop("end", start + 1_000_000),
            **fields,
        )
        made.attributes.extend(key_values(attributes))
        return made

    @staticmethod
    def call(
        trace: int = 1,
        span: int = 1,
        parent: int | None = None,
        usage: tuple[Any, Any] | None = (10, 5),
        attributes: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Span:
        """A chat call of ``gpt-4o`` with a declared prompt; ``attributes`` overrule, None removes."""
        said: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.prompt.name": "answer",
            "gen_ai.prompt.version": "3",
        }
        if usage is not None:
            said |= {"gen_ai.usage.input_tokens": usage[0], "gen_ai.usage.output_tokens": usage[1]}
        said = {key: value for key, value in (said | dict(attributes or {})).items() if value is not None}
        return Otlp.span(trace, span, parent, said, **fields)

    @staticmethod
    def request(*spans: Span, resource: Mapping[str, Any] | None = None) -> bytes:
        """One export request with these spans."""
        made = ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])
        made.resource.attributes.extend(key_values(resource or {"service.name": "tests"}))
        made.scope_spans[0].scope.name = "tests"
        return ExportTraceServiceRequest(resource_spans=[made]).SerializeToString()


@pytest.fixture(scope="session")
def otlp() -> type[Otlp]:
    """Builders of OTLP messages."""
    return Otlp


class Database:
    """A store without a journal or a server before it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path)
        self._seq = self.store.journal_seq

    def batch(self, *bodies: bytes) -> pa.Table:
        """Raw requests as the indexer gives them to the store."""
        found = decode.spans(list(bodies))
        seqs = pa.array(range(self._seq + 1, self._seq + 1 + len(bodies)), pa.int64())
        self._seq += len(bodies)
        table = canonical(found)
        table = table.append_column("journal_seq", seqs.take(table["request"]))
        return table.drop_columns(["request"])

    def insert(self, *bodies: bytes) -> None:
        """Take raw requests the way that the indexer takes them, in one batch; none of them is quiet yet."""
        self.store.insert(self.batch(*bodies), self._seq)
        self.store.settle(60_000)

    def rows(self, query: str, parameters: Any = None) -> list[dict[str, Any]]:
        with self.store.cursor() as cursor:
            return cursor.sql(query, params=parameters).to_arrow_table().to_pylist()

    def row(self, query: str, parameters: Any = None) -> dict[str, Any]:
        (one,) = self.rows(query, parameters)
        return one


@pytest.fixture(scope="session")
def open_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Database]]:
    """Open a new store, or one that is there."""
    opened: list[Database] = []

    def make(path: Path | None = None) -> Database:
        opened.append(Database(path or tmp_path_factory.mktemp("store") / "x.duckdb"))
        return opened[-1]

    yield make
    for one in opened:
        one.store.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty store."""
    made = Database(tmp_path / "x.duckdb")
    yield made
    made.store.close()


@pytest.fixture(scope="session")
def holding() -> Callable[[Path, bytes], list[str]]:
    """Say which files of a running processor's folder hold this; some go while we look."""

    def found(folder: Path, text: bytes) -> list[str]:
        names: list[str] = []
        for below, _, files in os.walk(folder):
            for name in files:
                with suppress(FileNotFoundError):
                    names += [name] * (text in Path(below, name).read_bytes())
        return names

    return found


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Poll a condition until it is true; fail after a deadline."""
    return eventually
