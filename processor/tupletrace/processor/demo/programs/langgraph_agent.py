"""A LangGraph of two nodes, triage and agent, that remembers its thread."""

import sys
from typing import Any, Literal

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

QUESTIONS = ["What is the stock of lamp LUX-7?", "Please convert the price of 40 euros to dollars."]


class Topic(BaseModel):
    """What a customer's message is about."""

    topic: Literal["stock", "price", "other"]


class State(MessagesState):
    topic: str


@tool
def lamp_stock(lamp_id: str) -> str:
    """How many pieces of a lamp are in stock."""
    return f"{lamp_id}: 12 pieces in stock"


@tool
def convert_price(euros: float) -> str:
    """Convert a price in euros to dollars."""
    return f"{euros} euros are {euros * 1.1:.2f} dollars"


MODEL = ChatOpenAI(model=sys.argv[1] if len(sys.argv) > 1 else "gpt-4.1-mini")


def triage(state: State) -> dict[str, Any]:
    instruction = "Say what the message is about."
    found: Any = MODEL.with_structured_output(Topic).invoke([("system", instruction), state["messages"][-1]])
    return {"topic": found.topic}


def main() -> None:
    agent = create_agent(
        MODEL,
        [lamp_stock, convert_price],
        system_prompt="You answer questions about the stock and the prices of Little Lamp.",
        name="shop_agent",
    )
    graph = StateGraph(State)
    graph.add_node("triage", triage)
    graph.add_node("agent", agent)
    graph.add_edge(START, "triage")
    graph.add_edge("triage", "agent")
    app = graph.compile(checkpointer=InMemorySaver(), name="shop_desk")

    for question in QUESTIONS:
        asked: State = {"messages": [HumanMessage(question)], "topic": ""}
        result = app.invoke(asked, {"configurable": {"thread_id": "customer-7"}})
        print(f"Q: {question} [{result['topic']}]\nA: {result['messages'][-1].content}")


if __name__ == "__main__":
    main()
