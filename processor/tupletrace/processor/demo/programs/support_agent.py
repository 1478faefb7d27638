"""A support agent on the OpenAI client: a tool loop, a streamed answer, and a summary for the ticket."""

import json
import os
from time import strftime
from typing import Any

from openai import OpenAI

PROMPTS = {
    "v1": """You are the support agent of Little Lamp, a shop for lamps. Today is {today}.
Help the customer with orders and refunds, kindly and in full sentences. Look facts up with the tools;
never guess a delivery date, a price or a rule. If a tool does not know the answer, say so and offer to
open a ticket. Do not talk about other shops.""",
    "v2": """You are the support agent of Little Lamp, a shop for lamps. Today is {today}.
Answer in one short sentence. Look every fact up with the tools and never guess. If a tool does not know
the answer, say so and offer to open a ticket.""",
}
QUESTIONS = [
    "Where is my order A-1042?",
    "Have the orders A-1043 and A-1044 left yet, and what is your refund policy?",
    "Thanks for your help!",
]
ORDERS = {
    "A-1042": {"status": "shipped", "arrives": "Friday"},
    "A-1043": {"status": "being packed", "arrives": "Monday"},
}


def get_order(order_id: str) -> dict[str, str]:
    return ORDERS.get(order_id, {"status": "unknown"})


def get_refund_policy(reason: str) -> dict[str, str]:
    return {"policy": "full refund within 30 days", "paid back": "within 5 days"}


FUNCTIONS: dict[str, Any] = {"get_order": get_order, "get_refund_policy": get_refund_policy}


def tool(name: str, description: str, argument: str) -> Any:
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [
    tool("get_order", "Status and delivery day of one order.", "order_id"),
    tool("get_refund_policy", "What the shop refunds, and when.", "reason"),
]


def answer(client: OpenAI, model: str, system: str, question: str) -> str:
    messages: Any = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    reply = client.chat.completions.create(model=model, messages=messages, tools=TOOLS).choices[0].message
    calls: Any = reply.tool_calls or []
    if calls:
        messages.append(reply.model_dump(include={"role", "content", "tool_calls"}))
    for call in calls:
        result = FUNCTIONS[call.function.name](**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
    stream = client.chat.completions.create(
        model=model, messages=messages, stream=True, stream_options={"include_usage": True}
    )
    return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)


def main() -> None:
    client, model = OpenAI(), os.environ.get("MODEL", "gpt-4o-mini")
    system = PROMPTS[os.environ.get("PROMPT_VERSION", "v1")].format(today=strftime("%d %B %Y"))
    answers = [answer(client, model, system, question) for question in QUESTIONS]
    for question, text in zip(QUESTIONS, answers, strict=True):
        print(f"Q: {question}\nA: {text}")
    summary = client.responses.create(
        model="gpt-5-mini",
        instructions="Summarise the answers that our agent gave in one sentence for the ticket.",
        input="\n".join(answers),
        reasoning={"effort": "low"},
    )
    print(f"Ticket: {summary.output_text}")


if __name__ == "__main__":
    main()
