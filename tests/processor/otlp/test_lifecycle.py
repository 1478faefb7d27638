"""C41-C51: what an acknowledgement is worth, clients that go away, who may ask, where it listens."""

import gzip
import json
import socket
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tupletrace.processor.cli import main

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = "application/x-protobuf"


def test_c41_what_was_acknowledged_is_there_after_a_kill(
    start_processor: Callable[..., Any], client_of: Any, otlp: Any, tmp_path: Path, until: Any
) -> None:
    """Each of the last requests was answered right before it."""
    running = start_processor(tmp_path / "x.duckdb")
    client = client_of(running)
    for number in range(1, 21):
        assert client.grpc("traces", otlp.request(otlp.span(41, number))) == b""
    running.kill()
    again = start_processor(tmp_path / "x.duckdb")
    until(lambda: len(client_of(again).spans(41)) == 20)
    again.stop()


def test_c42_sigterm_finishes_what_is_under_way_and_loses_nothing(
    start_processor: Callable[..., Any], otlp: Any, tupletrace: Any, tmp_path: Path
) -> None:
    """Under load: what was answered with success is stored, whatever became of the rest."""
    running = start_processor(tmp_path / "x.duckdb")
    acknowledged: list[int] = []
    refused: list[grpc.StatusCode] = []
    going = threading.Event()

    def send() -> None:
        with grpc.insecure_channel(running.grpc) as channel:
            export = channel.unary_unary(EXPORT)
            for number in range(1, 1_000_000):
                try:
                    export(otlp.request(otlp.span(42, number)), timeout=120)
                except grpc.RpcError as error:
                    refused.append(error.code())
                    return
                acknowledged.append(number)
                if number == 30:
                    going.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert going.wait(120)
    assert running.stop() == ""
    sender.join()
    assert refused[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    asked = "SELECT count(DISTINCT span_id) AS n FROM spans"
    done = tupletrace("sql", asked, "--db", running.database, "--format", "csv")
    assert int(done.stdout.split()[1]) >= len(acknowledged) >= 30


def test_c43_a_client_of_another_version_is_understood(client: Any, otlp: Any, stored: Any) -> None:
    """Fields that are not known here, in the request, in a span, in a value, with any wire type."""
    span = otlp.span(43, attributes={"k": "v"})
    newer = span.SerializeToString() + b"\xf8\x7f\x01" + b"\xfa\x7f\x02hi" + b"\xf9\x7f" + bytes(8)
    body = field(1, field(2, field(2, newer) + b"\xf8\x7f\x07")) + b"\xfd\x7f" + bytes(4)
    assert client.grpc("traces", body) == b""
    (row,) = stored(43, 1)
    assert row["name"] == "span"


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 2**14
    size = (
        bytes([len(content)]) if len(content) < 128 else bytes([len(content) & 127 | 128, len(content) >> 7])
    )
    return bytes([number << 3 | 2]) + size + content


def test_c44_the_same_request_twice_is_stored_once(client: Any, otlp: Any, until: Any) -> None:
    body = otlp.request(otlp.call(44, 1), otlp.call(44, 2))
    for _ in range(2):
        assert client.grpc("traces", body) == b""
        assert client.http("/v1/traces", body).status == 200
    assert client.grpc("traces", otlp.request(otlp.span(44, 3, name="last"))) == b""
    until(lambda: "last" in [row["name"] for row in client.spans(44)])
    assert len(client.spans(44)) == 3
    asked = f"SELECT count(*) AS calls FROM llm_calls WHERE trace_id = '{44:032x}'"
    until(lambda: client.processor.sql(asked) == [{"calls": 2}])


def test_c45_a_client_that_goes_away_leaves_nothing_half_done(client: Any, otlp: Any, until: Any) -> None:
    body = otlp.request(*(otlp.span(45, number) for number in range(1, 2001)))
    host, port = client.processor.http.split(":")
    head = f"POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: {PROTOBUF}\r\n"
    for share in (0, 1, len(body) // 2, len(body) - 1):
        with socket.create_connection((host, int(port)), 120) as raw:
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:share])
    with grpc.insecure_channel(client.processor.grpc) as channel:
        export = channel.unary_unary(EXPORT)
        calls = [export.future(body, timeout=0.001 * number) for number in range(1, 60)]
        for number, call in enumerate(calls):
            if number % 2:
                call.cancel()
    until(lambda: client.processor.metric("tupletrace_in_flight_bytes") == 0)
    until(lambda: client.processor.metric("tupletrace_journal_queue_requests") == 0)
    until(
        lambda: (
            client.processor.metric("tupletrace_index_seq")
            == client.processor.metric("tupletrace_journal_seq")
        )
    )
    assert len(client.spans(45)) in (0, 2000), "all of a request or nothing"


