"""OTLP over HTTP: what is taken, and with which answer the rest is refused."""

import gzip
import http.client
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.rpc.status_pb2 import Status

PROTOBUF = "application/x-protobuf"
LIMIT = 64 * 2**20


@pytest.fixture(scope="module")
def processor(start_processor: Callable[..., Any]) -> Iterator[Any]:
    running = start_processor()
    yield running
    assert "Traceback" not in running.stop()


@pytest.fixture
def stored(processor: Any, until: Any) -> Callable[..., None]:
    """Wait until a trace has so many spans."""

    def wait(trace: int, spans: int) -> None:
        asked = f"SELECT count(*) AS n FROM spans WHERE trace_id = '{trace:032x}'"
        until(lambda: processor.sql(asked) == [{"n": spans}])

    return wait


def refused(answer: Any) -> str:
    """The message of a refusal, which is a google.rpc.Status in the request's encoding (C22)."""
    assert answer.headers["content-type"] == PROTOBUF
    message = Status.FromString(answer.body).message
    assert message
    return message


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_spans_are_taken_plain_and_packed(processor: Any, otlp: Any, stored: Any, encoding: str) -> None:
    trace = 10 + len(encoding)
    body = otlp.request(otlp.span(trace, 1), otlp.span(trace, 2))
    packed = gzip.compress(body) if encoding == "gzip" else body
    assert processor.post_traces(packed, Content_Encoding=encoding).status == 200
    stored(trace, 2)


def test_the_answer_is_protobuf_and_empty_on_full_success(processor: Any, otlp: Any) -> None:
    answer = processor.post_traces(otlp.request(otlp.span(1)))
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", PROTOBUF)


@pytest.mark.parametrize("content_type", [f"{PROTOBUF}; charset=utf-8", "Application/X-Protobuf"])
def test_a_content_type_may_have_parameters_and_any_case(
    processor: Any, otlp: Any, content_type: str
) -> None:
    """C24."""
    assert processor.post_traces(otlp.request(otlp.span(1)), Content_Type=content_type).status == 200


def test_gzip_is_read_to_the_end_of_its_last_member(processor: Any, otlp: Any, stored: Any) -> None:
    """C4: members may break anywhere in the message, and the body anywhere in a member."""
    body = otlp.request(*(otlp.span(2, i) for i in range(1, 101)))
    parts = [body[i : i + 1000] for i in range(0, len(body), 1000)]
    packed = b"".join(gzip.compress(part) for part in [*parts, b""])
    assert processor.post_traces(packed, Content_Encoding="gzip").status == 200
    stored(2, 100)
    body = otlp.request(*(otlp.span(3, i) for i in range(1, 101)))
    packed = gzip.compress(body[:3000]) + gzip.compress(body[3000:])
    connection = http.client.HTTPConnection(processor.http, timeout=120)
    connection.request(
        "POST",
        "/v1/traces",
        iter([packed[i : i + 7] for i in range(0, len(packed), 7)]),
        {"Content-Type": PROTOBUF, "Content-Encoding": "GZIP", "Transfer-Encoding": "chunked"},
        encode_chunked=True,
    )
    assert connection.getresponse().status == 200
    stored(3, 100)
    connection.close()


@pytest.mark.parametrize("left", [1, 5, 11, 30, -9, -1])
def test_a_truncated_gzip_body_is_malformed(processor: Any, otlp: Any, left: int) -> None:
    """It must never pass for a shorter request, nor for an empty one."""
    packed = gzip.compress(otlp.request(*(otlp.span(4, i) for i in range(1, 50))))
    answer = processor.post_traces(packed[:left], Content_Encoding="gzip")
    assert answer.status == 400
    assert refused(answer)
    assert processor.sql(f"SELECT * FROM spans WHERE trace_id = '{4:032x}'") == []


@pytest.mark.parametrize(
    "body",
    [b"this is not gzip", gzip.compress(b"\x0a\x00") + b"garbage", zlib.compress(b"\x0a\x00")],
    # Not the bytes, which hold the time.
    ids=["text", "garbage", "zlib"],
)
def test_a_body_that_is_not_the_gzip_it_says_is_malformed(processor: Any, body: bytes) -> None:
    """C5."""
    answer = processor.post_traces(body, Content_Encoding="gzip")
    assert answer.status == 400
    assert refused(answer)


def test_an_empty_body_is_a_success_packed_or_not(processor: Any) -> None:
    for body in (b"", gzip.compress(b"")):
        for encoding in ("gzip", "identity"):
            if not body or encoding == "gzip":
                assert processor.post_traces(body, Content_Encoding=encoding).status == 200


def test_an_encoding_that_is_not_understood_is_unsupported(processor: Any, otlp: Any) -> None:
    answer = processor.post_traces(otlp.request(otlp.span(5)), Content_Encoding="br")
    assert answer.status == 415
    assert "br" in refused(answer)


