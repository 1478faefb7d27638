"""``tupletrace doctor``: what will happen in this environment, and whether spans will arrive."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

Run = Callable[..., subprocess.CompletedProcess[str]]
WITHOUT_THE_EXTRA = """
import sys

ABSENT = {"duckdb", "pyarrow", "rich", "starlette", "uvicorn", "genai_prices", "ptars", "numpy", "anyio"}


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
from tupletrace.processor.cli import main

sys.exit(main(sys.argv[1:]))
"""


def lines(done: subprocess.CompletedProcess[str], code: int) -> list[str]:
    assert (done.returncode, done.stderr) == (code, ""), done
    return done.stdout.splitlines()


def line(found: list[str], words: str) -> str:
    (one,) = [line for line in found if words in line]
    return one


def test_where_a_receiver_answers_all_is_well(processor: Any, tupletrace: Run) -> None:
    found = lines(tupletrace("doctor", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{processor.grpc}"), 0)
    assert line(found, "an OTLP receiver answers there").startswith("ok")
    assert f"spans go to http://{processor.grpc} (grpc)" in line(found, "spans go to")
    assert line(found, "tupletrace_openai: will load").startswith("ok")
    assert not [one for one in found if one.startswith("FAIL")]
    requests = processor.metric("tupletrace_requests_total", signal="traces", result="accepted")
    assert requests == 1, "a real request, which stored nothing"


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_over_http_the_address_is_the_one_that_the_exporter_uses(
    shared: Any, tupletrace: Run, variable: str
) -> None:
    path = "/v1/traces" if "TRACES" in variable else ""
    said = {variable: f"http://{shared.http}{path}", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    assert line(lines(tupletrace("doctor", **said), 0), "an OTLP receiver answers there").startswith("ok")


@pytest.fixture(scope="module")
def shared(start_processor: Callable[..., Any]) -> Any:
    return start_processor()


def test_where_nobody_answers_it_says_what_to_start(tupletrace: Run) -> None:
    nobody = "http://127.0.0.1:9"
    for protocol in ("grpc", "http/protobuf"):
        said = {"OTEL_EXPORTER_OTLP_ENDPOINT": nobody, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        found = line(lines(tupletrace("doctor", **said), 1), "no OTLP receiver answers")
        assert found.startswith("FAIL")
        assert "tupletrace serve" in found


def test_the_port_of_the_other_protocol_is_said_to_be_that(shared: Any, tupletrace: Run) -> None:
    for address, protocol, spoken in ((shared.http, "grpc", "HTTP"), (shared.grpc, "http/protobuf", "gRPC")):
        said = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        found = line(lines(tupletrace("doctor", **said), 1), f"but {spoken} is spoken")
        assert found.startswith("FAIL")
        assert "OTEL_EXPORTER_OTLP_PROTOCOL=" in found
        assert "tupletrace serve" not in found


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_token_and_a_certificate_are_those_that_the_program_will_use(
    tupletrace: Run,
    start_processor: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
) -> None:
    # They come before the exporter's own setting.
    for bundle in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(bundle, raising=False)
    database, authority = tmp_path / "x.duckdb", tmp_path / "authority.pem"
    certified = trustme.CA()
    certified.cert_pem.write_to_path(authority)
    issued = certified.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tokens = {
        scope: tupletrace("tokens", "add", scope, "--scope", scope, "--db", database).stdout.strip()
        for scope in ("ingest", "read")
    }
    files = {f"TUPLETRACE_TLS_{name.upper()}": str(tmp_path / f"{name}.pem") for name in ("cert", "key")}
    running = start_processor(database, **files)
    address = running.grpc if protocol == "grpc" else running.http
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"https://{address}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    trusting = where | {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority)}

    def asked(code: int, words: str, **variables: str) -> str:
        return line(lines(tupletrace("doctor", **variables), code), words)

    def bearer(token: str) -> dict[str, str]:
        return trusting | {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{token}"}

    assert asked(0, "an OTLP receiver answers there", **bearer(tokens["ingest"])).startswith("ok")
    assert "OTEL_EXPORTER_OTLP_HEADERS" in asked(1, "wants a token", **trusting)
    assert asked(1, "wants a token", **bearer("wrong")).startswith("FAIL")
    assert "--scope ingest" in asked(1, "does not let this token send", **bearer(tokens["read"]))
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in asked(1, "is not trusted", **where)
    running.stop()


def test_an_exporter_that_is_not_installed_is_missing_here_as_in_the_program(
    shared: Any, tupletrace: Run, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None"
    )
    said = {
        "PYTHONPATH": str(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{shared.http}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    found = line(lines(tupletrace("doctor", **said), 1), "the SDK cannot be configured")
    assert found.startswith("FAIL")


def test_another_exporter_is_named_and_not_judged(tupletrace: Run) -> None:
    found = lines(tupletrace("doctor", OTEL_TRACES_EXPORTER="console"), 0)
    assert "console" in line(found, "spans go to")


def test_a_library_that_is_too_old_is_named_with_the_range_and_what_is_off_is_said(
    shared: Any, tupletrace: Run, tmp_path: Path
) -> None:
    old = tmp_path / "openai-0.1.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: openai\nVersion: 0.1\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    said = {"PYTHONPATH": path, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{shared.grpc}"}
    said["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = "tupletrace_langchain,something_else"
    found = lines(tupletrace("doctor", **said), 1)
    openai = line(found, "tupletrace_openai")
    assert openai.startswith("FAIL")
    assert "openai 0.1 is outside the supported range" in openai
    assert ">=" in openai
    assert "disabled by OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in line(found, "tupletrace_langchain")
    assert line(found, "tupletrace_llama_index").startswith("ok")


def test_with_everything_switched_off_no_span_will_be_made(shared: Any, tupletrace: Run) -> None:
    said = {
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{shared.grpc}",
    }
    assert line(lines(tupletrace("doctor", **said), 1), "no instrumentor will load").startswith("FAIL")


def test_it_needs_no_extra_and_the_other_commands_name_theirs(shared: Any) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{shared.grpc}"}
        command = [sys.executable, "-c", WITHOUT_THE_EXTRA, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=150, check=False, env=environment
        )

    assert line(lines(run("doctor"), 0), "an OTLP receiver answers there")
    for command in (("serve",), ("sql", "SELECT 1"), ("coverage",)):
        done = run(*command)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "pip install 'tupletrace[processor]'" in done.stderr