@pytest.fixture(scope="module")
def listed(start_processor: Callable[..., Any], client_of: Any) -> Any:
    """A processor that one page may ask, under a name of its own."""
    return client_of(
        start_processor(
            TUPLETRACE_ALLOW_ORIGIN="https://ui.example, https://other.example",
            TUPLETRACE_ALLOW_HOST="Collector.internal",
        )
    )


def test_c46_no_page_may_ask_unless_it_is_listed(client: Any, listed: Any) -> None:
    for path in ("/v1/traces", "/sql", "/metrics", "/nowhere"):
        for origin in ("https://evil.example", "null", "http://localhost.evil.example", "https://ui.example"):
            asked = client.http(path, b"", Origin=origin)
            assert asked.status == 403, (path, origin)
            assert "access-control-allow-origin" not in asked.headers
    assert listed.http("/v1/traces", b"", Origin="https://evil.example").status == 403
    assert client.http("/healthz", None, "GET", Origin=f"http://{client.processor.http}").status == 200


def test_c46_a_listed_page_gets_its_preflight_and_its_answer(listed: Any) -> None:
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
    preflight = listed.http("/v1/traces", None, "OPTIONS", Origin="https://ui.example", **asked)
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == "https://ui.example"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in preflight.headers
    answer = listed.json("traces", {}, Origin="https://ui.example")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://ui.example")
    assert listed.http("/v1/traces", None, "OPTIONS", Origin="https://evil.example", **asked).status == 403


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/v1/traces", "/sql", "/nowhere"])
def test_c47_a_host_that_is_not_ours_is_refused_on_every_path(client: Any, listed: Any, path: str) -> None:
    """F36: a page of another name that resolves to this machine."""
    port = client.processor.http.split(":")[1]
    for host in (
        f"evil.example:{port}",
        "10.0.0.1",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "a b",
        "@",
    ):
        for method in ("GET", "POST", "OPTIONS"):
            assert client.http(path, None, method, Host=host).status in (400, 403), host
    for host in ("localhost", f"127.0.0.1:{port}", "[::1]:4318", "LOCALHOST"):
        assert client.http("/healthz", None, "GET", Host=host).status == 200
    assert listed.http("/healthz", None, "GET", Host="collector.internal:4318").status == 200


def test_c49_ipv6_and_localhost_are_both_reached(start_processor: Callable[..., Any]) -> None:
    """Where this machine has IPv6."""
    running = start_processor(TUPLETRACE_GRPC="localhost:0", TUPLETRACE_HTTP="localhost:0")
    grpc_port, http_port = running.grpc.split(":")[1], running.http.split(":")[1]
    hosts = ["127.0.0.1", "localhost"] + ["[::1]"] * has_ipv6()
    for host in hosts:
        connection = HTTPConnection(f"{host}:{http_port}", timeout=120)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        with grpc.insecure_channel(f"{host}:{grpc_port}") as channel:
            assert channel.unary_unary(EXPORT)(b"", timeout=120) == b""
    running.stop()


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_c50_an_answer_is_packed_for_who_asks_for_it(client: Any) -> None:
    body = b'{"sql": "SELECT repeat_string FROM (SELECT 1 AS n, \'%s\' AS repeat_string)"}' % (b"x" * 5000)
    kind = {"Content_Type": "application/json"}
    plain = client.http("/sql", body, **kind)
    assert "content-encoding" not in plain.headers
    for accepted in ("gzip", "br, gzip;q=0.5", "GZIP"):
        packed = client.http("/sql", body, Accept_Encoding=accepted, **kind)
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
    for accepted in ("identity", "gzip;q=0", "br"):
        assert "content-encoding" not in client.http("/sql", body, Accept_Encoding=accepted, **kind).headers


