"""Decisions: questions that a model answers with probabilities, and no text."""

import json
from typing import Any

from opentelemetry.util.genai.invocation import InferenceInvocation
from opentelemetry.util.genai.types import OutputMessage, TextPart
from opentelemetry.util.genai.utils import object_to_any_value

from tupletrace.instrumentors.openai.content import responses_content
from tupletrace.instrumentors.openai.fields import field, items
from tupletrace.instrumentors.openai.prompt import Texts, responses_texts
from tupletrace.instrumentors.openai.request import Params
from tupletrace.instrumentors.openai.response import describe_response


def decision_texts(params: Params) -> Texts:
    """Return the questions, which stay the same from call to call, and static texts of the input."""
    return [*responses_texts(params), *(("system", _text(one)) for one in items(params.get("questions")))]


def decision_content(invocation: InferenceInvocation, params: Params) -> None:
    """Set what is to be judged, and the questions as instructions."""
    responses_content(invocation, params)
    invocation.system_instruction = [TextPart(_text(one)) for one in items(params.get("questions"))]


def describe_decision(invocation: InferenceInvocation, decision: Any) -> None:
    """Set model, tokens and answers."""
    describe_response(invocation, decision)
    answers = items(field(decision, "answers"))
    if invocation.should_capture_content and answers:
        parts = [TextPart(_text(answer)) for answer in answers]
        invocation.output_messages = [OutputMessage("assistant", [*parts], None)]


def _text(said: Any) -> str:
    return json.dumps(object_to_any_value(said), sort_keys=True)
