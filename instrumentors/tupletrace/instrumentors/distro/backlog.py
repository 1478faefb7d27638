"""What waits for the receiver: new items, and batches that it did not take, bounded together."""

from collections import deque
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tupletrace.instrumentors.distro.settings import Limits

T = TypeVar("T")
_OVERTAKEN: Final = 5
"""How often a batch may be refused while others are taken before it is the batch that is to blame."""


@dataclass(eq=False, slots=True)
class Batch(Generic[T]):
    """Items for one request, each with its bytes in memory.

    ``first`` is how many items were made before them, ``accepted`` how many batches the receiver had taken
    when this one was last tried, ``overtaken`` how often it was refused with others taken in between.
    """

    entries: deque[tuple[int, T]]
    first: int
    accepted: int
    overtaken: int = 0

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return sum(size for size, _ in self.entries)


class Backlog(Generic[T]):
    """New items in their order, the batch that is being sent, and at most two that were given back.

    Those take turns: one alone cannot tell a receiver that is away from one that will never take it.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.entered = 0
        """How many items there have been."""
        self._accepted = 0
        self.clear()

    def clear(self) -> None:
        """Forget what is there."""
        self._new: deque[tuple[int, T]] = deque()
        self._returned: list[Batch[T]] = []
        self._refused: Batch[T] | None = None
        self._sending: Batch[T] | None = None
        self._size = self._count = self._sending_size = 0

    def __len__(self) -> int:
        """How many items wait or are being sent."""
        return self._count + (len(self._sending.entries) if self._sending else 0)

    @property
    def oldest(self) -> int:
        """How many items came before the oldest that is still here."""
        batches = [*self._returned, *([self._sending] if self._sending else [])]
        return min([self.entered - len(self._new), *(batch.first for batch in batches)])

    def is_due(self) -> bool:
        """Say whether enough waits to be sent at once."""
        return (
            bool(self._returned)
            or self._size >= self._limits.batch_bytes
            or self._count >= self._limits.batch_items
        )

    def add(self, size: int, item: T) -> None:
        """Put a new item behind all others."""
        self._new.append((size, item))
        self._size += size
        self._count += 1
        self.entered += 1

    def take(self) -> Batch[T] | None:
        """Return the next batch to send, None if nothing waits; the one just refused only if it is alone."""
        others = [batch for batch in self._returned if batch is not self._refused]
        batch = others[0] if others else self._form() or next(iter(self._returned), None)
        if batch in self._returned:
            self._returned.remove(batch)
        self._sending = batch
        if batch is not None:
            self._sending_size = batch.size
            self._size -= self._sending_size
            self._count -= len(batch.entries)
        return batch

    def is_sending(self, batch: Batch[T]) -> bool:
        """Say whether this batch is still awaited."""
        return self._sending is batch

    def accept(self) -> None:
        """The batch that was sent has arrived."""
        self._accepted += 1
        self.drop()

    def drop(self) -> None:
        """The batch that was sent is not to be sent again."""
        self._sending = self._refused = None
        self._sending_size = 0

    def keep(self) -> bool:
        """Keep the batch that was sent for another attempt; False if it was overtaken too often."""
        batch = self._sending
        if batch is None:
            return False
        batch.overtaken += self._accepted > batch.accepted
        batch.accepted = self._accepted
        if batch.overtaken >= _OVERTAKEN:
            return False
        self._returned.append(batch)
        self._returned.sort(key=lambda each: each.first)
        self._size += self._sending_size
        self._count += len(batch.entries)
        self.drop()
        self._refused = batch
        return True

    def make_room(self) -> int:
        """Drop the oldest of what waits until all fits, with what is being sent; return how many."""
        dropped = 0
        while self._count and (
            self._size + self._sending_size > self._limits.queue_bytes
            or self._count > self._limits.queue_items
        ):
            entries = self._returned[0].entries if self._returned else self._new
            self._size -= entries.popleft()[0]
            self._count -= 1
            dropped += 1
            if self._returned and not entries:
                del self._returned[0]
        return dropped

    def _form(self) -> Batch[T] | None:
        first = self.entered - len(self._new)
        entries: deque[tuple[int, T]] = deque()
        size = 0
        while self._new and len(entries) < self._limits.batch_items:
            if entries and size + self._new[0][0] > self._limits.batch_bytes:
                break
            size += self._new[0][0]
            entries.append(self._new.popleft())
        return Batch(entries, first, self._accepted) if entries else None
