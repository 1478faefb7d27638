"""Tokens, counted by a simple rule that always gives the same number, and the cache of prompt prefixes."""

import json
import re
from collections import defaultdict, deque
from dataclasses import dataclass

from .models import Model

MIN_CACHED_PREFIX = 128
"""The real API's is 1024; the prompts of example programs are shorter."""
_BLOCK = 128
_TOKEN = re.compile(r"\w{1,5}|[^\w\s]")
_EFFORT = {"none": 0, "minimal": 0, "low": 1, "medium": 2, "high": 4}


def tokens(text: str) -> list[str]:
    """Pieces of words of at most five letters, and marks."""
    return _TOKEN.findall(text)


@dataclass(frozen=True)
class Count:
    """What one answer used; cached is part of prompt, reasoning part of completion."""

    prompt: int
    cached: int
    completion: int
    reasoning: int

    def times(self, choices: int) -> "Count":
        """The count of several choices for one prompt."""
        return Count(self.prompt, self.cached, self.completion * choices, self.reasoning * choices)

    def chat(self) -> dict[str, object]:
        """The usage block of a chat completion."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def responses(self) -> dict[str, object]:
        """The usage block of a response."""
        return {
            "input_tokens": self.prompt,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": 0},
            "output_tokens": self.completion,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.prompt + self.completion,
        }


def prompt_tokens(messages: object, tools: object) -> list[str]:
    """The prompt as the model sees it: tools first, then the messages."""
    return tokens(json.dumps([tools or [], messages], ensure_ascii=False))


def reasoning_tokens(model: Model, effort: str | None, question: str) -> int:
    """Hidden tokens of a reasoning model, in steps of 64 as the API bills them."""
    if model.kind != "reasoning":
        return 0
    return 64 * _EFFORT[effort or "medium"] * (1 + len(tokens(question)) // 32)


class PrefixCache:
    """Prompts seen lately, by model; the longest common prefix counts as cached."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, deque[list[str]]] = defaultdict(lambda: deque(maxlen=64))

    def cached(self, model: Model, prompt: list[str]) -> int:
        """Cached tokens of this prompt, which is remembered for the next."""
        seen = self._seen[model.answering]
        longest = max((_common(prompt, before) for before in seen), default=0)
        seen.append(prompt)
        return longest // _BLOCK * _BLOCK if longest >= MIN_CACHED_PREFIX else 0


def _common(left: list[str], right: list[str]) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
