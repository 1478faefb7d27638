"""What spans say in their events, and log records say of their spans, as further attributes of those spans.

Messages become the keys ``@events.input`` and ``@events.output`` (JSON lists), the older prompt and
completion events ``@events.prompt`` and ``@events.completion``; when a stream's first token came, in ns,
``@events.first_token``; Monocle's ``metadata`` becomes
``@metadata.*``; the exception that a span failed with ``@exception.type``; the details of an inference keep
their own keys.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute

from tupletrace.processor.attributes import Attributes
from tupletrace.processor.sources import engine

pc: Any = pyarrow.compute
"""Untyped: its functions are made when it is imported."""

BODY: Final = "@body"
"""Attribute of an event that holds the body of a log record, as JSON or text."""
DETAILS: Final = "gen_ai.client.inference.operation.details"
EVALUATION: Final = "gen_ai.evaluation.result"
_EXCEPTION: Final = "exception"
_CONTENT: Final = pa.array(
    [
        "gen_ai.system.message",
        "gen_ai.developer.message",
        "gen_ai.user.message",
        "gen_ai.assistant.message",
        "gen_ai.tool.message",
        "gen_ai.choice",
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
        DETAILS,
        "data.input",
        "data.output",
        "metadata",
        "First Token Stream Event",
    ]
)
TELLING: Final = pa.array([*_CONTENT.to_pylist(), EVALUATION])
"""Names of events that tell of their span."""
_OPTIMISTIC: Final = ("langsmith.",)
"""Keys of spans that are declared OK before they end, which OpenTelemetry lets no error overrule."""


def failed(attributes: Attributes, statuses: pa.Array, events: pa.Array) -> pa.Array:
    """Return which spans failed: by their status, or by an exception where their status is no word."""
    said = pc.equal(statuses, "ERROR")
    doubtful = attributes.carries(_OPTIMISTIC)
    if doubtful.any():
        exceptional = np.zeros(len(doubtful), np.bool_)
        ended = pc.equal(pc.struct_field(events.flatten(), "name"), _EXCEPTION)
        exceptional[pc.list_parent_indices(events).filter(ended).to_numpy()] = True
        said = pc.or_(said, pa.array(doubtful & exceptional))
    return said


def told(attributes: Attributes, events: pa.Array, failed: pa.Array) -> Attributes:
    """Return the attributes with what the events of each span add; what the span says itself stays."""
    flat = events.flatten()
    if not len(flat):
        return attributes
    names, spans = pc.struct_field(flat, "name"), pc.list_parent_indices(events)
    ended = pc.and_(pc.equal(names, _EXCEPTION), failed.take(spans))
    telling = pc.fill_null(pc.or_(pc.is_in(names, _CONTENT), ended), False)
    places = np.flatnonzero(telling.to_numpy(zero_copy_only=False))
    if not len(places):
        return attributes
    kept = flat.take(pa.array(places))
    rows = spans.to_numpy(zero_copy_only=False).astype(np.int64)[places]
    table = pa.table(
        {
            "span": rows,
            "place": places,
            "time": pc.struct_field(kept, "time_unix_nano"),
            "name": pc.struct_field(kept, "name"),
            "said": pc.struct_field(kept, "attributes"),
            "failed": failed.take(spans).take(pa.array(places)),
        }
    )
    with engine().cursor() as cursor:
        cursor.register("given", table)
        cursor.execute("CREATE TEMPORARY TABLE found_events AS FROM given")
        cursor.execute("CREATE TEMPORARY TABLE answer AS FROM said_in_events('found_events')")
        answer = cursor.table("answer").to_arrow_table()
    return attributes.below(
        answer.column("span").to_numpy(),
        answer.column("key").combine_chunks(),
        answer.column("value").combine_chunks(),
    )
