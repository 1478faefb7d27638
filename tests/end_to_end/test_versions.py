"""Every framework in its oldest and its newest supported version: the same program, the same spans."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from tupletrace.instrumentors.langchain import LangChainInstrumentor
from tupletrace.instrumentors.llama_index import LlamaIndexInstrumentor
from tupletrace.instrumentors.openai import OpenAIInstrumentor
from tupletrace.processor.demo.endpoint import Endpoint
from tupletrace.processor.demo.programs_run import PROGRAMS

OWN = Path(__file__).parent / "programs"
QUERY = {
    "invoke_workflow RetrieverQueryEngine": 2,
    "retrieval SimpleVectorStore": 2,
    "embeddings text-embedding-3-small": 3,
    "chat gpt-4o-mini": 2,
}
AGENT = {
    "invoke_agent workshop_agent": 2,
    "run_agent_step": 4,
    "chat gpt-4.1-mini": 4,
    "execute_tool delivery_date": 1,
    "execute_tool book_repair": 1,
}
CHAIN = {
    "invoke_workflow shop_questions": 3,
    "retrieval InMemoryVectorStore": 3,
    "embeddings text-embedding-3-small": 4,
    "chat gpt-4o-mini": 3,
}
GRAPH = {
    "invoke_agent graph": 1,
    "agent": 2,
    "tools": 1,
    "chat gpt-4o-mini": 2,
    "execute_tool lamp_stock": 1,
}
CLIENT = {"chat gpt-4o-mini": 5, "embeddings text-embedding-3-small": 1}


@dataclass(frozen=True)
class Combination:
    """What is installed, and the spans by name of each program that runs in it."""

    requirements: tuple[str, ...]
    spans: dict[Path, dict[str, int]]
    pinned: bool = True


COMBINATIONS = {
    "openai, oldest": Combination(("openai==1.60.0",), {OWN / "client.py": CLIENT}, pinned=False),
    "openai, newest": Combination(("openai>=3,<4",), {OWN / "client.py": CLIENT}),
    "langchain-core, oldest": Combination(
        ("langchain-core==0.3.30", "langchain-openai==0.3.1", "numpy"),
        {PROGRAMS / "langchain_rag.py": CHAIN},
        pinned=False,
    ),
    "langgraph, oldest": Combination(
        ("langchain-core==0.3.67", "langgraph==0.6.0", "langchain-openai==0.3.1"),
        {OWN / "graph.py": GRAPH},
        pinned=False,
    ),
    "langchain-core and langgraph, newest": Combination(
        ("langchain-core", "langgraph", "langchain-openai", "numpy"),
        {PROGRAMS / "langchain_rag.py": CHAIN, OWN / "graph.py": GRAPH},
    ),
    "llama-index-core, oldest": Combination(
        (
            "llama-index-core==0.14.0",
            "llama-index-workflows==2.16.0",
            "llama-index-llms-openai==0.5.6",
            "llama-index-embeddings-openai==0.5.1",
        ),
        {PROGRAMS / "llamaindex_query.py": QUERY, PROGRAMS / "llamaindex_agent.py": AGENT},
        pinned=False,
    ),
    "llama-index-core, newest": Combination(
        ("llama-index-core", "llama-index-llms-openai", "llama-index-embeddings-openai"),
        {PROGRAMS / "llamaindex_query.py": QUERY, PROGRAMS / "llamaindex_agent.py": AGENT},
    ),
}
BY_NAME = "SELECT name, CAST(count(*) AS INTEGER) AS n FROM spans WHERE service_name = '{}' GROUP BY name"
UNCALLED = (
    "SELECT count(*)::INTEGER AS n FROM spans WHERE service_name = '{}' "
    "AND operation_name = 'execute_tool' AND tool_call_id IS NULL"
)
LAYERS = (
    "SELECT l.layer, list(DISTINCT l.provenance) AS provenances FROM trace_layers AS l "
    "JOIN spans AS s USING (trace_id) WHERE s.service_name = '{}' "
    "AND l.layer IN ('model', 'prompt') GROUP BY l.layer"
)


@pytest.mark.parametrize("combination", COMBINATIONS.values(), ids=COMBINATIONS)
def test_a20_the_oldest_and_the_newest_supported_version_give_the_same_spans(
    make_environment: Callable[..., Any],
    wheel: Path,
    openai: Endpoint,
    shared_processor: Any,
    combination: Combination,
) -> None:
    environment = make_environment(wheel, *combination.requirements, pinned=combination.pinned)
    _same_spans(environment, combination, openai, shared_processor)


@pytest.mark.parametrize("python", ["3.12", "3.13", "3.14", "3.14t"])
def test_a20_every_supported_python_that_is_installed_gives_the_same_spans(
    make_environment: Callable[..., Any], wheel: Path, openai: Endpoint, shared_processor: Any, python: str
) -> None:
    found = _output(sys.executable, "-m", "uv", "python", "find", "--no-python-downloads", python)
    if not found:
        pytest.skip(f"Python {python} is not installed here")
    combination = COMBINATIONS["openai, newest"]
    environment = make_environment(wheel, *combination.requirements, interpreter=found)
    _same_spans(environment, combination, openai, shared_processor)


def _output(*command: str) -> str:
    # A shim of pyenv's answers only for versions that are switched on.
    switched_on = _output("pyenv", "versions", "--bare") if command[0] != "pyenv" and which("pyenv") else ""
    environment = {**os.environ, "PYENV_VERSION": ":".join(switched_on.split())}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    ).stdout.strip()


def _same_spans(environment: Any, combination: Combination, openai: Endpoint, processor: Any) -> None:
    for program, expected in combination.spans.items():
        service = f"{program.stem} in {environment.python.parents[1].name}"
        done = environment.run(
            "opentelemetry-instrument",
            "python",
            program,
            env={
                "OPENAI_API_KEY": "sk-test",
                "OPENAI_BASE_URL": openai.base_url,
                "OTEL_SERVICE_NAME": service,
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{processor.grpc}",
            },
        )
        assert "tupletrace" not in done.stderr, done.stderr
        assert "detach" not in done.stderr, done.stderr
        rows = processor.wait_for(BY_NAME.format(service), rows=len(expected))
        assert {row["name"]: row["n"] for row in rows} == expected
        assert processor.sql(UNCALLED.format(service)) == [{"n": 0}]
        layers = processor.wait_for(LAYERS.format(service), rows=2)
        assert {said for row in layers for said in row["provenances"]} <= {"declared", "derived"}


@pytest.mark.parametrize(
    ("library", "version", "said"),
    [
        ("openai", "0.28.1", "OpenAIInstrumentor is not loaded"),
        ("openai", "99.0", "OpenAIInstrumentor is not loaded"),
        ("langchain-core", "0.2.43", "LangChainInstrumentor is not loaded"),
        ("langgraph", "0.2.76", "LangChainInstrumentor may miss spans"),
        ("llama-index-core", "0.13.6", "LlamaIndexInstrumentor is not loaded"),
        ("llama-index-workflows", "1.3.0", "LlamaIndexInstrumentor may miss spans"),
    ],
)
def test_outside_the_supported_range_one_line_says_so_and_the_program_runs(
    development: Any, tmp_path: Path, library: str, version: str, said: str
) -> None:
    """The line names the library, the range, and the version that is installed."""
    installed = tmp_path / f"{library.replace('-', '_')}-{version}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: {version}\n")
    done = development.run(
        "opentelemetry-instrument",
        "python",
        "-c",
        "print('works')",
        env={"PYTHONPATH": str(tmp_path), "OTEL_TRACES_EXPORTER": "none"},
    )
    assert done.stdout == "works\n"
    (line,) = [line for line in done.stderr.splitlines() if "tupletrace" in line]
    instrumentors = (OpenAIInstrumentor, LangChainInstrumentor, LlamaIndexInstrumentor)
    ranges = [text for one in instrumentors for text in (*one.dependencies, *one.beside)]
    (supported,) = [text for text in ranges if text.startswith(f"{library} ")]
    assert said in line
    assert supported.split()[0] in line
    assert version in line
