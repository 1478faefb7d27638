"""The two programs behind the recordings beside this file; each prints what it was answered.

``chat`` asks OpenAI's client in six ways, ``agent`` runs a chain and an agent of LangChain's. Recorded with
content on against ``python -m tupletrace.processor.demo.endpoint``::

    OPENAI_BASE_URL=... OTEL_EXPORTER_OTLP_ENDPOINT=... python programs.py chat

What the endpoint answered is in ``test_recorded.py``.
"""

import json
import sys
from typing import Any

MODEL = "gpt-4o-mini"
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
QUESTION = "What is the weather in Paris?"
SYSTEM = "You are a kind guide."


def get_weather(city: str) -> str:
    """Get the weather of a city"""
    return "Sunny, 21 C"


def chat(wrapped: Any = None) -> None:
    """A tool call, streams with and without usage, a picture, the responses API, embeddings."""
    from openai import OpenAI

    client: Any = wrapped or OpenAI()
    tools: Any = [{"type": "function", "function": WEATHER}]
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    asked = client.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0].message
    assert asked.tool_calls
    answer = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "Sunny, 21 C"}
    told = [*messages, asked.model_dump(exclude_none=True), answer]
    print(client.chat.completions.create(model=MODEL, messages=told, tools=tools).choices[0].message.content)
    for options in ({"stream_options": {"include_usage": True}}, {}):
        for _ in client.chat.completions.create(model=MODEL, messages=messages, stream=True, **options):
            pass
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    shown: Any = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]
    client.chat.completions.create(model=MODEL, messages=shown)
    flat: Any = [{"type": "function", **WEATHER}]
    first = client.responses.create(model=MODEL, instructions=SYSTEM, input=QUESTION, tools=flat)
    call: Any = next(item for item in first.output if item.type == "function_call")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny, 21 C"}
    given: Any = [{"role": "user", "content": QUESTION}, call.model_dump(exclude_none=True), output]
    print(client.responses.create(model=MODEL, instructions=SYSTEM, input=given, tools=flat).output_text)
    client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])


def agent(*callbacks: Any) -> None:
    """A chain of a template and a model, then an agent with a tool."""
    from langchain.agents import create_agent
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model=MODEL)
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You are a kind guide to {city}."), ("user", "{q}")]
    )
    config: Any = {
        "metadata": {"thread_id": "t-1", "user_id": "u-1"},
        "tags": ["blue"],
        "callbacks": list(callbacks),
    }
    print((prompt | model).invoke({"city": "Paris", "q": "What is the capital?"}, config).content)
    runner: Any = create_agent(model, [get_weather], system_prompt=SYSTEM, name="guide")
    config = {"configurable": {"thread_id": "t-2"}, "callbacks": list(callbacks)}
    answer = runner.invoke({"messages": [("user", QUESTION)]}, config)
    print(json.dumps(answer["messages"][-1].content))


if __name__ == "__main__":
    {"chat": chat, "agent": agent}[sys.argv[1]]()
