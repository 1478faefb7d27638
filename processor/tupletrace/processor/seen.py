"""Which traces are stored, and from which journalled request on: in memory, so that no batch asks all."""

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


class SeenTraces:
    """Hashes of trace ids with a request before which nothing of the trace is stored; 16 bytes a trace.

    Two traces with one hash cost a search, never a span: what is found here is looked up in the tables.
    """

    def __init__(self, hashes: Hashes, seqs: npt.NDArray[np.int64]) -> None:
        """Begin with the traces that the tables hold."""
        order = np.argsort(hashes)
        self._runs = [(hashes[order], seqs[order])]

    def since(self, hashes: Hashes) -> int | None:
        """Return the first request of any of these traces that was seen before; None: all are new."""
        firsts = [int(seqs[there].min()) for there, seqs in self._found(hashes) if there.any()]
        return min(firsts, default=None)

    def add(self, hashes: Hashes, seq: int) -> None:
        """Remember traces of a batch whose first request is ``seq``; ``hashes`` are sorted, each one once."""
        known = np.zeros(len(hashes), np.bool_)
        for there, _ in self._found(hashes):
            known |= there
        new = hashes[~known]
        self._runs.append((new, np.full(len(new), seq, np.int64)))
        # Sorted runs, each more than twice as long as the next: few to look into, each hash rarely moved.
        while len(self._runs) > 1 and len(self._runs[-2][0]) <= 2 * len(self._runs[-1][0]):
            (first, first_seqs), (second, second_seqs) = self._runs[-2:]
            merged = np.concatenate((first, second))
            order = np.argsort(merged, kind="stable")
            self._runs[-2:] = [(merged[order], np.concatenate((first_seqs, second_seqs))[order])]

    def _found(self, hashes: Hashes) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]]:
        """Return for each run which of the hashes are in it, and what stands at their places."""
        found: list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]] = []
        for run, seqs in self._runs:
            if len(run):
                places = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
                found.append((run[places] == hashes, seqs[places]))
        return found
