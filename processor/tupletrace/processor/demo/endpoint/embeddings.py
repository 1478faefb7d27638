"""POST /v1/embeddings: hashed bags of words, so that texts about the same thing lie close together."""

import base64
import math
import struct
from hashlib import sha256
from typing import Any

from . import checks
from .checks import Json
from .errors import ApiError
from .models import DIMENSIONS, find
from .usage import tokens
from .words import words

_FIELDS: dict[str, checks.Check] = {
    "input": lambda param, value: None,
    "model": checks.string,
    "dimensions": checks.integer(),
    "encoding_format": checks.one_of("float", "base64"),
    "user": checks.string,
}


def embed(body: Json) -> Json:
    """Check a request as the API would, and answer it."""
    model = find(body.get("model"), "embedding")
    checks.fields(body, _FIELDS, required=("input", "model"))
    size = DIMENSIONS[model.asked]
    wanted: int | None = body.get("dimensions")
    if wanted is not None:
        if model.asked == "text-embedding-ada-002":
            raise ApiError("This model does not support specifying dimensions.", param="dimensions")
        checks.integer(1, size)("dimensions", wanted)
    inputs = _inputs(body["input"])
    encode = _base64 if body.get("encoding_format") == "base64" else list[float]
    data = [
        {"object": "embedding", "index": index, "embedding": encode(_vector(item, wanted or size))}
        for index, item in enumerate(inputs)
    ]
    spent = sum(len(item) if isinstance(item, list) else len(tokens(item)) for item in inputs)
    usage = {"prompt_tokens": spent, "total_tokens": spent}
    return {"object": "list", "data": data, "model": model.answering, "usage": usage}


def _inputs(value: Any) -> list[str | list[int]]:
    """A text, several texts, the tokens of one text, or those of several."""
    if value is None or value in ("", []):
        raise ApiError("'$.input' is invalid. Please check the API reference.")
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise checks.wrong_type("input", "one of a string or array", value)
    items: list[Any] = [value] if isinstance(value[0], int) else value
    if len(items) > 2048:
        message = "Invalid 'input': array too long. Expected an array with maximum length 2048."
        raise ApiError(message, param="input", code="array_above_max_length")
    kind = type(items[0])
    whole = all(type(item) is kind and item for item in items) and kind in (str, list)
    if not whole or (kind is list and not all(type(token) is int for item in items for token in item)):
        raise ApiError("'$.input' is invalid. Please check the API reference.")
    return items


def _vector(item: str | list[int], size: int) -> list[float]:
    vector = [0.0] * size
    for word in [str(token) for token in item] if isinstance(item, list) else sorted(words(item)):
        digest = sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4], "big") % size] += 1.0 if digest[4] % 2 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    if not length:
        vector[0], length = 1.0, 1.0
    return [value / length for value in vector]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
