"""Beside the instrumentor of the OpenAI client one call is still one span, with the facts of both."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import PromptTemplate, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from opentelemetry.sdk.trace import TracerProvider

from tupletrace.instrumentors.openai import OpenAIInstrumentor

ASK = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="Hello")]


@pytest.fixture(autouse=True)
def both(instrumented: Any, tracer_provider: TracerProvider) -> Iterator[None]:
    """Both instrumentors at work."""
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    yield
    OpenAIInstrumentor().uninstrument()


async def consume(stream: Any) -> None:
    async for _ in await stream:
        pass


@pytest.mark.parametrize(
    "how", ["chat", "achat", "stream_chat", "astream_chat", "complete", "astream_complete"]
)
def test_one_call_is_one_inference_span_with_the_clients_facts(
    llm: Any, tree: Any, named: Any, how: str
) -> None:
    model = llm()
    given = "Hello" if "complete" in how else ASK
    called = getattr(model, how)(given)
    if how.startswith("astream"):
        asyncio.run(consume(called))
    elif how.startswith("a"):
        asyncio.run(called)
    elif how.startswith("stream"):
        list(called)

    assert tree() == ["chat gpt-4o-mini"]
    (inference,) = named("chat")
    assert inference.attributes["server.address"] == "api.openai.com"
    assert inference.attributes["gen_ai.response.id"] == "chatcmpl-1"
    assert inference.instrumentation_scope.name == "tupletrace.instrumentors.llama_index"


def test_the_frameworks_template_is_the_prompt_and_the_client_does_not_say_otherwise(
    llm: Any, named: Any
) -> None:
    llm(system_prompt="Be brief.").predict(PromptTemplate("Say {word}.", metadata={"name": "say"}), word="hi")
    (inference,) = named("chat")
    assert inference.attributes["gen_ai.prompt.name"] == "say"
    assert inference.attributes["gen_ai.prompt.version"].startswith("template-")


def test_usage_of_embeddings_comes_from_the_client(index: VectorStoreIndex, named: Any) -> None:
    index.as_retriever().retrieve("What is Paris?")
    (embeddings,) = named("embeddings")
    assert embeddings.attributes["gen_ai.usage.input_tokens"] == 5


def test_thirty_interleaved_streaming_agents_have_one_inference_a_turn(llm: Any, named: Any) -> None:
    agents = [
        FunctionAgent(name=f"agent-{n}", llm=llm(), tools=[], system_prompt="Be brief.") for n in range(30)
    ]

    async def run() -> None:
        await asyncio.gather(*(agent.run(user_msg="Hello") for agent in agents))

    asyncio.run(run())
    steps = {span.context.span_id: span for span in named("run_agent_step")}
    assert len(named("chat")) == 30
    for inference in named("chat"):
        step = steps[inference.parent.span_id]
        assert step.attributes["gen_ai.agent.name"] == inference.attributes["gen_ai.agent.name"]
