"""The operator's log: one event a line on stderr, without secrets or control characters."""

from __future__ import annotations

import logging
import re
import sys

from outlast.printable import printable

_BEARER = re.compile(
    r"(?i)(bearer\s+|token[\"']?\s*[:=]\s*[\"']?|ticket[\"']?\s*[:=]\s*[\"']?)[\w.~+/=-]{8,}"
)


class Redacting(logging.Formatter):
    """Stars out the token and whatever looks like one, in messages and traces alike."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self.secrets = [secret for secret in secrets if secret]

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return printable(_BEARER.sub(r"\1***", text))


def set_up(level: str, secrets: list[str]) -> None:
    """Send every logger of this process to stderr, at this level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Redacting(secrets))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
