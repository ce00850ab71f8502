"""One question to Beamdesk over its Unix socket: a JSON line each way. See docs/nova.md."""

from __future__ import annotations

import json
import socket
import time
from typing import Dict, Iterable, NamedTuple, Optional

VERSION = 1
# As many as the portal answers about at once.
HOSTS_MAX = 4096
# Each with a name of at most 255 characters and few words more.
_ANSWER_BYTES_MAX = 4 << 20
_READ_BYTES = 64 << 10


class Unanswered(Exception):
    """No answer in time, or none that can be believed."""


class Refused(Unanswered):
    """Beamdesk says what is wrong with the question; it is there."""


class Verdict(NamedTuple):
    """What Beamdesk thinks of one host."""

    passes: bool
    reason: Optional[str]
    """Why it does not pass; `unknown` of a host that Beamdesk does not have."""
    rank: Optional[int]
    """0 is the best."""


def ask(path: str, deadline_s: float, wish: dict, hosts: Iterable[str]) -> Dict[str, Verdict]:
    """What Beamdesk thinks of the hosts, by name. Takes at most `deadline_s` seconds in all."""
    names = sorted(set(hosts))
    if len(names) > HOSTS_MAX:
        raise Unanswered(f"{len(names)} hosts are more than the {HOSTS_MAX} of a question")
    question = {"v": VERSION, "request": wish, "hosts": names}
    line = json.dumps(question, separators=(",", ":")).encode() + b"\n"
    try:
        answer = _exchange(path, time.monotonic() + deadline_s, line)
    except OSError as error:
        raise Unanswered(f"{path}: {error or type(error).__name__}") from error
    return _verdicts(answer, set(names))


def _exchange(path: str, until: float, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        _wait(link, until)
        link.connect(path)
        rest = memoryview(line)
        while rest:
            _wait(link, until)
            rest = rest[link.send(rest) :]
        answer = bytearray()
        while not answer.endswith(b"\n"):
            _wait(link, until)
            read = link.recv(_READ_BYTES)
            if not read:
                raise Unanswered("the connection ended without an answer")
            answer += read
            if len(answer) > _ANSWER_BYTES_MAX:
                raise Unanswered("the answer is too long")
        return bytes(answer)


def _wait(link: socket.socket, until: float) -> None:
    left = until - time.monotonic()
    if left <= 0:
        raise Unanswered("no answer in time")
    link.settimeout(left)


def _verdicts(answer: bytes, asked: set) -> Dict[str, Verdict]:
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise Unanswered("the answer is no JSON") from error
    if not isinstance(told, dict) or told.get("v") != VERSION:
        raise Unanswered("the answer is of another version")
    if "error" in told:
        error = told["error"] if isinstance(told["error"], dict) else {}
        raise Refused(f"{error.get('code')}: {error.get('message')}"[:500])
    hosts = told.get("hosts")
    if not isinstance(hosts, list):
        raise Unanswered("the answer has no hosts")
    verdicts = dict(_verdict(host) for host in hosts)
    if set(verdicts) != asked:
        raise Unanswered("the answer is about other hosts")
    return verdicts


def _verdict(host: object) -> tuple:
    if not isinstance(host, dict):
        raise Unanswered("the answer has a host that is none")
    name, passes = host.get("name"), host.get("passes")
    reason, rank = host.get("reason"), host.get("rank")
    is_number = isinstance(rank, int) and not isinstance(rank, bool) and 0 <= rank < HOSTS_MAX
    if (
        not isinstance(name, str)
        or not isinstance(passes, bool)
        or not (reason is None or isinstance(reason, str))
        or not (rank is None or is_number)
    ):
        raise Unanswered("the answer has a host that is none")
    return name, Verdict(passes, reason, rank)
