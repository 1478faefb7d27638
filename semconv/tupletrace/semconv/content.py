"""Which attributes carry content: what was asked and answered, what tools were given and what they gave back.

The tables of the dialects know the names of identities, models and tokens. Whatever else is text is judged by
the words of its name and by its look, so that a name which nobody has seen yet does not keep a prompt.
"""

import re
from enum import Enum
from typing import Final

from tupletrace.semconv.dialects import COLUMNS, DIALECTS, Source

CONTENT: Final = (
    "input_messages",
    "output_messages",
    "input_chat",
    "output_chat",
    "system_instructions",
    "tool_definitions",
    "prompt_template",
)
"""Canonical columns that are content."""
_OURS: Final = "tupletrace."
_WHOLE: Final = Source.parse("key -> $", "").sql
_PIECES: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_SAYS: Final = re.compile(
    r"answers?|args?|arguments?|body|chat|choices?|chunks?|citations?|completions?|contents?|ctx|data|definitions?"
    r"|descriptions?|details?|docs?|documents?|exceptions?|explanations?|feedback|html|inputs?|instructions?|markdown"
    r"|memory|messages?|msg|outputs?|params?|parameters?|payload|prompts?|query|queries|questions?|raw|reason"
    r"|reasoning|reply|replies|response|results?|return|schema|sql|stacktrace|statement|stderr|stdout|summary|texts?"
    r"|thinking|thoughts?|traceback|transcript|values?|variables?"
)
"""A word of a name: something is said, given or given back."""
_MEASURES: Final = re.compile(
    r"bytes|characters|costs?|counts?|duration|index|latency|length|ms|score|seconds|size|status|time|tokens?|total"
    r"|usage|usd"
)
_JUDGES: Final = re.compile(r"annotations?|evaluations?")
_EXPLAINS: Final = re.compile(r"explanation|metadata|reason|reasoning")


class Kept(Enum):
    """What of an attribute stays when content goes."""

    ALL = "all"
    NUMBER = "number"
    """It measures content: stays where it is a number."""
    IDENTIFIER = "identifier"
    """No table has it, and it is in a vendor's namespace: stays where it is short and has no space."""
    LABEL = "label"
    """No table has it: stays where it is one short line."""
    NOTHING = "nothing"


def _named() -> tuple[frozenset[str], frozenset[str]]:
    """Return the keys that are identities, models or numbers as they stand, and those that are more."""
    plain, more = set[str](), set[str]()
    for column, sources in COLUMNS.items():
        for source in sources:
            whole = source.sql in (None, _WHOLE) or source.sql.startswith("TRY_CAST")
            (plain if whole and column not in CONTENT else more).update(source.key.split("+"))
    return frozenset(plain - more), frozenset(more)


_PLAIN, _MORE = _named()
_VENDORS: Final = tuple({one for dialect in DIALECTS for one in dialect.detect if one.endswith(".")})


def kept(key: str) -> Kept:
    """Say what of the attribute with this key stays when content goes."""
    if key in _MORE:
        return Kept.NOTHING
    if key in _PLAIN or key.startswith(_OURS):
        return Kept.ALL
    words = [piece.lower() for piece in _PIECES.findall(key)]
    if any(map(_JUDGES.fullmatch, words)):
        return Kept.NOTHING if any(map(_EXPLAINS.fullmatch, words)) else Kept.ALL
    if any(map(_SAYS.fullmatch, words)):
        return Kept.NUMBER if any(map(_MEASURES.fullmatch, words)) else Kept.NOTHING
    return Kept.IDENTIFIER if key.startswith(_VENDORS) else Kept.LABEL
