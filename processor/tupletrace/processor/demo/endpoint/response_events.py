"""A finished response as the typed events that a streaming client sees."""

from collections.abc import Iterator

from .checks import Json
from .engine import pieces


def events(response: Json) -> Iterator[Json]:
    """Every event, numbered from 0."""
    for number, event in enumerate(_events(response)):
        yield {"sequence_number": number, **event}


def _events(response: Json) -> Iterator[Json]:
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        steps = {"message": _message, "function_call": _call, "reasoning": _reasoning}[item["type"]]
        opened, middle = steps(item)
        yield {"type": "response.output_item.added", "output_index": index, "item": opened}
        for event in middle:
            yield {"item_id": item["id"], "output_index": index, **event}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{response['status']}", "response": response}


def _message(item: Json) -> tuple[Json, list[Json]]:
    part = item["content"][0]
    at = {"content_index": 0}
    deltas = [
        {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
        for piece in pieces(part["text"])
    ]
    return {**item, "status": "in_progress", "content": []}, [
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *deltas,
        {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
    ]


def _call(item: Json) -> tuple[Json, list[Json]]:
    arguments = item["arguments"]
    deltas = [
        {"type": "response.function_call_arguments.delta", "delta": piece} for piece in pieces(arguments)
    ]
    done = {"type": "response.function_call_arguments.done", "name": item["name"], "arguments": arguments}
    return {**item, "status": "in_progress", "arguments": ""}, [*deltas, done]


def _reasoning(item: Json) -> tuple[Json, list[Json]]:
    middle: list[Json] = []
    for index, part in enumerate(item["summary"]):
        at = {"summary_index": index}
        middle += [
            {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}},
            *(
                {"type": "response.reasoning_summary_text.delta", **at, "delta": piece}
                for piece in pieces(part["text"])
            ),
            {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]},
            {"type": "response.reasoning_summary_part.done", **at, "part": part},
        ]
    return {**item, "summary": []}, middle
