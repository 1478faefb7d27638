"""`opentelemetry-instrument python app.py`: unmodified programs, real processes, rows in a real database."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor.demo.endpoint import Endpoint
from tupletrace.processor.demo.programs_run import PROGRAMS

APP = """
from openai import OpenAI

def greet(name):
    return OpenAI().chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": "You greet customers of Little Lamp."},
            {"role": "user", "content": f"I am {name}"},
        ],
    )

print(greet("Ann").choices[0].message.content)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A user's program in a folder of its own."""
    path = tmp_path / "app" / "app.py"
    path.parent.mkdir()
    path.write_text(APP)
    return path


def variables(openai: Endpoint, grpc: str | None = None) -> dict[str, str]:
    """What the user's shell holds."""
    own = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": openai.base_url}
    return own | ({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{grpc}"} if grpc else {})


def asked_calls(openai: Endpoint) -> list[tuple[str, Any]]:
    """The calls that the provider saw and would bill."""
    billed = ("/chat/completions", "/responses", "/embeddings")
    return [(path, body) for path, body in openai.requests if path.endswith(billed)]


def test_the_base_install_brings_no_server_code(application: Any) -> None:
    """`pip install tupletrace` brings no duckdb, pyarrow, ptars, web server or price data."""
    listed = application.run(
        application.python,
        "-c",
        "import importlib.metadata as m; print(*(d.name for d in m.distributions()))",
    )
    heavy = {
        "duckdb",
        "pyarrow",
        "ptars",
        "numpy",
        "starlette",
        "uvicorn",
        "genai-prices",
        "rich",
        "langchain-core",
    }
    assert heavy & {name.lower() for name in listed.stdout.split()} == set()


def test_openai_3_is_traced_without_a_change_or_a_setting(
    application: Any, openai: Endpoint, app: Path, serve: Callable[..., Any]
) -> None:
    """With nothing configured the spans of openai 3.x reach a processor on localhost:4317."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 4317)) == 0:
            pytest.skip("another receiver has the default port on this machine")
    processor = serve(grpc="127.0.0.1:4317")
    done = application.run("opentelemetry-instrument", "python", app, env=variables(openai))
    assert "Little Lamp" in done.stdout or done.stdout.strip()
    assert done.stderr == ""
    (call,) = processor.wait_for("SELECT * FROM llm_calls", rows=1)
    expected = {
        "operation_name": "chat",
        "provider_name": "openai",
        "request_model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18",
        "prompt_name": "greet",
        "prompt_provenance": "derived",
        "usage_status": "reported",
        "cost_status": "priced",
    }
    assert {name: call[name] for name in expected} == expected
    assert call["prompt_version"].startswith("text-")


def test_openai_2_and_3_give_the_same_identity(
    application: Any, development: Any, openai: Endpoint, app: Path, processor: Any
) -> None:
    """The same program has the same tuple under both major versions of the client."""
    for environment in (application, development):
        environment.run("opentelemetry-instrument", "python", app, env=variables(openai, processor.grpc))
    rows = processor.wait_for("SELECT tuple_id, model_state, prompt_state, covered FROM traces", rows=2)
    assert rows[0] == rows[1]
    assert rows[0] | {"tuple_id": ""} == {
        "tuple_id": "",
        "model_state": "declared",
        "prompt_state": "derived",
        "covered": True,
    }


def test_folders_of_the_user_named_like_ours_do_not_hide_us(
    application: Any, openai: Endpoint, app: Path, processor: Any
) -> None:
    """A program whose own folder holds processor.py and semconv/ is traced all the same."""
    (app.parent / "processor.py").write_text("")
    (app.parent / "semconv").mkdir()
    (app.parent / "instrumentors").mkdir()
    application.run(
        "opentelemetry-instrument", "python", "app.py", cwd=app.parent, env=variables(openai, processor.grpc)
    )
    assert len(processor.wait_for("SELECT * FROM llm_calls", rows=1)) == 1


def test_a_program_does_not_notice_that_no_receiver_is_there(
    application: Any, openai: Endpoint, app: Path
) -> None:
    """Without a receiver the program prints the same and exits with 0."""
    plain = application.run("python", app, env=variables(openai))
    traced = application.run("opentelemetry-instrument", "python", app, env=variables(openai, "127.0.0.1:1"))
    assert traced.stdout == plain.stdout


@pytest.mark.parametrize(
    ("program", "arguments", "layers"),
    [
        ("support_agent.py", [], {"model", "prompt", "tools"}),
        ("langchain_rag.py", ["2", "gpt-4o-mini"], {"model", "prompt", "retriever"}),
        ("langgraph_agent.py", [], {"model", "prompt", "tools"}),
        ("llamaindex_query.py", ["2"], {"model", "prompt", "retriever"}),
        ("llamaindex_agent.py", [], {"model", "prompt", "tools"}),
    ],
)
def test_every_call_is_one_priced_llm_call_with_its_tuple(
    program: str, arguments: list[str], layers: set[str], development: Any, openai: Endpoint, processor: Any
) -> None:
    """Framework and client instrumentors together count each call once and name every layer."""
    done = development.run(
        "opentelemetry-instrument",
        "python",
        PROGRAMS / program,
        *arguments,
        env=variables(openai, processor.grpc),
    )
    assert "detach" not in done.stderr
    assert "UNIMPLEMENTED" not in done.stderr
    assert "Traceback" not in done.stderr
    calls = processor.wait_for("SELECT * FROM llm_calls", rows=len(asked_calls(openai)))
    assert {call["usage_status"] for call in calls} == {"reported"}
    assert {call["cost_status"] for call in calls} == {"priced"}
    found = processor.sql("SELECT DISTINCT layer, provenance FROM trace_layers")
    assert {row["layer"] for row in found} == layers
    assert {row["provenance"] for row in found} <= {"declared", "derived"}
    assert processor.sql("SELECT count(*) AS n FROM traces WHERE covered = false") == [{"n": 0}]
