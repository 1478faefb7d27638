"""Images, speech, transcriptions, translations and moderations: what is sent and what comes back."""

from types import SimpleNamespace
from typing import Any

from opentelemetry.util.genai.invocation import InferenceInvocation
from opentelemetry.util.genai.types import BlobPart, InputMessage, MessagePart, OutputMessage, TextPart
from opentelemetry.util.genai.utils import decode_base64, image_from_url

from tupletrace.instrumentors.openai.fields import field, items, known, number, text
from tupletrace.instrumentors.openai.request import Params
from tupletrace.instrumentors.openai.usage import set_usage


def describe_image_request(invocation: InferenceInvocation, params: Params) -> None:
    """Set the request's facts of a generated or edited image."""
    invocation.output_type = "image"
    _describe_request(invocation, params)
    choices = number(params.get("n"))
    if choices is not None and choices != 1:
        invocation.request_choice_count = int(choices)


def describe_speech_request(invocation: InferenceInvocation, params: Params) -> None:
    """Set the request's facts of a text read aloud."""
    invocation.output_type = "speech"
    _describe_request(invocation, params)


def describe_text_request(invocation: InferenceInvocation, params: Params) -> None:
    """Set the request's facts of a transcription or a translation."""
    invocation.output_type = "text"
    _describe_request(invocation, params)
    temperature = number(params.get("temperature"))
    invocation.temperature = None if temperature is None else float(temperature)


def describe_nothing(invocation: Any, said: Any) -> None:
    """Set nothing: all there is to say has been said, or is content."""


def asked_content(invocation: InferenceInvocation, params: Params) -> None:
    """Set what was asked for in words: the prompt of an image, the text to read or to judge."""
    given = params.get("prompt") or params.get("input")
    said = [given] if isinstance(given, str) else items(given)
    parts: list[MessagePart] = [
        TextPart(found) for item in said if (found := text(item) or text(field(item, "text")))
    ]
    invocation.input_messages = [InputMessage("user", parts)] if parts else []


def describe_images(invocation: InferenceInvocation, answer: Any) -> None:
    """Set tokens and images of an answer, or of the last event of a streamed one."""
    said = known(answer)
    describe_named(invocation, answer)
    set_usage(invocation, said.get("usage"))
    if invocation.should_capture_content:
        images = items(said.get("data")) or ([answer] if said.get("b64_json") else [])
        parts = [part for image in images if (part := _image(image)) is not None]
        invocation.output_messages = [OutputMessage("assistant", parts, None)] if parts else []


def describe_spoken(invocation: InferenceInvocation, answer: Any) -> None:
    """Set tokens of speech that came in events; a file tells none."""
    set_usage(invocation, known(answer).get("usage"))


def describe_transcript(invocation: InferenceInvocation, answer: Any) -> None:
    """Set tokens and text of a transcription or a translation."""
    set_usage(invocation, known(answer).get("usage"))
    if invocation.should_capture_content and (said := text(answer) or text(field(answer, "text"))):
        invocation.output_messages = [OutputMessage("assistant", [TextPart(said)], None)]


def describe_named(invocation: InferenceInvocation, answer: Any) -> None:
    """Set id and model, where they are told."""
    invocation.response_id = text(field(answer, "id"))
    invocation.response_model_name = text(field(answer, "model"))


class MediaEvents:
    """Events of a streamed image or transcript: the last says it all."""

    def __init__(self, capture: bool) -> None:
        self._capture = capture
        self._last: Any = None
        self._deltas: list[str] = []

    def add(self, chunk: Any) -> None:
        """Take the next event."""
        kind = text(field(chunk, "type")) or ""
        if kind.endswith((".completed", ".done")):
            self._last = chunk
        elif self._capture and (delta := text(field(chunk, "delta"))):
            self._deltas.append(delta)

    def answer(self) -> Any:
        """Return the last event, or the text that had arrived."""
        return self._last if self._last is not None else SimpleNamespace(text="".join(self._deltas))


def _describe_request(invocation: InferenceInvocation, params: Params) -> None:
    if params.get("stream") is True:
        invocation.request_stream = True


def _image(image: Any) -> MessagePart | None:
    if url := text(field(image, "url")):
        return image_from_url(url)
    data = text(field(image, "b64_json"))
    content = decode_base64(data) if data else None
    return BlobPart(None, "image", content) if content else None
