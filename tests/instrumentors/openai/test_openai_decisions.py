"""Questions that a model decides: their wording is the prompt, and answers are content."""

import json
from typing import Any

import openai
import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(openai.OpenAI(api_key="k"), "decisions"), reason="only openai 3 has decisions"
)
REFUND = {"type": "predicate", "name": "refund", "instructions": "Is the customer asking for a refund?"}
ASKED: dict[str, Any] = {"model": "gpt-6-luna", "input": "I was charged twice.", "questions": [REFUND]}
DECIDED = {
    "model": "gpt-6-luna",
    "answers": [{"type": "predicate", "name": "refund", "probability": 0.92}],
    "usage": {
        "input_tokens": 168,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 172,
    },
}


def test_another_question_is_another_prompt_and_another_input_is_not(
    provider: Any, program: Any, spans: Any
) -> None:
    provider.answers_json(DECIDED)

    program.call("decisions.create", **ASKED)
    program.call("decisions.create", **ASKED | {"input": "Where is my parcel?"})
    program.call(
        "decisions.create", **ASKED | {"questions": [REFUND | {"instructions": "Is the customer angry?"}]}
    )

    first, same, other = (span.attributes["gen_ai.prompt.version"] for span in spans.get_finished_spans())
    assert first == same != other
    assert "refund" not in str([span.attributes for span in spans.get_finished_spans()])


def test_questions_and_answers_are_told_when_content_is_asked_for(
    provider: Any, capturing: None, program: Any, span: Any
) -> None:
    provider.answers_json(DECIDED)

    program.call("decisions.create", **ASKED)

    asked = json.loads(span().attributes["gen_ai.system_instructions"])
    (answer,) = json.loads(span().attributes["gen_ai.output.messages"])
    assert [json.loads(part["content"]) for part in asked] == [REFUND]
    assert json.loads(answer["parts"][0]["content"])["probability"] == 0.92