def test_c51_a_port_in_use_ends_the_start_with_its_name(client: Any, tupletrace: Any, tmp_path: Path) -> None:
    taken = {"TUPLETRACE_GRPC": client.processor.grpc, "TUPLETRACE_HTTP": "127.0.0.1:0"}
    done = tupletrace("serve", "--db", tmp_path / "x.duckdb", **taken)
    assert done.returncode == 2
    assert client.processor.grpc in done.stderr
    assert done.stderr.count("\n") == 1


def test_f37_nothing_is_answered_as_a_page(client: Any) -> None:
    """What was asked for is in some answers; no browser runs it."""
    script = "%3Cscript%3Ealert(1)%3C/script%3E"
    for path in ("/", f"/{script}", f"/v1/traces/{script}", f"/v1/traces?{script}", "/readyz", "/metrics"):
        for method in ("GET", "POST"):
            assert "html" not in client.http(path, method=method).headers["content-type"]


def test_the_health_service_answers_and_reflection_does_not(client: Any) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(client.processor.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "opentelemetry.proto.collector.trace.v1.TraceService"):
            said = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=120)
            assert said.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as unknown:
            health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=120)
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        reflection = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.RpcError) as refused:
            list(reflection(iter([b""]), timeout=120))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_metrics_are_prometheus_text(client: Any, one_of: Any, until: Any) -> None:
    """Received, rejected by reason, journal, index, queue, bytes, disk."""
    from prometheus_client.parser import text_string_to_metric_families

    assert client.grpc("traces", one_of("traces")) == b""
    families = {
        family.name
        for family in text_string_to_metric_families(client.http("/metrics", None, "GET").body.decode())
    }
    assert {
        "tupletrace_requests",
        "tupletrace_records",
        "tupletrace_received_bytes",
        "tupletrace_journal_commit_seconds",
        "tupletrace_journal_queue_requests",
        "tupletrace_journal_seq",
        "tupletrace_index_seq",
        "tupletrace_in_flight_bytes",
        "tupletrace_disk_free_bytes",
        "tupletrace_disk_reserve_bytes",
    } <= families


def test_the_sdks_grpc_exporter_delivers_plain_and_packed(client: Any, until: Any) -> None:
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        exporter = OTLPSpanExporter(endpoint=client.processor.grpc, insecure=True, compression=compression)
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("tests").start_span(f"python grpc {compression.name}").end()
        provider.shutdown()
    asked = "SELECT count(*) AS n FROM spans WHERE name LIKE 'python grpc %'"
    until(lambda: client.processor.sql(asked) == [{"n": 2}])


def test_the_log_is_one_json_object_a_line_where_that_is_asked_for(start_processor: Any) -> None:
    """What is logged here: a request that is no HTTP."""
    running = start_processor(TUPLETRACE_LOG_FORMAT="json")
    host, port = running.http.split(":")
    with socket.create_connection((host, int(port)), 120) as raw:
        raw.sendall(b"this is no HTTP\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    lines = [json.loads(line) for line in running.stop().splitlines()]
    assert [(one["level"], one["logger"]) for one in lines] == [("warning", "uvicorn.error")]
    assert {"time", "message"} <= lines[0].keys()


def test_f30_a_connection_that_says_nothing_is_closed(client: Any) -> None:
    """Also one that sends half a header; both wait beside each other."""
    host, port = client.processor.http.split(":")
    with socket.create_connection((host, int(port)), 120) as silent:
        with socket.create_connection((host, int(port)), 120) as half:
            half.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: loc")
            assert half.recv(100) == b""
        assert silent.recv(100) == b""


def test_the_command_says_why_in_one_line_when_an_option_is_wrong(
    tupletrace: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (
        ["--tls-cert", "x.pem"],
        ["--max-request", "many"],
        ["--disk-reserve", "5%"],
        ["--log-format", "xml"],
    ):
        assert main(["serve", "--db", str(tmp_path / "x.duckdb"), *wrong]) == 2
        said = capsys.readouterr().err
        assert said.startswith("tupletrace: ")
        assert wrong[0] in said
        assert said.count("\n") == 1
    missing = ["--tls-cert", tmp_path / "no.pem", "--tls-key", tmp_path / "no.key"]
    done = tupletrace("serve", "--db", tmp_path / "x.duckdb", *missing)
    assert done.returncode == 2
    assert str(tmp_path / "no.pem") in done.stderr
    assert done.stderr.count("\n") == 1
