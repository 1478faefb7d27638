"""Microseconds that an instrumentor adds to chains, graphs and agents of LangChain, beside its peers.

The model answers at once. Peers are installed by ``uv``, in an environment of its own::

    python benchmarks/overhead_langchain.py
"""

import asyncio
from collections.abc import Callable
from typing import Any

from measure import Benchmark, Work, instrumentor, main

STREAMED = 200
GATHERED = 16


def _model() -> Any:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk, ToolCall, ToolMessage
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
    from langchain_core.utils.function_calling import convert_to_openai_tool

    class Instant(BaseChatModel):
        """Answers at once; with tools, calls the first one before it answers."""

        model: str

        @property
        def _llm_type(self) -> str:
            return "instant"

        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            asks = kwargs.get("tools") and not isinstance(messages[-1], ToolMessage)
            calls = [ToolCall(name="weather", args={"city": "Bern"}, id="call_1")] if asks else []
            answer = AIMessage(
                "" if asks else "On its way.",
                tool_calls=calls,
                usage_metadata={
                    "input_tokens": 1200,
                    "output_tokens": 30,
                    "total_tokens": 1230,
                    "input_token_details": {"cache_read": 1024},
                },
                response_metadata={
                    "model_name": "gpt-4.1-mini-2025-04-14",
                    "finish_reason": "tool_calls" if asks else "stop",
                    "id": "chatcmpl-1",
                },
            )
            return ChatResult(generations=[ChatGeneration(message=answer)])

        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            for _ in range(STREAMED):
                yield ChatGenerationChunk(message=AIMessageChunk(content="word "))

    return Instant(model="gpt-4.1-mini")


def _graph(asking: Callable[[Any], Any] | None) -> Any:
    from typing import TypedDict

    from langgraph.graph import END, START, StateGraph

    class State(TypedDict):
        text: str

    def node(state: State) -> Any:
        return {"text": state["text"] + "."}

    def ask(state: State) -> Any:
        assert asking is not None
        return {"text": asking(state["text"])}

    graph = StateGraph(State)
    names = ["plan", "search", "grade", "write", "check"]
    for name in names:
        graph.add_node(name, ask if asking is not None and name == "write" else node)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    return graph.compile()


def _work() -> Work:
    from langchain.agents import create_agent
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.tools import tool

    @tool
    def weather(city: str) -> str:
        """Say how the weather is."""
        return f"Sunny in {city}"

    model = _model()
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You are the support agent of {shop}."), ("user", "{question}")]
    )
    chain = prompt | model | StrOutputParser()
    asked = {"shop": "a shop", "question": "Where is my order A-1042?"}
    nodes, asking = _graph(None), _graph(lambda text: model.invoke([("user", text)]).content)
    agent: Any = create_agent(model, [weather], system_prompt="You tell the weather.")
    loop = asyncio.new_event_loop()

    async def gather() -> None:
        await asyncio.gather(*(chain.ainvoke(asked) for _ in range(GATHERED)))

    return {
        "chain of three": lambda: chain.invoke(asked),
        "same, 200 chunks": lambda: sum(1 for _ in chain.stream(asked)),
        "16 gathered chains": lambda: loop.run_until_complete(gather()),
        "graph of five": lambda: nodes.invoke({"text": "Where is it?"}),
        "same, a node asks": lambda: asking.invoke({"text": "Where is it?"}),
        "agent with a tool": lambda: agent.invoke({"messages": [("user", "How is it in Bern?")]}),
    }


BENCHMARK = Benchmark(
    script=__file__,
    requirements=[
        "langchain==1.4.7",
        "langchain-core==1.7.2",
        "langgraph==1.2.22",
        "opentelemetry-instrumentation-genai-langchain==1.3b0",
        "openinference-instrumentation-langchain==0.1.80",
        "opentelemetry-instrumentation-langchain==0.62.4",
    ],
    arms={
        "tupletrace": instrumentor("tupletrace.instrumentors.langchain:LangChainInstrumentor"),
        "genai": instrumentor("opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor"),
        "openinference": instrumentor("openinference.instrumentation.langchain:LangChainInstrumentor"),
        "openllmetry": instrumentor("opentelemetry.instrumentation.langchain:LangchainInstrumentor"),
    },
    work=_work,
    calls={
        "chain of three": 10,
        "same, 200 chunks": 1,
        "16 gathered chains": 1,
        "graph of five": 5,
        "same, a node asks": 5,
        "agent with a tool": 3,
    },
    reference="openllmetry",
    environment={"LANGSMITH_TRACING": "false", "PYTHONWARNINGS": "ignore"},
)

if __name__ == "__main__":
    main(BENCHMARK, __doc__)
