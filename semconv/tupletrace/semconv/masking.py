"""What changes between two renderings of one prompt: dates, times, numbers, ids, addresses."""

import re
from functools import lru_cache
from typing import Final

_MONTH: Final = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sep(?:t(?:ember)?)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_DAY: Final = (
    r"(?:Mon(?:day)?|Tue(?:s(?:day)?)?|Wed(?:nesday)?|Thu(?:rs(?:day)?)?|Fri(?:day)?|Sat(?:urday)?"
    r"|Sun(?:day)?)\b"
)
_VOLATILE: Final = re.compile(
    rf"""
      (?<![a-z0-9])(?:
          [a-z0-9][\w.+-]{{0,63}}+@[\w-]++\.[\w.-]+                      # e-mail address
        | [0-9a-f]{{8}}-(?:[0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}}\b        # UUID
        | (?=[a-z]*+[0-9])(?=[0-9]*+[a-z])                               # id of letters and digits,
          (?![0-9]++[a-z]{{1,3}}\b)[a-z0-9]{{8,}}                        # not a number with its unit
        | (?:{_DAY},?\ +)?{_MONTH}\ +                                    # Friday, November 20, 2026
          (?:[0-9]{{1,2}}(?:st|nd|rd|th)?\b(?:,?\ +[0-9]{{4}}\b)?|[0-9]{{4}}\b)
        | (?:{_DAY},?\ +)?[0-9]{{1,2}}(?:st|nd|rd|th)?[\ -](?:of\ )?     # Friday, 20th of November 2026
          {_MONTH}(?:,?[\ -]+[0-9]{{4}}\b)?
        | {_DAY}(?=,?\ +[0-9])                                           # weekday before a numeric date
      )
    | (?:(?<!\S)[+-])?[0-9](?-i:[0-9.,:/TZ+-])*                          # number, date, time, version
      (?:(?:st|nd|rd|th)\b|\ ?[ap]\.?m\b\.?|(?<=,)\ ?{_DAY}|\ \({_DAY}\))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_TODAY: Final = re.compile(rf"(?i)(?<=today is ){_DAY}")
_OTHER_DIGIT: Final = re.compile(r"(?![0-9])\d")
_MARKS: Final = bytes(
    ord("1") if chr(code) in "0123456789@" else ord(" ") if chr(code).isspace() else ord("a")
    for code in range(256)
)
_REACH: Final = 32
"""Characters before and after a digit that may belong to it: a weekday and a month at most."""
_REMEMBERED: Final = 8192
"""Length of the longest text whose mask is remembered, 256 of them."""


def mask_volatile(text: str) -> str:
    """Replace what changes between two renderings of one prompt (dates, numbers, ids, addresses) by ``#``."""
    return _remembered(text) if len(text) <= _REMEMBERED else _mask(text)


def _mask(text: str) -> str:
    if not text.isascii():
        text = _OTHER_DIGIT.sub("0", text)
    if "oday is " in text:
        text = _TODAY.sub("#", text)
    # The pattern costs 0.3 us a character; almost all of a prompt is far from any digit.
    marks = text.encode("latin-1", "replace").translate(_MARKS)
    pieces: list[str] = []
    done, mark = 0, marks.find(b"1")
    while mark >= 0:
        last = mark
        while (following := marks.find(b"1", last + 1, last + 2 * _REACH)) >= 0:
            last = following
        start = max(done, marks.rfind(b" ", 0, max(mark - _REACH, 0)) + 1)
        end = marks.find(b" ", last + _REACH)
        end = len(text) if end < 0 else end
        pieces += text[done:start], _VOLATILE.sub("#", text[start:end])
        done, mark = end, marks.find(b"1", end)
    return "".join([*pieces, text[done:]])


_remembered = lru_cache(maxsize=256)(_mask)
