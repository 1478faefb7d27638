"""Other vendors' instrumentors of the same libraries at work beside ours, with no change to a program."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tupletrace.processor.demo.endpoint import Endpoint
from tupletrace.processor.demo.programs_run import PROGRAMS

OWN = Path(__file__).parent / "programs"
LIBRARIES = ("openai", "langchain", "llama-index")
FRAMEWORKS = (
    "langchain-core",
    "langchain-openai",
    "langgraph",
    "llama-index-core",
    "llama-index-embeddings-openai",
    "llama-index-llms-openai",
    "numpy",
)
RUN = (
    OWN / "client.py",
    PROGRAMS / "langchain_rag.py",
    OWN / "graph.py",
    PROGRAMS / "llamaindex_query.py",
    PROGRAMS / "llamaindex_agent.py",
)
TOLD = (
    "SELECT name, operation_name, prompt_name, prompt_version, retriever_version, tools_version, agent_name, "
    "agent_step FROM spans WHERE scope_name LIKE 'tupletrace.%' "
    # Of two nested client spans of util-genai's one is made, with what both know.
    "OR (scope_name LIKE '%.genai.openai%' AND operation_name IN ('chat', 'embeddings'))"
)
VENDORS_AT_WORK = "SELECT DISTINCT scope_name FROM spans WHERE scope_name LIKE '%instrumentation%'"
VENDORS = {
    "opentelemetry genai": [f"opentelemetry-instrumentation-genai-{one}" for one in LIBRARIES],
    "openllmetry": [f"opentelemetry-instrumentation-{one}" for one in ("openai", "langchain", "llamaindex")],
    "openinference": [f"openinference-instrumentation-{one}" for one in LIBRARIES],
}


def run(environment: Any, openai: Endpoint, processor: Any) -> tuple[str, Counter[tuple[Any, ...]]]:
    """Run all programs as one request; return what they print, and what ours tell."""
    before = len(openai.requests)
    done = environment.run(
        "opentelemetry-instrument",
        "python",
        OWN / "request.py",
        *RUN,
        env={
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": openai.base_url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{processor.grpc}",
        },
    )
    assert "tupletrace" not in done.stderr, done.stderr
    assert "detach" not in done.stderr, done.stderr
    processor.wait_for("SELECT 1 FROM spans WHERE name = 'GET /lamps'", rows=1)
    asked = [path for path, _ in openai.requests[before:] if path.endswith(("/completions", "/embeddings"))]
    processor.wait_for("SELECT 1 FROM llm_calls", rows=len(asked))
    return done.stdout, Counter(tuple(row.values()) for row in processor.sql(TOLD))


@pytest.mark.parametrize("packages", VENDORS.values(), ids=VENDORS)
def test_beside_another_vendors_instrumentors_ours_tell_the_same_and_every_call_counts_once(
    make_environment: Callable[..., Any],
    wheel: Path,
    openai: Endpoint,
    serve: Callable[..., Any],
    development: Any,
    packages: list[str],
) -> None:
    """The programs print the same, ours say what they say alone, nothing of ours is logged."""
    processor = serve()
    beside = run(make_environment(wheel, *FRAMEWORKS, *packages), openai, processor)
    assert processor.sql(VENDORS_AT_WORK) != []
    assert beside == alone(development, openai, serve)


_alone: list[tuple[str, Counter[tuple[Any, ...]]]] = []


def alone(development: Any, openai: Endpoint, serve: Callable[..., Any]) -> Any:
    """Return what is printed and told where ours are the only ones; asked once."""
    if not _alone:
        _alone.append(run(development, openai, serve()))
    return _alone[0]
