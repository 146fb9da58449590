"""Connections on which no request comes, its head trickles, or that are too many: they are closed."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 30.0
"""So long a client may take for the head of a request; bodies have bounds of their own (`Gate`)."""

BEYOND = 256
"""So many connections more than requests are answered on have 503 as their answer; further ones are closed unheard."""


class HurriedHeads(H11Protocol):
    """Uvicorn's protocol, by which connections without a request would stay for as long as their clients like."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency + BEYOND:
            transport.close()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what comes; the wait ends with the head of a request and not before."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait."""
        self._rest()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._rest()
        elif self._patience is None:
            self._patience = self.loop.call_later(HEAD_S, self._give_up)

    def _rest(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self.conn.their_state is h11.IDLE:  # while a request is answered, its client is done
            self.transport.close()
