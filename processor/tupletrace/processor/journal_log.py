"""What a process that was killed has left in SQLite's write-ahead log of a journal file.

SQLite sums a page up with all before it, and takes nothing after the first that is damaged. Here the sums are
made anew over what is there: each request has a checksum of its own, by which the damaged one is found.
Format: https://sqlite.org/fileformat2.html#the_write_ahead_log
"""

import logging
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_logger: Final = logging.getLogger(__name__)
_HEAD: Final = np.dtype(
    [
        ("magic", ">u4"),
        ("version", ">u4"),
        ("page", ">u4"),
        ("number", ">u4"),
        ("salt", ">u8"),
        ("sums", ">u4", 2),
    ]
)
_SUMMED: Final = 24
"""Bytes of the header before its sums."""
_VERSION: Final = 3_007_000
_MAGIC: Final = {0x377F0682: "<u4", 0x377F0683: ">u4"}
"""How the words are ordered that are summed up."""
_NATIVE_MAGIC: Final = 0x377F0682 + (sys.byteorder == "big")
_NATIVE: Final = _MAGIC[_NATIVE_MAGIC]
_SIZE: Final = 65_536
SIZES: Final = {2**power for power in range(9, 16)}
"""Of a page; the largest one is written as 1."""
Words = npt.NDArray[np.uint32]


def mend(file: Path) -> None:
    """Let SQLite take what follows damage in the log of a file that nobody has open, and say so.

    The last transaction is left to SQLite: if damaged, it may be one that never came to its end.
    """
    log = file.with_name(file.name + "-wal")
    try:
        head = np.memmap(log, _HEAD, "r+", shape=1)[0]
    except (FileNotFoundError, ValueError):
        return
    whole = _is_whole(head)
    page = int(head["page"]) if whole else _page_size(file)
    frames = _frames(log, _MAGIC[int(head["magic"])] if whole else _NATIVE, page)
    salt = head["salt"] if whole else _salt(frames)
    (ends,) = np.nonzero((frames["salt"] == salt) & (frames["size"] != 0))
    if not len(ends):
        return
    frames = frames[: ends[-1] + 1]
    powers = _powers(page // 8 + 1)
    inputs = _inputs(powers)
    stored = np.vstack([head["sums"].astype(np.uint32), frames["sums"].astype(np.uint32)])
    short = stored[1:] - (stored[:-1] @ powers[-1].T + _added(frames, inputs))
    (damaged,) = np.nonzero(short.any(axis=1) | (frames["salt"] != salt))
    if whole and not len(damaged):
        return
    _logger.warning(
        "%s is damaged in %d of %d places; what it holds is checked",
        log,
        len(damaged) + (not whole),
        1 + len(frames),
    )
    finished = ends[-2] + 1 if len(ends) > 1 else 0
    pages = int(frames["size"][ends[-1]])
    if (damaged >= finished).any() and not len(frames := frames[:finished]):
        return
    if not whole:
        head["magic"], head["version"], head["page"], head["salt"] = _NATIVE_MAGIC, _VERSION, page, salt
        head["sums"] = _sums(head)
    for place in damaged[damaged < finished][::-1]:
        # Where its neighbour is wrong as well, the sums themselves may be.
        if not np.isin([place - 1, place + 1], damaged).any():
            _mend_head(frames[place], short[place], inputs)
        if not 0 < frames["page"][place] <= pages:
            # Nobody knows which page it was: it may be what is written over next.
            frames["page"][place], frames["size"][place] = frames["page"][place + 1], 0
    frames["salt"] = salt
    state = head["sums"].astype(np.uint32)
    for place, added in enumerate(_added(frames, inputs)):
        state = powers[-1] @ state + added
        frames["sums"][place] = state


def _is_whole(head: Any) -> bool:
    return int(head["magic"]) in _MAGIC and bool((head["sums"] == _sums(head)).all())


def _sums(head: Any) -> Words:
    """Return what the sums of a log's header are to be."""
    powers = _powers(_SUMMED // 8)
    words = np.frombuffer(head.tobytes()[:_SUMMED], _MAGIC.get(int(head["magic"]), _NATIVE))
    return words.astype(np.uint32) @ _inputs(powers)


def _salt(frames: Any) -> int:
    """Return the salt of the frames that are valid: what is behind them is of the time before."""
    first, second = (int(salt) for salt in [*frames["salt"][:2], 0, 0][:2])
    # Its first half is one more each time that the log begins anew.
    begun_anew = (first >> 32) - (second >> 32) == 1
    return first if begun_anew or not second else second


def _page_size(file: Path) -> int:
    """Return what the file itself says, or that of all files that were made by this version."""
    with file.open("rb") as opened:
        said = int.from_bytes(opened.read(18)[16:], "big")
    return said if said in SIZES else _SIZE


def _mend_head(frame: Any, short: Words, inputs: Words) -> None:
    """Turn the bit back, if it is one, that explains by how much the sums are off: it may name the page."""
    order = frame["words"].dtype
    for name, weight in zip(("page", "size"), inputs[:2], strict=True):
        word = np.array(frame[name], ">u4").view(order)
        for bit in np.uint32(1) << np.arange(32, dtype=np.uint32):
            turned = word.astype(np.uint32) ^ bit
            if (short == (turned - word.astype(np.uint32)) * weight).all():
                frame[name] = turned.astype(order).view(">u4")


def _frames(log: Path, words: str, page: int) -> Any:
    form = np.dtype(
        [("page", ">u4"), ("size", ">u4"), ("salt", ">u8"), ("sums", ">u4", 2), ("words", words, page // 4)]
    )
    count = (log.stat().st_size - _HEAD.itemsize) // form.itemsize
    return np.memmap(log, form, "r+", _HEAD.itemsize, count) if count else np.zeros(0, form)


def _powers(pairs: int) -> Words:
    """Return the powers from 0 to ``pairs`` of what summing up one more pair of words does to the sums."""
    found = [np.eye(2, dtype=np.uint32)]
    step = np.array([[1, 1], [1, 2]], np.uint32)
    for _ in range(pairs):
        found.append(step @ found[-1])
    return np.stack(found)


def _inputs(powers: Words) -> Words:
    """Return what each word of a frame adds to the two sums."""
    own = np.array([[1, 0], [1, 1]], np.uint32)
    return (powers[-2::-1] @ own).transpose(0, 2, 1).reshape(-1, 2)


def _added(frames: Any, inputs: Words) -> Words:
    """Return what each frame adds to the sums: the first two words of its head, and its page."""
    order = frames.dtype["words"].base
    heads = np.stack([frames["page"], frames["size"]], axis=1).astype(">u4").view(order)
    return heads.astype(np.uint32) @ inputs[:2] + np.stack(
        [words.astype(np.uint32) @ inputs[2:] for words in frames["words"]]
    )
