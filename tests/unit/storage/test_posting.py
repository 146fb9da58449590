"""Calls to other people's servers, which hang, trickle, or are none."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest

from lipwise_ray.errors import InputError, StorageError
from lipwise_ray.storage import posting
from lipwise_ray.storage.posting import check_callable, post


def test_a_receiver_that_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that gives a letter now and then, too: a call has an end."""
    monkeypatch.setattr(posting, "_CALL_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def trickle() -> None:
            wire, _ = server.accept()
            with wire:
                try:
                    while True:
                        wire.sendall(b"H")
                        time.sleep(0.05)
                except OSError:
                    return

        threading.Thread(target=trickle, daemon=True).start()
        with pytest.raises(StorageError, match="cannot be called"):
            post(f"http://hook.test:{port}/", b"{}", {}, lambda *_: ["127.0.0.1"])


def test_a_receiver_that_never_ends_its_greeting_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over https the handshake is part of the call, however slowly it goes on."""
    monkeypatch.setattr(posting, "_CALL_S", 0.3)
    is_over, has_ended = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def trickle() -> None:
            wire, _ = server.accept()
            with wire, suppress(OSError):
                wire.sendall(b"\x16\x03\x03\x3f\xff")  # a record of 16 KB begins
                for _ in range(200):
                    wire.sendall(b"\x02")
                    if is_over.wait(0.05):
                        return
                has_ended.set()

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        with pytest.raises(StorageError, match="cannot be called"):
            post(f"https://hook.test:{port}/", b"{}", {}, lambda *_: ["127.0.0.1"])
        assert not has_ended.is_set()
        is_over.set()
        thread.join()


def test_addresses_that_can_never_be_called() -> None:
    """They are told when the job is asked for."""
    check_callable("https://hook.test/x")
    for address in ("hook.test", "http://", "http://a@b/", "javascript:alert(1)", "http://[x/"):
        with pytest.raises(InputError):
            check_callable(address)
