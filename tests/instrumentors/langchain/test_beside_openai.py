"""LangChain and the openai client, both instrumented: one call is one span, below the framework's step."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph
from opentelemetry.sdk.trace import TracerProvider

from tupletrace.instrumentors.openai import OpenAIInstrumentor

Make = Callable[..., Any]
PROMPT = ChatPromptTemplate.from_messages([("system", "You are {who}."), ("human", "{question}")])
ASKED = {"who": "kind", "question": "How are you?"}
INFERENCE = "chat gpt-4.1-mini"


@pytest.fixture(autouse=True)
def _client(tracer_provider: TracerProvider) -> Iterator[None]:
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider)
    yield
    OpenAIInstrumentor().uninstrument()


def ask(chain: Any, how: str) -> None:
    async def later() -> None:
        if how == "ainvoke":
            await chain.ainvoke(ASKED)
        else:
            async for _ in chain.astream(ASKED):
                pass

    match how:
        case "invoke":
            chain.invoke(ASKED)
        case "stream":
            list(chain.stream(ASKED))
        case _:
            asyncio.run(later())


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_one_call_is_one_inference_with_the_facts_of_both(trace: Any, chat_openai: Make, how: str) -> None:
    ask((PROMPT | chat_openai()).with_config(run_name="support"), how)

    assert trace.tree() == ["invoke_workflow support", [INFERENCE]]
    facts = trace.facts(INFERENCE)
    assert facts["gen_ai.prompt.version"].startswith("template-")
    assert facts["openai.api.type"] == "chat_completions"
    assert facts["gen_ai.response.id"] == "chatcmpl-7"
    assert (facts["gen_ai.usage.input_tokens"], facts["gen_ai.usage.output_tokens"]) == (20, 5)


def test_a_call_that_fails_is_one_inference_too(trace: Any, chat_openai: Make) -> None:
    with pytest.raises(Exception, match="canary"):
        (PROMPT | chat_openai(status=500)).with_config(run_name="support").invoke(ASKED)

    assert trace.tree() == ["invoke_workflow support", [INFERENCE]]
    assert "canary" not in trace.one(INFERENCE).to_json()


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_a_call_of_the_client_itself_is_below_the_node_or_function_that_makes_it(
    trace: Any, chat_openai: Make, how: str
) -> None:
    model = chat_openai()
    asked = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hi"}]}

    def node(state: Any) -> None:
        model.root_client.chat.completions.create(**asked)

    async def later(state: Any) -> None:
        await model.root_async_client.chat.completions.create(**asked)

    made = StateGraph(dict)
    made.add_node("ask", RunnableLambda(node, afunc=later))
    made.add_edge(START, "ask")
    ask(made.compile(name="graph"), how)

    assert trace.tree() == ["invoke_workflow graph", ["ask", [INFERENCE]]]
