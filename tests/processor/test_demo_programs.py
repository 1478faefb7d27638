"""The example programs are ordinary user code that runs against any OpenAI-compatible endpoint."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tupletrace.processor.demo import programs
from tupletrace.processor.demo.endpoint import Endpoint, serve

FOLDER = Path(programs.__path__[0])
ANSWERS = {
    "support_agent.py": ["shipped", "being packed", "full refund within 30 days", "Ticket: "],
    "langchain_rag.py 1 gpt-5-mini": ["eight days", "paid back to the card within 5 days", "without charge"],
    "langgraph_agent.py": ["[stock]", "12 pieces", "[price]", "44.00 dollars"],
    "llamaindex_query.py 4": ["two seconds", "It covers the socket"],
    "llamaindex_agent.py": ["D-88 is planned for next Tuesday", "Repair booked for Wednesday"],
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serve() as running:
        yield running


def run(command: str, endpoint: Endpoint, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program with no way to the network but to the endpoint."""
    blocked = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    blocked["NO_PROXY"] = "127.0.0.1"
    reachable = {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": endpoint.api_key}
    name, *arguments = command.split()
    return subprocess.run(
        [sys.executable, FOLDER / name, *arguments],
        env={**os.environ, **blocked, **reachable, **environment},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture(scope="module")
def results(endpoint: Endpoint) -> "dict[str, subprocess.CompletedProcess[str]]":
    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(ANSWERS, pool.map(lambda command: run(command, endpoint), ANSWERS), strict=True))


@pytest.mark.parametrize("command", ANSWERS)
def test_a_program_answers_its_questions(
    command: str, results: "dict[str, subprocess.CompletedProcess[str]]"
) -> None:
    result = results[command]
    assert (result.returncode, result.stderr) == (0, "")
    assert [text for text in ANSWERS[command] if text not in result.stdout] == []


def test_every_program_is_tried_here() -> None:
    assert {command.split()[0] for command in ANSWERS} == {path.name for path in FOLDER.glob("*.py")}


def test_no_program_knows_of_tracing() -> None:
    trees = [ast.parse(path.read_text()) for path in FOLDER.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert "openai" in modules
    assert [name for name in modules if name.startswith(("tupletrace", "opentelemetry"))] == []


def test_the_two_versions_of_the_support_agents_prompt_are_two_texts(endpoint: Endpoint) -> None:
    def system_texts(version: str) -> set[str]:
        before = len(endpoint.requests)
        assert run("support_agent.py", endpoint, PROMPT_VERSION=version).returncode == 0
        seen = endpoint.requests[before:]
        return {body["messages"][0]["content"] for path, body in seen if path == "/v1/chat/completions"}

    first, second = system_texts("v1"), system_texts("v2")
    assert len(first) == len(second) == 1
    assert first != second
