"""C1-C8: ports, paths, encodings, many connections, keep-alive."""

import asyncio
import gzip
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any

import grpc
import pyarrow as pa
import pytest

from tupletrace.processor.cli import main

SIGNALS = ["traces", "metrics", "logs"]
PROTOBUF = "application/x-protobuf"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def test_c01_the_ports_are_4317_and_4318_of_this_machine_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str], server: Any
) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = capsys.readouterr().out
    assert "localhost:4317" in said
    assert "localhost:4318" in said
    assert not server.grpc.endswith(":4317")
    assert not server.http.endswith(":4318")


@pytest.mark.parametrize("signal", SIGNALS)
def test_c02_each_signal_is_exported_unary_and_posted(client: Any, one_of: Any, signal: str) -> None:
    assert client.grpc(signal, one_of(signal)) == b""
    assert client.http(f"/v1/{signal}", one_of(signal)).status == 200
    assert client.http(f"/v1/{signal}", None, "GET").status == 405
    assert client.http(f"/v1/{signal}", b"", "PUT").status == 405


def test_c02_what_is_not_served_is_not_found(client: Any) -> None:
    for path in ("/v1/profiles", "/v1development/profiles", "/v1/traces/", "/v1", "/"):
        assert client.http(path, b"").status == 404, path
    method = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
    with grpc.insecure_channel(client.processor.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(method)(b"", timeout=120)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_c03_protobuf_and_json_come_in_at_one_port(
    client: Any, one_of: Any, span_json: Any, stored: Any
) -> None:
    assert client.http("/v1/traces", one_of("traces", trace=301)).status == 200
    assert client.json("traces", span_json(302)).status == 200
    stored(301, 1)
    stored(302, 1)


@pytest.mark.parametrize("signal", SIGNALS)
def test_c04_none_gzip_and_zstd_are_read(client: Any, one_of: Any, signal: str) -> None:
    body = one_of(signal, 50)
    packed = {
        "": body,
        "identity": body,
        "gzip": gzip.compress(body),
        "GZIP": gzip.compress(body),
        "x-gzip": gzip.compress(body),
        "zstd": pa.compress(body, "zstd", asbytes=True),
    }
    for encoding, raw in packed.items():
        assert client.http(f"/v1/{signal}", raw, Content_Encoding=encoding).status == 200, encoding
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate):
        assert client.grpc(signal, body, compression=compression) == b""


def test_c04_gzip_is_read_to_the_end_of_its_last_member(client: Any, one_of: Any, stored: Any) -> None:
    body = one_of("traces", 30, trace=401)
    packed = b"".join(gzip.compress(body[at : at + 500]) for at in range(0, len(body), 500))
    assert client.http("/v1/traces", packed, Content_Encoding="gzip").status == 200
    stored(401, 30)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("body", [b"plain", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd\x00"])
def test_c05_a_body_that_is_not_what_it_says_is_malformed(client: Any, encoding: str, body: bytes) -> None:
    assert client.http("/v1/traces", body, Content_Encoding=encoding).status == 400


def test_c05_an_encoding_that_is_not_understood_is_unsupported(client: Any, one_of: Any) -> None:
    for encoding in ("br", "snappy", "gzip, gzip", "nonsense"):
        assert client.http("/v1/traces", one_of("traces"), Content_Encoding=encoding).status == 415


def test_c06_many_calls_in_flight_on_one_connection_are_each_answered_rightly(
    client: Any, otlp: Any, answered: Any, stored: Any
) -> None:
    """Every third has a span that is refused: answers must not be mixed up."""
    with grpc.insecure_channel(client.processor.grpc) as channel:
        export = channel.unary_unary(EXPORT)
        calls = []
        for number in range(1, 301):
            bad = [otlp.span(601)] * (number % 3 == 0)
            for span in bad:
                span.trace_id = b""
            calls.append((number, export.future(otlp.request(otlp.span(601, number), *bad), timeout=120)))
        for number, call in calls:
            rejected = answered("traces", call.result()).partial_success.rejected_spans
            assert rejected == (number % 3 == 0)
    stored(601, 300)


def test_c06_a_thousand_connections_are_answered(client: Any, otlp: Any) -> None:
    """F31: ten times each."""
    host, port = client.processor.http.split(":")
    body = otlp.request(otlp.span(602))
    head = f"POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: {PROTOBUF}\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def all_of_them() -> list[bytes]:
        opened = []
        for _ in range(1000):
            opened.append(await asyncio.open_connection(host, int(port)))
            # At once: one that says nothing for 5 s is closed.
            opened[-1][1].write(request)
        lines: list[bytes] = []
        for turn in range(10):
            for _, writer in opened if turn else ():
                writer.write(request)
            for reader, _ in opened:
                answer = await reader.readuntil(b"\r\n\r\n")
                lines.append(answer.split(b"\r\n")[0])
        for _, writer in opened:
            writer.close()
        return lines

    assert set(asyncio.run(all_of_them())) == {b"HTTP/1.1 200 OK"}


def test_c06_clients_of_both_transports_at_once_lose_nothing(client: Any, one_of: Any, stored: Any) -> None:
    def send(number: int) -> object:
        body = one_of("traces", 5, trace=603_000 + number)
        return client.grpc("traces", body) if number % 2 else client.http("/v1/traces", body).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(40))) == {b"", 200}
    for number in range(40):
        stored(603_000 + number, 5)


