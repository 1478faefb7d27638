"""Calls that OpenAI's client has had since 1.60: a chat, a stream, a tool, a parsed answer, embeddings."""

import asyncio
from typing import Any

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "lamp_stock",
        "description": "How many pieces of a lamp are in stock.",
        "parameters": {"type": "object", "properties": {"lamp_id": {"type": "string"}}},
    },
}
ASK: Any = [
    {"role": "system", "content": "You know the stock of Little Lamp."},
    {"role": "user", "content": "What is the stock of lamp LUX-7?"},
]


class Topic(BaseModel):
    """What a message is about."""

    topic: str


def main() -> None:
    client = OpenAI()
    model = "gpt-4o-mini"
    print(client.chat.completions.create(model=model, messages=ASK).choices[0].message.content)
    stream = client.chat.completions.create(
        model=model, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
    called = client.chat.completions.create(model=model, messages=ASK, tools=[TOOL]).choices[0].message
    print([call.function.name for call in called.tool_calls or ()])
    parsed = client.beta.chat.completions.parse(model=model, messages=ASK, response_format=Topic)
    print(parsed.choices[0].message.parsed)
    print(len(client.embeddings.create(model="text-embedding-3-small", input=["a lamp"]).data))


async def amain() -> None:
    client = AsyncOpenAI()
    print(
        (await client.chat.completions.create(model="gpt-4o-mini", messages=ASK)).choices[0].message.content
    )


main()
asyncio.run(amain())
