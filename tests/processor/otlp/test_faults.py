"""F9, F20-F24, F29-F33, F44: what could fill the memory is refused unparsed; others do not notice."""

import gzip
import http.client
import json
import random
import socket
import threading
import zlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MIB = 2**20
PROTOBUF = "application/x-protobuf"


def varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def in_span(content: bytes) -> bytes:
    """A trace request with one span that holds this."""
    return field(1, field(2, field(2, field(1, b"\1" * 16) + field(2, b"\2" * 8) + content)))


def in_value(content: bytes) -> bytes:
    return in_span(field(9, field(1, b"k") + field(2, content)))


EMPTY = 8 * MIB
BOMBS = {
    "spans": lambda: field(1, field(2, b"\x12\x00" * EMPTY)),
    "resources": lambda: b"\x0a\x00" * EMPTY,
    "attributes": lambda: in_span(b"\x4a\x00" * EMPTY),
    "events": lambda: in_span(b"\x5a\x00" * EMPTY),
    "links": lambda: in_span(b"\x6a\x00" * EMPTY),
    "array": lambda: in_value(field(5, b"\x0a\x00" * EMPTY)),
    "map": lambda: in_value(field(6, b"\x0a\x00" * EMPTY)),
    "arrays in an array": lambda: in_value(field(5, field(1, field(5, b"\x0a\x00" * (EMPTY // 8))) * 8)),
}


def peak(processor: Any) -> int:
    """Most memory that the process has had, in bytes."""
    with open(f"/proc/{processor.process.pid}/status") as status:
        (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("name", BOMBS)
def test_f23_many_small_objects_are_refused_before_they_are_parsed(client: Any, name: str) -> None:
    """16 MB of empty messages in a gzip body of 16 kB would be a gigabyte of objects."""
    packed = gzip.compress(BOMBS[name](), 6)
    assert len(packed) < 50_000
    before = peak(client.processor)
    answer = client.http("/v1/traces", packed, Content_Encoding="gzip")
    assert answer.status == 413
    assert peak(client.processor) - before < 200 * MIB


def test_f23_over_grpc_and_in_json_as_well(client: Any) -> None:
    before = peak(client.processor)
    refused = client.refused("traces", BOMBS["spans"](), compression=grpc.Compression.Gzip)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "retryinfo" not in str(refused.trailing_metadata()).lower()
    lists = b'{"resourceSpans":[' + b"{}," * (5 * MIB) + b"{}]}"
    answer = client.json("traces", gzip.compress(lists, 6), Content_Encoding="gzip")
    assert answer.status == 413
    assert peak(client.processor) - before < 200 * MIB


SCALARS = {
    "numbers": b'{"unknown":[' + b"1.5," * (3 * MIB) + b"1]}",
    "texts": b'{"unknown":[' + b'"\\\\",' * (3 * MIB) + b"1]}",
    "names": b"{" + b",".join(b'"%x":1' % number for number in range(3 * MIB)) + b"}",
}


@pytest.mark.parametrize("name", SCALARS)
def test_f23_values_of_fields_that_nobody_knows_are_counted_as_well(client: Any, name: str) -> None:
    """Python's objects of them would be a gigabyte."""
    before = peak(client.processor)
    assert client.json("traces", gzip.compress(SCALARS[name], 1), Content_Encoding="gzip").status == 413
    assert peak(client.processor) - before < 200 * MIB


@pytest.mark.parametrize("where", ["resource", "scope"])
def test_f23_what_surrounds_spans_is_not_multiplied_without_end(
    client: Any, otlp: Any, answered: Any, stored: Any, where: str
) -> None:
    """1 MB around 3,000 spans would be 3 GB of columns, and nothing after it would ever be indexed."""
    trace = 2330 + len(where)
    large, small = (
        ExportTraceServiceRequest.FromString(
            otlp.request(*(otlp.span(trace, n) for n in range(1, count + 1)))
        )
        for count in (3000, 3)
    )
    for request in (large, small):
        (around,) = request.resource_spans
        of = around.resource if where == "resource" else around.scope_spans[0].scope
        of.attributes.add(key="long").value.string_value = "x" * MIB
    before = peak(client.processor)
    answer = client.http("/v1/traces", large.SerializeToString())
    assert (answer.status, b"fewer records" in answer.body) == (413, True)
    assert client.refused("traces", large.SerializeToString()).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.http("/v1/traces", small.SerializeToString()).status == 200
    stored(trace, 3)
    assert peak(client.processor) - before < 200 * MIB


def test_f23_braces_inside_text_are_no_objects(client: Any, span_json: Any, stored: Any) -> None:
    text = {"key": "code", "value": {"stringValue": '{["\\' * 400_000}}
    assert client.json("traces", span_json(2323, attributes=[text])).json == {}
    stored(2323, 1)


def test_f24_bombs_of_zeros_are_refused_once_they_pass_the_limit(client: Any) -> None:
    """gzip 1028:1, many members each below the limit, zstd 30,000:1."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    one = packer.compress(bytes(32 * MIB)) + packer.flush()
    bombs = {"gzip": [one * 32], "zstd": [pa.compress(bytes(512 * MIB), "zstd", asbytes=True)]}
    for encoding, bodies in bombs.items():
        for body in bodies:
            before = peak(client.processor)
            assert client.http("/v1/traces", body, Content_Encoding=encoding).status == 413
            assert peak(client.processor) - before < 128 * MIB


def test_f20_a_ten_megabyte_attribute_is_taken_also_packed(client: Any, otlp: Any, stored: Any) -> None:
    """However well it packs: it is one object."""
    body = otlp.request(otlp.span(20, attributes={"prompt": "x" * (10 * MIB)}))
    assert client.http("/v1/traces", gzip.compress(body, 1), Content_Encoding="gzip").status == 200
    stored(20, 1)


def test_f20_what_is_too_long_to_be_read_is_kept_and_takes_little(client: Any, otlp: Any, until: Any) -> None:
    """Messages of 30 MB and names of megabytes: neither is parsed, nor copied from table to table."""
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "x" * 90}] * 10}] * 23_000)
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.input.messages": said,
        "gen_ai.conversation.id": "c" * (10 * MIB),
        "user.id": "u" * MIB,
    }
    before = peak(client.processor)
    assert client.http("/v1/traces", otlp.request(otlp.span(2020, attributes=attributes))).status == 200
    asked = f"FROM spans JOIN llm_calls USING (trace_id) WHERE trace_id = '{2020:032x}'"
    (call,) = until(
        lambda: client.processor.sql(
            "SELECT input_messages, spans.conversation_id, length(spans.user_id) AS user_length, "
            f"length(attributes['gen_ai.input.messages']) AS kept, llm_calls.prompt_reason {asked}"
        )
    )
    assert call.pop("prompt_reason").startswith("content too long")
    assert call == {"input_messages": None, "conversation_id": None, "user_length": 65_536, "kept": len(said)}
    assert peak(client.processor) - before < 1024 * MIB


def test_f21_ten_thousand_attributes_and_a_long_key_are_taken(client: Any, otlp: Any, stored: Any) -> None:
    attributes = {f"key.{number}": number for number in range(10_000)} | {"k" * MIB: 1, "": "empty"}
    assert client.grpc("traces", otlp.request(otlp.span(21, attributes=attributes))) == b""
    stored(21, 1)


@pytest.fixture(scope="module")
def small(start_processor: Callable[..., Any], client_of: Any) -> Iterator[Any]:
    """A processor with little room: 1 MB under way, 700 kB a request, 1,000 objects."""
    running = start_processor(
        TUPLETRACE_MAX_IN_FLIGHT="1M", TUPLETRACE_MAX_REQUEST="700k", TUPLETRACE_MAX_OBJECTS="1000"
    )
    yield client_of(running)
    assert "Traceback" not in running.stop()


@contextmanager
def under_way(processor: Any, until: Any, *sizes: int) -> Generator[None]:
    """Hold a body of which each of so many bytes have come; one more comes before it is given up."""
    host, port = processor.http.split(":")
    head = f"POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: {PROTOBUF}\r\n"
    over = threading.Event()
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        held = [stack.enter_context(socket.create_connection((host, int(port)), 120)) for _ in sizes]
        for one, size in zip(held, sizes, strict=True):
            one.sendall(f"{head}Content-Length: {2 * size}\r\n\r\n".encode() + bytes(size))

        def go_on() -> None:
            while not over.wait(1):
                for one in held:
                    one.sendall(bytes(1))

        going = pool.submit(go_on)
        try:
            until(lambda: processor.metric("tupletrace_in_flight_bytes") >= sum(sizes))
            yield
        finally:
            over.set()
        going.result()


def test_limits_are_what_the_options_say(small: Any, otlp: Any, one_of: Any) -> None:
    large = otlp.request(otlp.span(1, attributes={"k": "x" * 700 * 1024}))
    assert small.http("/v1/traces", large).status == 413
    assert small.refused("traces", large).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    many = one_of("traces", 1001)
    assert small.http("/v1/traces", many).status == 413
    assert small.http("/v1/traces", one_of("traces", 900)).status == 200


def test_f9_when_too_many_bytes_are_under_way_others_are_asked_to_come_back(
    small: Any, otlp: Any, until: Any
) -> None:
    """Two clients hold 600 kB of bodies that do not end; who brings 500 kB more has no room."""
    body = otlp.request(otlp.span(9, attributes={"k": "x" * 500_000}))
    with under_way(small.processor, until, 300_000, 300_000):
        answer = small.http("/v1/traces", body)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        refused = small.refused("traces", body)
        assert refused.code() is grpc.StatusCode.UNAVAILABLE
        assert "google.rpc.retryinfo-bin" in dict(refused.trailing_metadata())
        assert small.http("/v1/traces", otlp.request(otlp.span(10))).status == 200, "a small one has"
    until(lambda: small.processor.metric("tupletrace_in_flight_bytes") == 0)
    assert small.http("/v1/traces", body).status == 200


def test_a_client_that_reads_only_after_it_has_sent_everything_sees_that_it_was_refused(
    small: Any, otlp: Any
) -> None:
    """And may use its connection again, where its body was not too large."""
    body = otlp.request(otlp.span(11, attributes={"k": "x" * 600_000}))
    connection = http.client.HTTPConnection(small.processor.http, timeout=120)
    for content_type, size, status in (("text/plain", 1, 415), (PROTOBUF, 1, 200), (PROTOBUF, 40, 413)):
        connection.request("POST", "/v1/traces", body * size, {"Content-Type": content_type})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status


def test_f32_f33_a_storm_of_large_batches_is_let_in_as_there_is_room_and_all_of_it_arrives(
    start_processor: Callable[..., Any], client_of: Any, otlp: Any, until: Any
) -> None:
    """20 clients bring 4 MB each where 16 MB may be under way; each comes back as it is told.

    A body that does not end has most of the room until the first of them has been refused.
    """
    running = start_processor(TUPLETRACE_MAX_IN_FLIGHT="16M")
    client = client_of(running)
    before = peak(running)
    text = random.Random(0).randbytes(2 * MIB).hex()
    refused = threading.Event()
    host, port = running.http.split(":")

    def hold_room() -> None:
        head = f"POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: {PROTOBUF}\r\n"
        with socket.create_connection((host, int(port)), 20) as held:
            held.sendall(f"{head}Content-Length: {15 * MIB}\r\n\r\n".encode() + bytes(14 * MIB))
            while not refused.wait(1):
                held.sendall(b"x")

    def deliver(trace: int) -> None:
        body = otlp.request(otlp.span(trace, attributes={"text": text}))
        while (answer := client.http("/v1/traces", body)).status != 200:
            assert (answer.status, int(answer.headers["retry-after"]) >= 1) == (503, True)
            refused.set()
            threading.Event().wait(random.uniform(0.1, 1))

    with ThreadPoolExecutor(21) as pool:
        holding = pool.submit(hold_room)
        try:
            until(lambda: running.metric("tupletrace_in_flight_bytes") >= 14 * MIB, 60)
            list(pool.map(deliver, range(1, 21)))
            assert refused.is_set()
        finally:
            refused.set()
        holding.result()
    until(lambda: running.sql("SELECT count(*) AS n FROM spans") == [{"n": 20}], 120)
    assert peak(running) - before < 400 * MIB
    assert "Traceback" not in running.stop()


@pytest.mark.parametrize(
    ("clients", "size", "times", "most"), [(12, 5 * MIB, 8, 1000 * MIB), (6, 40 * MIB, 2, 1200 * MIB)]
)
def test_f33_memory_is_bounded_however_large_the_messages_of_many_clients_are(
    processor: Any, until: Any, clients: int, size: int, times: int, most: int
) -> None:
    """512 prompts of 10 kB, or of 100 kB: neither what is refused nor what is indexed may pile up."""
    spans = 512
    texts = [random.Random(number).randbytes(size // spans // 2).hex() for number in range(spans)]

    def send(client: int) -> int:
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        answers: list[grpc.StatusCode] = []
        with grpc.insecure_channel(processor.grpc, options=options) as channel:
            export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            for time in range(times):
                made = ExportTraceServiceRequest()
                scope = made.resource_spans.add().scope_spans.add()
                for number, text in enumerate(texts):
                    trace_id = (client * times + time + 1).to_bytes(16, "big")
                    span = scope.spans.add(trace_id=trace_id, span_id=(number + 1).to_bytes(8, "big"))
                    span.attributes.add(key="gen_ai.input.messages").value.string_value = text
                answers.append(export.future(made.SerializeToString(), timeout=60).code())
        assert set(answers) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        return answers.count(grpc.StatusCode.OK)

    with ThreadPoolExecutor(clients) as pool:
        taken = sum(pool.map(send, range(clients)))
    assert taken
    count = "SELECT count(*) AS n FROM spans"
    until(lambda: processor.sql(count) == [{"n": taken * spans}] or None)
    assert peak(processor) < most


def test_f44_requests_leave_no_file_and_no_thread_behind(
    start_processor: Callable[..., Any], client_of: Any, one_of: Any, until: Any
) -> None:
    """Good ones and bad ones, over connections that end well and some that are cut: the soak in small."""
    running = start_processor()
    client = client_of(running)
    host, port = running.http.split(":")
    folder = Path(f"/proc/{running.process.pid}")

    def held() -> tuple[int, int]:
        return len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir()))

    def a_round(first: int) -> None:
        for trace in range(first, first + 20):
            assert client.http("/v1/traces", one_of("traces", trace=trace)).status == 200
            assert client.http("/v1/traces", b"\xff").status == 400
            assert running.ask("SELECT count(*) FROM spans").status == 200
            with socket.create_connection((host, int(port)), 20) as cut:
                cut.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: ")

    a_round(1)
    files, threads = held()
    for number in range(1, 5):
        a_round(1 + 20 * number)
    # What pools keep is there after the first round.
    until(lambda: held()[0] <= files + 4 and held()[1] <= threads + 4)
    until(lambda: running.sql("SELECT count(*) AS n FROM spans") == [{"n": 100}])


def test_f30_many_slow_clients_do_not_keep_others_waiting(client: Any, one_of: Any, stored: Any) -> None:
    """Half of them in the middle of a header, half in the middle of a body, on either transport's port."""
    slow = []
    for number in range(200):
        host, port = (client.processor.http if number % 4 else client.processor.grpc).split(":")
        slow.append(socket.create_connection((host, int(port)), 120))
        if number % 2:
            slow[-1].sendall(b"POST /v1/traces HTTP/1.1\r\nHo")
        else:
            head = f"POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: {PROTOBUF}\r\n"
            slow[-1].sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + b"x")
    for trace in range(30_300, 30_305):
        assert client.http("/v1/traces", one_of("traces", trace=trace)).status == 200
        assert client.grpc("traces", one_of("traces", trace=trace)) == b""
        stored(trace, 1)
    for one in slow:
        one.close()
