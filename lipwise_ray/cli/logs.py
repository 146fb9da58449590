"""The log `lipwise_ray` on standard error."""

from __future__ import annotations

import logging
from enum import StrEnum

import typer

from lipwise_ray.storage.redact import redact


class LogLevel(StrEnum):
    """From which level on is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _StandardError(logging.Handler):
    """Writes to whatever standard error is then: bars on a terminal stand below what is written meanwhile."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        typer.echo(redact(self.format(record)), err=True)


def log_from(level: LogLevel) -> None:
    """Log from a level on."""
    log = logging.getLogger("lipwise_ray")
    if not any(isinstance(handler, _StandardError) for handler in log.handlers):
        handler = _StandardError()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
    log.setLevel(level.name)