def test_c07_a_connection_is_used_again(client: Any, one_of: Any) -> None:
    connection = HTTPConnection(client.processor.http, timeout=120)
    for _ in range(3):
        connection.request("POST", "/v1/traces", one_of("traces"), {"Content-Type": PROTOBUF})
        answer = connection.getresponse()
        assert (answer.status, answer.read(), answer.will_close) == (200, b"", False)
    connection.close()


def exchange(client: Any, *parts: bytes) -> bytes:
    """Send a request in parts, then nothing more, and return all that is answered."""
    host, port = client.processor.http.split(":")
    with socket.create_connection((host, int(port)), 120) as raw:
        raw.sendall(f"POST /v1/traces HTTP/1.1\r\nHost: {host}\r\n".encode())
        answer = b""
        # It may close the connection as soon as it has answered, before all is sent.
        with suppress(ConnectionError):
            for part in parts:
                raw.sendall(part)
            raw.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while piece := raw.recv(2**16):
                answer += piece
        return answer


def test_c07_a_client_that_will_send_no_more_gets_its_answer(client: Any, one_of: Any, stored: Any) -> None:
    """It has closed its half of the connection, and the processor closes the other one then."""
    body = one_of("traces", 2, trace=701)
    head = f"Content-Type: {PROTOBUF}\r\nContent-Length: {len(body)}\r\n\r\n"
    assert exchange(client, head.encode() + body).startswith(b"HTTP/1.1 200 ")
    assert exchange(client, head.encode() + body[:-1]) == b""
    stored(701, 2)


def test_c10_a_body_may_come_in_chunks_of_a_byte(client: Any, one_of: Any, stored: Any) -> None:
    """F30: they are read few at a time, so that others are answered meanwhile."""
    body = one_of("traces", 100, trace=1001)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    head = f"Content-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert exchange(client, head.encode(), chunks, b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    stored(1001, 100)


@pytest.mark.parametrize("content_type", [PROTOBUF, "text/plain"])
def test_c16_chunks_that_are_none_end_their_connection_and_nothing_else(
    client: Any, content_type: str
) -> None:
    """Whether the request is still read, or has been refused already."""
    head = f"Content-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for parts in ((head + b"5\r\nhello\r\nzz\r\n",), (head, b"5\r\nhelloX", b"zz\r\n")):
        assert exchange(client, *parts)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 415")
    assert client.http("/v1/traces", b"").status == 200


def test_c08_a_client_that_pings_is_not_called_too_eager(client: Any) -> None:
    """Raw HTTP/2: without a call, every ping is acknowledged, and no GOAWAY comes."""
    ping, goaway, settings = 6, 7, 4
    host, port = client.processor.grpc.split(":")
    with socket.create_connection((host, int(port)), 120) as raw:
        raw.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings))
        incoming = raw.makefile("rb")
        for number in range(4):
            threading.Event().wait(1.05 if number else 0)
            raw.sendall(frame(ping, payload=number.to_bytes(8)))
            while (found := read_frame(incoming)) != (ping, 1, number.to_bytes(8)):
                assert found[0] != goaway, found


def frame(kind: int, flags: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + bytes(4) + payload


def read_frame(incoming: Any) -> tuple[int, int, bytes]:
    head = incoming.read(9)
    assert len(head) == 9, "the connection was closed"
    return head[3], head[4], incoming.read(int.from_bytes(head[:3]))