def test_a_gzip_bomb_is_refused_once_it_passes_the_limit(processor: Any) -> None:
    """F24: 1 GB of zeros in 1 MB, also as many members each below the limit."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    one = packer.compress(bytes(LIMIT // 2)) + packer.flush()
    for packed in (one * 32, gzip.compress(bytes(LIMIT + 1), 1)):
        before = _peak_memory(processor)
        answer = processor.post_traces(packed, Content_Encoding="gzip")
        assert answer.status == 413
        assert str(LIMIT) in refused(answer)
        assert _peak_memory(processor) - before < 4 * LIMIT


def _peak_memory(processor: Any) -> int:
    with open(f"/proc/{processor.process.pid}/status") as status:
        (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_a_body_over_the_limit_is_refused_before_it_is_all_there(processor: Any) -> None:
    """C10: an endless chunked body ends with 413, not with memory."""
    connection = http.client.HTTPConnection(processor.http, timeout=120)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("Content-Type", PROTOBUF)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    piece = b"100000\r\n" + bytes(2**20) + b"\r\n"
    try:
        for _ in range(200):
            connection.send(piece)
    except OSError:
        pass
    else:
        pytest.fail("200 MB were read")
    connection.close()
    assert processor.sql("SELECT 1 AS alive") == [{"alive": 1}]


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", ""])
def test_another_content_type_is_unsupported(processor: Any, otlp: Any, content_type: str) -> None:
    """C25: also the guard against pages that post to localhost without asking."""
    body = otlp.request(otlp.span(6))
    answer = processor.post_traces(body, Content_Type=content_type)
    assert answer.status == 415
    assert PROTOBUF in refused(answer)
    assert processor.sql(f"SELECT * FROM spans WHERE trace_id = '{6:032x}'") == []


def test_an_unknown_path_is_not_found(processor: Any) -> None:
    for path in ("/", "/v1/profiles", "/v1", "/v1/traces/x", "/sqlx", "/v2/traces"):
        assert processor.request(path, b"", Content_Type=PROTOBUF).status == 404, path


def test_a_path_that_takes_requests_cannot_be_read(processor: Any) -> None:
    for path in ("/v1/traces", "/v1/logs", "/v1/metrics", "/sql"):
        assert processor.request(path).status == 405, path


def test_a_connection_is_used_again(processor: Any, otlp: Any) -> None:
    """C7."""
    connection = http.client.HTTPConnection(processor.http, timeout=120)
    for number in range(3):
        connection.request(
            "POST", "/v1/traces", otlp.request(otlp.span(7, number + 1)), {"Content-Type": PROTOBUF}
        )
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        assert not answer.will_close
    connection.close()


def test_a_host_name_that_is_not_ours_is_refused(processor: Any) -> None:
    """C47: a page in a browser must not reach us through a name that it rebinds to 127.0.0.1."""
    port = processor.http.split(":")[1]
    for path in ("/healthz", "/v1/traces", "/sql"):
        assert processor.request(path, None, Host=f"evil.example:{port}").status == 403
    for host in ("localhost", "127.0.0.1"):
        assert processor.request("/healthz", None, Host=f"{host}:{port}").status == 200


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"sql": "SELECT 1"}', "text/plain", 415),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b'"SELECT 1"', "application/json", 400),
        (b'{"sql": 1}', "application/json", 400),
        (b'{"query": "SELECT 1"}', "application/json", 400),
        (b'{"sql": "SELECT 1"', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"sql": "SELECT \\ud800"}', "application/json", 400),
        (b'{"sql": "SELECT ?", "params": 5}', "application/json", 400),
        (b'{"sql": "SELECT ?", "params": "x"}', "application/json", 400),
        (b'{"sql": "SELECT ?", "params": [1, 2]}', "application/json", 400),
        (b'{"sql": "SELECT ?", "params": [1' + b"0" * 400 + b"]}", "application/json", 400),
        (b'{"sql": "SELECT $a", "params": {"b": 1}}', "application/json", 400),
        (b'{"sql": "SELECT $a", "params": [1]}', "application/json", 400),
        (b'{"sql": "SELECT ?"}', "application/json", 400),
        (b'{"sql": "SELECT ?", "params": ["\\ud800"]}', "application/json", 400),
        (b'{"sql": ' + b"[" * 100_000 + b"1}", "application/json", 400),
    ],
)
def test_a_body_of_sql_that_cannot_be_read_gets_a_message_and_no_500(
    processor: Any, body: bytes, content_type: str, status: int
) -> None:
    answer = processor.request("/sql", body, Content_Type=content_type)
    assert answer.status == status, answer.body
    assert json.loads(answer.body)["error"]


def test_a_body_of_sql_over_the_limit_is_refused(processor: Any) -> None:
    body = b'{"sql": "SELECT 1", "params": ["' + b"x" * LIMIT + b'"]}'
    try:
        status = processor.request("/sql", body, Content_Type="application/json").status
    except OSError:
        status = 413  # it closed the connection while we still sent
    assert status == 413
