"""Images, audio and files inside a message."""

from typing import Any, Final

from opentelemetry.util.genai.types import BlobPart, FilePart, MessagePart, UriPart
from opentelemetry.util.genai.utils import decode_base64, image_from_url

from tupletrace.instrumentors.openai.fields import field, text

_AUDIO_TYPES: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def media_part(item: Any) -> MessagePart | None:
    """Return the part of an image, audio or file content item of either API; None for anything else."""
    match field(item, "type"):
        case "image_url" | "input_image":
            return _image(item)
        case "input_audio":
            return _audio(field(item, "input_audio"))
        case "file" | "input_file":
            return _file(field(item, "file") or item)
        case _:
            return None


def _image(item: Any) -> MessagePart | None:
    address = field(item, "image_url")
    url = text(address) or text(field(address, "url"))
    if url is not None:
        return image_from_url(url)
    file_id = text(field(item, "file_id"))
    return FilePart(None, "image", file_id) if file_id else None


def _audio(audio: Any) -> MessagePart | None:
    data = text(field(audio, "data"))
    content = decode_base64(data) if data else None
    return BlobPart(_AUDIO_TYPES.get(field(audio, "format")), "audio", content) if content else None


def _file(file: Any) -> MessagePart | None:
    if file_id := text(field(file, "file_id")):
        return FilePart(None, "document", file_id)
    if url := text(field(file, "file_url")):
        return UriPart(None, "document", url)
    data = text(field(file, "file_data"))
    return image_from_url(data, modality="document") if data else None
