"""What the processor logs, on stderr: as text, or one JSON object a line."""

import json
import logging
from datetime import UTC, datetime


class _Lines(logging.Formatter):
    """Each record is one line, whatever is in it."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


def configure(*, as_json: bool) -> None:
    """Log warnings and worse from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines() if as_json else logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
