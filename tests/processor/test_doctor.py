"""``tupletrace doctor``: what will happen in this environment, and whether spans will arrive."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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


def test_what_answers_but_is_no_receiver_is_none(shared: Any, tupletrace: Run) -> None:
    for address, protocol in ((shared.http, "grpc"), (shared.grpc, "http/protobuf")):
        said = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        assert line(lines(tupletrace("doctor", **said), 1), "no OTLP receiver answers").startswith("FAIL")


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
