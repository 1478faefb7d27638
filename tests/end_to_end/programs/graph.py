"""A graph of LangGraph with a model and a tool, in words that its versions share since 0.2."""

from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


@tool
def lamp_stock(lamp_id: str) -> str:
    """How many pieces of a lamp are in stock."""
    return f"{lamp_id}: 12 pieces in stock"


PROMPT = ChatPromptTemplate.from_messages(
    [("system", "You know the stock of {shop}."), ("placeholder", "{messages}")]
)
CHAIN = PROMPT | ChatOpenAI(model="gpt-4o-mini").bind_tools([lamp_stock])


def agent(state: MessagesState) -> dict[str, Any]:
    return {"messages": [CHAIN.invoke({"shop": "Little Lamp", "messages": state["messages"]})]}


graph = StateGraph(MessagesState)
graph.add_node("agent", agent)
graph.add_node("tools", ToolNode([lamp_stock]))
graph.add_edge(START, "agent")
graph.add_conditional_edges("agent", tools_condition)
graph.add_edge("tools", "agent")
app = graph.compile(checkpointer=MemorySaver())
question = {"messages": [HumanMessage("What is the stock of lamp LUX-7?")]}
answer = app.invoke(question, {"configurable": {"thread_id": "customer-7"}})
print(answer["messages"][-1].content)
