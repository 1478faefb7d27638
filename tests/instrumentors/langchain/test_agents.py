"""What stands around an agent's own calls: middleware that asks models itself, wrappers, nested graphs."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import LLMToolSelectorMiddleware, SummarizationMiddleware
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

Make = Callable[..., Any]
TALK = {"messages": [("user", "Hello"), ("assistant", "Hi"), ("user", "Hm?")]}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def subtract(a: int, b: int) -> int:
    """Subtract a number from another."""
    return a - b


def prompts(trace: Any) -> list[tuple[str, str]]:
    """Name and version of every call's prompt, in order."""
    return [
        (span.attributes["gen_ai.prompt.name"], span.attributes["gen_ai.prompt.version"])
        for span in trace.all("chat")
    ]


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_a_summary_is_asked_for_by_the_summary_prompt(trace: Any, model: Make, how: str) -> None:
    """It is a plain text in the middleware, which differs from the agent's and from another one's."""

    def told(prompt: str) -> list[tuple[str, str]]:
        trace.clear()
        summarize = SummarizationMiddleware(
            model(), trigger=("messages", 3), keep=("messages", 1), summary_prompt=prompt
        )
        agent = create_agent(model("Yes"), [], system_prompt="Talk.", middleware=[summarize], name="talker")
        agent.invoke(TALK) if how == "invoke" else asyncio.run(agent.ainvoke(TALK))
        return prompts(trace)

    brief, long = told("Be brief about {messages}"), told("Be long about {messages}")
    assert [name for name, _ in brief] == ["summarization", "talker"]
    assert brief[0][1] != long[0][1]
    assert brief[1] == long[1]
    assert told("Be brief about {messages}") == brief


def test_what_a_middleware_asks_for_itself_is_no_prompt_of_the_agents(trace: Any, model: Make) -> None:
    selects = model('{"tools": ["add"]}')
    object.__setattr__(
        selects, "with_structured_output", lambda schema: selects | (lambda _: {"tools": ["add"]})
    )
    select = LLMToolSelectorMiddleware(model=selects, max_tools=1)
    agent = create_agent(model("3"), [add, subtract], system_prompt="Add.", middleware=[select], name="adder")
    agent.invoke({"messages": [("user", "What is 1 + 2?")]})
    assert [name for name, _ in prompts(trace)] == ["tool_selection", "adder"]
    assert trace.all("chat")[1].attributes["tupletrace.tools.names"] == ("add",)


def test_an_agent_that_another_library_wraps_is_one_by_its_name(trace: Any, model: Make) -> None:
    """DeepAgents says of its agents that they are of its own integration."""
    metadata = {"ls_integration": "deepagents", "lc_agent_name": "deep"}
    agent = create_agent(model("3"), [add], system_prompt="Add.").with_config({"metadata": metadata})
    agent.invoke({"messages": [("user", "What is 1 + 2?")]})
    assert trace.tree() == ["invoke_agent deep", ["model", ["chat"]]]
    assert trace.facts("chat")["gen_ai.agent.name"] == "deep"


def test_a_second_graph_that_a_node_calls_has_the_path_of_a_first_one(trace: Any, model: Make) -> None:
    def graph(name: str, node: Callable[..., Any]) -> Any:
        made = StateGraph(MessagesState).add_node(name, node).add_edge(START, name)
        return made.compile(name=f"graph of {name}")

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model().invoke("Hm?")]}

    first, second = graph("first", ask), graph("second", ask)
    graph("both", lambda state: second.invoke(first.invoke(state))).invoke({"messages": []})
    assert trace.facts("first")["tupletrace.graph.path"] == "both/first"
    assert trace.facts("second")["tupletrace.graph.path"] == "both/second"
