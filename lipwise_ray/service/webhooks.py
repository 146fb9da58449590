"""Telling others of ends: signed, tried again for a day, and not forgotten over a restart."""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from lipwise_ray.errors import InputError, LipwiseError, TransientError
from lipwise_ray.printable import printable
from lipwise_ray.service.webhook_record import WebhookCall
from lipwise_ray.state import layout
from lipwise_ray.state.shapes import record_of, typed
from lipwise_ray.state.store import Store, as_json, to_json
from lipwise_ray.storage.posting import post
from lipwise_ray.storage.web import Resolve

SIGNATURE = "Sync-Signature"
"""Header of the signature, as sync.so's clients look for it."""

WAITS_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0, 14 * 3600.0)
"""Waits between the tries."""

_LOG = logging.getLogger("lipwise_ray")
_AT_ONCE, _AT_ONCE_A_HOST = 16, 4
"""Calls at once, and of those to one host: a receiver that hangs holds up none but its own."""
_TAKEN = range(200, 300)
_GONE = 410
"""Status by which a receiver says that it wants no more."""
_MOST_LOOK_S = 3600.0
_SET_BACK_S = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """Contents of a call.

    Attributes:
        address: Address that is called.
        body: JSON of what ended.
    """

    address: str
    body: bytes

    @property
    def host(self) -> str:
        """Host of the address, with its port."""
        return self.address.partition("://")[2].partition("/")[0].lower()


Tell = Callable[[WebhookCall], Told | None]
"""From a call that is due to its contents; None where nobody is to be told any more."""


def signature(secret: str, body: bytes, at_s: int) -> str:
    """Return the value of the header by which a receiver knows that a call is ours.

    Args:
        secret: Shared with the receiver.
        body: The call's body.
        at_s: Seconds since 1970, by which the receiver refuses old calls.
    """
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


