"""C48 and more: tokens, TLS, other machines."""

import json
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Guarded:
    """A processor that asks for tokens, and one token of each scope."""

    client: Any
    tokens: dict[str, str]

    def bearer(self, scope: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[scope]}"}


@pytest.fixture(scope="module")
def make_token(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run ``tupletrace tokens add`` and return what it prints."""
    from tupletrace.processor.cli import main

    def make(database: Path, name: str, *scopes: str) -> str:
        import contextlib
        import io

        said = io.StringIO()
        asked = [part for scope in scopes for part in ("--scope", scope)]
        with contextlib.redirect_stdout(said):
            assert main(["tokens", "add", name, *asked, "--db", str(database)]) == 0
        return said.getvalue().strip()

    return make


@pytest.fixture(scope="module")
def guarded(
    start_processor: Callable[..., Any],
    client_of: Any,
    make_token: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Guarded]:
    database = tmp_path_factory.mktemp("guarded") / "x.duckdb"
    tokens = {scope: make_token(database, f"the {scope}", scope) for scope in ("ingest", "read", "admin")}
    # All addresses: it may start, since it asks for tokens.
    running = start_processor(database, TUPLETRACE_HTTP="0.0.0.0:0")
    running.http = running.http.replace("0.0.0.0", "127.0.0.1")
    yield Guarded(client_of(running), tokens)
    assert "Traceback" not in running.stop()


def test_c48_without_a_known_token_nothing_is_answered_but_health(guarded: Guarded, otlp: Any) -> None:
    body = otlp.request(otlp.span(48))
    for header in ({}, {"Authorization": "Bearer tt_wrong"}, {"Authorization": "Basic dXNlcjpwYXNz"}):
        for path in ("/v1/traces", "/v1/logs", "/sql", "/metrics", "/nowhere"):
            answer = guarded.client.http(path, body, **header)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert guarded.client.http("/healthz", None, "GET", **header).status == 200
        assert guarded.client.http("/readyz", None, "GET", **header).status == 200
    refused = guarded.client.http("/v1/traces", body)
    assert Status.FromString(refused.body).code == grpc.StatusCode.UNAUTHENTICATED.value[0]
    assert guarded.client.json("traces", {}).json["code"] == grpc.StatusCode.UNAUTHENTICATED.value[0]
    for metadata in ((), (("authorization", "Bearer no"),)):
        error = guarded.client.refused("traces", body, metadata=metadata)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


def test_c48_it_is_refused_before_the_body_is_read(guarded: Guarded) -> None:
    """The body never comes, the answer does."""
    connection = HTTPConnection(guarded.client.processor.http, timeout=120)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("Content-Type", PROTOBUF)
    connection.putheader("Content-Length", "50000000")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()
    with grpc.insecure_channel(guarded.client.processor.grpc) as channel:
        endless = channel.stream_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as refused:
            endless(_never(), timeout=120)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def _never() -> Iterator[bytes]:
    import threading

    threading.Event().wait(3)
    yield b""


@pytest.mark.parametrize(
    ("scope", "ingest", "read"), [("ingest", 200, 403), ("read", 403, 200), ("admin", 200, 200)]
)
def test_a_token_allows_its_scope_and_no_other(guarded: Guarded, scope: str, ingest: int, read: int) -> None:
    bearer = guarded.bearer(scope)
    assert guarded.client.http("/v1/traces", b"", **bearer).status == ingest
    asked = {"Content_Type": "application/json"} | bearer
    assert guarded.client.http("/sql", b'{"sql": "SELECT 1"}', **asked).status == read
    assert guarded.client.http("/metrics", None, "GET", **bearer).status == read
    metadata = (("authorization", bearer["Authorization"]),)
    if ingest == 200:
        assert guarded.client.grpc("traces", b"", metadata=metadata) == b""
    else:
        error = guarded.client.refused("traces", b"", metadata=metadata)
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_token_is_added_and_revoked_without_a_restart(
    guarded: Guarded, make_token: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from tupletrace.processor.cli import main

    database = guarded.client.processor.database
    fresh = {"Authorization": f"bearer {make_token(database, 'fresh')}"}
    assert guarded.client.http("/v1/traces", b"", **fresh).status == 200
    assert main(["tokens", "list", "--db", str(database)]) == 0
    assert "fresh\tingest\t" in capsys.readouterr().out
    assert main(["tokens", "revoke", "fresh", "--db", str(database)]) == 0
    assert guarded.client.http("/v1/traces", b"", **fresh).status == 401
    assert main(["tokens", "revoke", "fresh", "--db", str(database)]) == 2


def test_a_token_stands_nowhere_but_in_the_terminal_it_was_shown_in(guarded: Guarded, holding: Any) -> None:
    """F39: 128 bits or more, of which only a hash is kept, for its user alone."""
    folder = guarded.client.processor.database.parent
    secret = guarded.tokens["admin"]
    assert len(secret) >= 40
    file = folder / "x.duckdb.tokens"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one["scopes"] for one in json.loads(file.read_text())] == [["ingest"], ["read"], ["admin"]]
    assert holding(folder, secret.encode()) == []


def test_the_user_of_the_database_asks_it_without_a_token(guarded: Guarded, tupletrace: Any) -> None:
    """Who may read the file may ask the processor that has it open."""
    done = tupletrace("sql", "SELECT 1 AS x", "--db", guarded.client.processor.database, "--format", "csv")
    assert (done.stdout, done.stderr) == ("x\n1\n", "")
    url = f"http://{guarded.client.processor.http}"
    assert tupletrace("sql", "SELECT 1 AS x", "--url", url).returncode == 2
    token = {"TUPLETRACE_TOKEN": guarded.tokens["read"]}
    assert tupletrace("sql", "SELECT 1 AS x", "--url", url, **token).returncode == 0


def test_the_user_of_the_database_asks_it_over_tls(
    start_processor: Callable[..., Any], tupletrace: Any, tmp_path: Path
) -> None:
    Secured(None, trustme.CA(), trustme.CA(), tmp_path).certify()
    files = {
        "TUPLETRACE_TLS_CERT": str(tmp_path / "cert.pem"),
        "TUPLETRACE_TLS_KEY": str(tmp_path / "key.pem"),
    }
    running = start_processor(**files)
    done = tupletrace("sql", "SELECT 1 AS x", "--db", running.database, "--format", "csv")
    assert (done.stdout, done.stderr) == ("x\n1\n", "")
    running.stop()


def test_a_file_of_tokens_that_others_may_read_or_that_is_damaged_ends_the_start(
    tmp_path: Path, make_token: Any, tupletrace: Any
) -> None:
    make_token(tmp_path / "x.duckdb", "one")
    file = tmp_path / "x.duckdb.tokens"
    for mode, content in ((0o644, file.read_text()), (0o600, "{")):
        file.write_text(content)
        file.chmod(mode)
        done = tupletrace("serve", "--db", tmp_path / "x.duckdb", TUPLETRACE_GRPC="127.0.0.1:0")
        assert done.returncode == 2
        assert str(file) in done.stderr


@pytest.mark.parametrize("where", ["TUPLETRACE_GRPC", "TUPLETRACE_HTTP"])
def test_f40_without_tokens_other_machines_are_not_let_in(
    tmp_path: Path, tupletrace: Any, where: str
) -> None:
    here = {"TUPLETRACE_GRPC": "127.0.0.1:0", "TUPLETRACE_HTTP": "127.0.0.1:0"}
    address = "0.0.0.0:0" if where == "TUPLETRACE_GRPC" else "[::]:0"
    done = tupletrace("serve", "--db", tmp_path / "x.duckdb", **here | {where: address})
    assert done.returncode == 2
    assert "tokens add" in done.stderr
    assert "--insecure" in done.stderr


def test_f40_unless_it_is_said(start_processor: Callable[..., Any]) -> None:
    running = start_processor(TUPLETRACE_INSECURE="1", TUPLETRACE_HTTP="0.0.0.0:0")
    port = running.http.split(":")[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=120) as got:
        assert got.status == 200
    running.stop()


@dataclass(frozen=True)
class Secured:
    """A processor that speaks TLS and asks clients for a certificate."""

    processor: Any
    authority: trustme.CA
    clients: trustme.CA
    folder: Path

    def channel(self, *, client: bool = True) -> grpc.Channel:
        return grpc.secure_channel(self.processor.grpc, self.credentials(client=client))

    def credentials(self, *, client: bool) -> grpc.ChannelCredentials:
        root = self.authority.cert_pem.bytes()
        if not client:
            return grpc.ssl_channel_credentials(root)
        own = self.clients.issue_cert("client.example")
        key, chain = own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes()
        return grpc.ssl_channel_credentials(root, key, chain)

    def https(self, *, client: bool = True) -> HTTPSConnection:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if client:
            self.clients.issue_cert("client.example").configure_cert(context)
        return HTTPSConnection(self.processor.http, timeout=120, context=context)

    def certify(self) -> None:
        """Write a new certificate of the server's."""
        issued = self.authority.issue_cert("127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(self.folder / "key.pem")
        issued.cert_chain_pems[0].write_to_path(self.folder / "cert.pem")


@pytest.fixture(scope="module")
def secured(
    start_processor: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority, clients = trustme.CA(), trustme.CA()
    clients.cert_pem.write_to_path(folder / "clients.pem")
    Secured(None, authority, clients, folder).certify()
    running = start_processor(
        TUPLETRACE_TLS_CERT=str(folder / "cert.pem"),
        TUPLETRACE_TLS_KEY=str(folder / "key.pem"),
        TUPLETRACE_TLS_CLIENT_CA=str(folder / "clients.pem"),
    )
    yield Secured(running, authority, clients, folder)
    assert "Traceback" not in running.stop()


def test_with_tls_a_client_with_a_certificate_is_served_on_both_transports(secured: Secured) -> None:
    with secured.channel() as channel:
        assert channel.unary_unary(EXPORT)(b"", timeout=120) == b""
    connection = secured.https()
    connection.request("POST", "/v1/traces", b"", {"Content-Type": PROTOBUF})
    assert connection.getresponse().status == 200
    connection.close()


def test_with_mutual_tls_a_client_without_one_is_not_nor_one_in_the_clear(secured: Secured) -> None:
    with secured.channel(client=False) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(EXPORT)(b"", timeout=120)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    connection = secured.https(client=False)
    with pytest.raises(OSError):  # noqa: PT011 - by the version of TLS, another kind
        _get(connection)
    with pytest.raises((OSError, ConnectionError)):
        _get(HTTPConnection(secured.processor.http, timeout=120))
    with grpc.insecure_channel(secured.processor.grpc) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(EXPORT)(b"", timeout=120)


def _get(connection: HTTPConnection) -> int:
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except Exception as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def test_a_renewed_certificate_is_used_without_a_restart(secured: Secured) -> None:
    def shown() -> str:
        connection = secured.https()
        connection.connect()
        try:
            return str(connection.sock.getpeercert()["serialNumber"])  # pyright: ignore[reportOptionalSubscript]
        finally:
            connection.close()

    before = shown()
    secured.certify()
    assert shown() != before
    with secured.channel() as channel:
        assert channel.unary_unary(EXPORT)(b"", timeout=120) == b""


def test_the_sdks_exporter_delivers_over_tls(secured: Secured) -> None:
    exporter = OTLPSpanExporter(
        endpoint=f"https://{secured.processor.grpc}", credentials=secured.credentials(client=True)
    )
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("tests").start_span("over tls").end()
    provider.shutdown()
    connection = secured.https()
    connection.request("GET", "/metrics")
    said = connection.getresponse().read().decode()
    connection.close()
    assert 'tupletrace_records_total{result="accepted",signal="traces"} 1.0' in said
