"""Words of a text, reduced so that 'orders' meets 'order', and which sentence fits a question."""

import re

_WORD = re.compile(r"[a-zA-Z]+|\d+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_STOP = frozenset(
    re.split(
        r"\s+",
        "a about all also am an and any are as at be been but by can could did do does for from get had has "
        "have how i if in into is it its me my no not of on one or our out please s so t tell than that the "
        "their them then there these they this to today up us use was we were what when where which who why "
        "will with would you your",
    )
)


def words(text: str) -> set[str]:
    """The words that carry meaning, lower case, without plural and past endings."""
    return {_stem(word.lower()) for word in _WORD.findall(text)} - _STOP


def _stem(word: str) -> str:
    if word in _STOP or len(word) < 4:
        return word
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)].rstrip("e")
    return word.rstrip("e")


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text that say something."""
    return [sentence.strip() for sentence in _SENTENCE.split(text) if words(sentence)]


def closest(question: str, candidates: list[str], limit: int) -> list[str]:
    """The candidates that share most words with the question, in their own order."""
    asked = words(question)
    scored = [(len(asked & words(text)), -index) for index, text in enumerate(candidates)]
    best = sorted((score for score in scored if score[0] > 0), reverse=True)[:limit]
    return [candidates[-index] for _, index in sorted(best, key=lambda score: -score[1])]