class Webhooks:
    """Sends what is owed, by a thread that sleeps until something is due.

    Args:
        store: The state, for the records.
        tell: Says what is told, and whom, when a call is about to be made.
        secret: Shared with the receivers.
        resolve: Looks names up; by default only public addresses.
        waits_s: Waits between the tries.

    Raises:
        StorageError: The state refuses.
    """

    def __init__(
        self,
        store: Store,
        tell: Tell,
        secret: str,
        resolve: Resolve | None = None,
        waits_s: tuple[float, ...] = WAITS_S,
    ) -> None:
        self._store = store
        self._tell = tell
        self._secret = secret
        self._resolve = resolve
        self._waits_s = waits_s
        self._changed = threading.Condition()
        self._owed: dict[str, WebhookCall] = {}
        self._busy: set[str] = set()
        self._hosts: dict[str, str] = {}
        """Hosts of calls that are owed, as far as they were looked at."""
        self._called_now: Counter[str] = Counter()
        """Calls at work by host."""
        self._known: set[str] = set()
        self._is_closed = False
        keys = store.names(layout.SERVICE_WEBHOOKS)
        for key, data in zip(keys, store.read_all(keys), strict=True):
            self._known.add(key.rpartition("/")[2].removesuffix(".json"))
            call = typed(as_json(data), WebhookCall)
            if call is not None and not call.is_over:
                self._owed[call.id] = call
        self._pool = ThreadPoolExecutor(_AT_ONCE, "webhook")
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)
        self._thread.start()

    def owe(self, call_id: str, job_id: str) -> None:
        """Owe a call from now on, unless it was owed before; it lasts when this returns.

        Args:
            call_id: Name of the call, one for each end of a job.
            job_id: The job, or the batch.

        Raises:
            StorageError: The state refuses.
        """
        now_s = time.time()
        call = WebhookCall(id=call_id, job_id=job_id, created=now_s, due=now_s)
        with self._changed:
            if call_id in self._known or self._is_closed:
                return
            self._known.add(call_id)
        try:
            is_new = self._store.create(layout.service_webhook(call_id), to_json(record_of(call)))
        except LipwiseError:
            with self._changed:
                self._known.discard(call_id)
            raise
        if is_new:
            with self._changed:
                self._owed[call_id] = call
                self._changed.notify_all()

    @property
    def owed(self) -> int:
        """Number of calls that are still to be made."""
        with self._changed:
            return len(self._owed)

    def forget(self, keep_s: float) -> None:
        """Remove the records of calls that are long over."""
        before_s = time.time() - keep_s
        with self._changed:
            known = [one for one in self._known if one not in self._owed]
        for call_id in known:
            call = typed(as_json(self._store.read(layout.service_webhook(call_id))), WebhookCall)
            if call is None or call.created < before_s:
                self._store.remove(layout.service_webhook(call_id))
                with self._changed:
                    self._known.discard(call_id)

    def close(self) -> None:
        """End; what is still owed is sent after the next start."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self) -> None:
        while True:
            with self._changed:
                waiting = [call for call in self._owed.values() if call.id not in self._busy and self._has_room(call)]
                wait_s = {call.id: self._wait_s(call) for call in waiting}
                due = sorted((call for call in waiting if wait_s[call.id] <= 0), key=lambda call: call.due)
                due = due[: _AT_ONCE - len(self._busy)]
                if self._is_closed:
                    return
                if not due:
                    is_full = len(self._busy) >= _AT_ONCE  # whoever makes room tells of it
                    next_s = _MOST_LOOK_S if is_full else min(wait_s.values(), default=_MOST_LOOK_S)
                    self._changed.wait(min(_MOST_LOOK_S, max(0.01, next_s)))
                    continue
                self._busy.update(call.id for call in due)
            for call in due:
                self._pool.submit(self._send, call)

    def _has_room(self, call: WebhookCall) -> bool:
        return self._called_now[self._hosts.get(call.id, "")] < _AT_ONCE_A_HOST

    def _wait_s(self, call: WebhookCall) -> float:
        """Return the seconds until a call is due; none where the clock was set back, so that no wait is as long."""
        wait_s = call.due - time.time()
        return 0.0 if wait_s > max(self._waits_s, default=0.0) + _SET_BACK_S else wait_s

    def _send(self, call: WebhookCall) -> None:
        try:
            after = self._tried(call)
            if after is None:
                return
            self._store.write(layout.service_webhook(call.id), to_json(record_of(after)))
        except Exception as error:  # noqa: BLE001  # one call's fault stays its own
            _LOG.warning("the webhook %s: %s", call.id, error)
            after = self._later(call, type(error).__name__)
        with self._changed:
            self._busy.discard(call.id)
            if after.is_over:
                self._owed.pop(call.id, None)
                self._hosts.pop(call.id, None)
            else:
                self._owed[call.id] = after
            self._changed.notify_all()

    def _tried(self, call: WebhookCall) -> WebhookCall | None:
        """Return a call after a try; None where its receiver has as many calls as it may, and it waits on."""
        try:
            told = self._tell(call)
            if told is None:
                return replace(call, is_over=True, problem="nobody is to be told any more")
            if not self._take_room(call, told.host):
                return None
            try:
                status = self._called(call, told)
            finally:
                with self._changed:
                    self._called_now -= Counter({told.host: 1})
        except TransientError as error:
            return self._later(call, error.happened)
        except InputError as error:
            # Without what to do, which is said of files that are read from such addresses.
            reason = printable(f"{error.where}: {error.happened}")
            _LOG.warning("the webhook %s is given up: %s", call.id, reason)
            return replace(call, tries=call.tries + 1, is_over=True, problem=error.happened)
        if status in _TAKEN or status == _GONE:
            problem = "" if status in _TAKEN else "whoever is called wants no calls any more"
            return replace(call, tries=call.tries + 1, is_over=True, problem=problem)
        return self._later(call, f"it was answered with {status}")

    def _take_room(self, call: WebhookCall, host: str) -> bool:
        with self._changed:
            self._hosts[call.id] = host
            if not self._has_room(call):
                self._busy.discard(call.id)
                self._changed.notify_all()
                return False
            self._called_now[host] += 1
            return True

    def _called(self, call: WebhookCall, told: Told) -> int:
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: signature(self._secret, told.body, int(time.time())),
            "Webhook-Id": call.id,
        }
        return post(told.address, told.body, headers, self._resolve)

    def _later(self, call: WebhookCall, problem: str) -> WebhookCall:
        is_over = call.tries >= len(self._waits_s)
        wait_s = 0.0 if is_over else self._waits_s[call.tries]
        if is_over:
            _LOG.warning("the webhook of job %s is given up after %d tries: %s", call.job_id, call.tries + 1, problem)
        return replace(call, tries=call.tries + 1, due=time.time() + wait_s, is_over=is_over, problem=problem)
