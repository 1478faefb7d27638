"""A LlamaIndex FunctionAgent with two tools and a memory: ``llamaindex_agent.py [model]``."""

import asyncio
import os
import sys

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.llms.openai import OpenAI

QUESTIONS = ["When is delivery D-88 planned?", "Please book a repair for the lamp with a broken switch."]


async def delivery_date(delivery_id: str) -> str:
    """The planned date of a delivery."""
    return f"Delivery {delivery_id} is planned for next Tuesday"


def book_repair(request: str) -> str:
    """Book a repair at the workshop."""
    return f"Repair booked for Wednesday, ticket R-7 ({request})"


async def main(model: str = "gpt-4.1-mini") -> None:
    # A streamed answer says how many tokens it used only when it is asked to.
    with_usage = {"stream_options": {"include_usage": True}}
    base_url = os.environ.get("OPENAI_BASE_URL")
    agent = FunctionAgent(
        name="workshop_agent",
        description="Plans deliveries and repairs.",
        system_prompt="You plan deliveries and repairs for Little Lamp. Use the tools.",
        tools=[delivery_date, book_repair],
        llm=OpenAI(model=model, api_base=base_url, additional_kwargs=with_usage),
    )
    memory = ChatMemoryBuffer.from_defaults()
    for question in QUESTIONS:
        answer = await agent.run(user_msg=question, memory=memory)  # pyright: ignore[reportDeprecated]
        print(f"Q: {question}\nA: {answer}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
