"""What filter and weigher share: asking, patience with a Beamdesk that is away, and words about it."""

from __future__ import annotations

import logging
import threading
import time
from typing import Dict, Iterable, Optional

from beamdesk_nova.ask import Refused, Unanswered, Verdict, ask
from beamdesk_nova.wish import wish

LOG = logging.getLogger(__name__)

# After so many failures in a row nobody waits for Beamdesk for a while.
FAILURES_MAX = 3
PAUSE_S = 5.0
# At most one warning in this time; it tells how many were left out.
WARN_EVERY_S = 60.0


class Core:
    """Beamdesk's scheduler as seen from here. Never raises: without an answer there is none."""

    def __init__(self, options, clock=time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._paused_until: Optional[float] = None
        self._warned: Optional[float] = None
        self._unsaid = 0

    def verdicts(self, spec, hosts: Iterable[str]) -> Optional[Dict[str, Verdict]]:
        """What it thinks of the hosts, by name; `None`: it is not known."""
        if self._is_paused():
            return None
        options = self._options()
        try:
            found = ask(options.socket, options.deadline_ms / 1000, wish(spec), hosts)
        except Refused as error:
            self._answered()
            self._warn(f"Beamdesk refuses the question: {error}")
            return None
        except Unanswered as error:
            self._failed()
            self._warn(f"Beamdesk does not answer: {error}")
            return None
        except Exception as error:  # A request that is odd must not stop Nova's scheduler.
            self._warn(f"Beamdesk cannot be asked: {type(error).__name__}: {error}")
            return None
        self._answered()
        return found

    def _is_paused(self) -> bool:
        with self._lock:
            return self._paused_until is not None and self._clock() < self._paused_until

    def _answered(self) -> None:
        with self._lock:
            self._failures = 0
            self._paused_until = None

    def _failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                self._paused_until = self._clock() + PAUSE_S

    def _warn(self, words: str) -> None:
        with self._lock:
            now = self._clock()
            if self._warned is not None and now - self._warned < WARN_EVERY_S:
                self._unsaid += 1
                return
            unsaid, self._unsaid, self._warned = self._unsaid, 0, now
        more = f" ({unsaid} warnings before were not written)" if unsaid else ""
        LOG.warning("%s; Nova decides alone%s", words, more)
