"""The socket to the desktop's agent: a JSON header and bytes each way. See docs/imaging.md."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from typing import Optional

VERSION = 1
_LENGTHS = struct.Struct("<II")
# An answer is a few words.
_ANSWER_BYTES_MAX = 4096
# The agent may wait for memory and packs what it was given before it answers.
_TIMEOUT_S = 30.0


class Refused(Exception):
    """The agent could not do what was asked; `code` is a stable word."""

    _words = {
        "malformed": "the agent did not understand the request",
        "version": "the agent speaks another version of the protocol",
        "bounds": "a size, a rectangle or a contrast is out of bounds",
        "no_room": "the slices on show leave no memory for this one",
        "no_slice": "there is no slice to move, or not to there",
        "too_many": "too many programs show slices or marks already",
    }

    def __init__(self, code: str) -> None:
        super().__init__(self._words.get(code, code))
        self.code = code


class Gone(Exception):
    """The agent has gone."""


def socket_path() -> Optional[str]:
    """Where the agent listens; None outside a Beamdesk desktop."""
    return os.environ.get("BEAMDESK_SOCKET") or None


class Link:
    """One connection. What was shown over it goes with it."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_TIMEOUT_S)
            self._socket.connect(path)
            try:
                answer = self.ask({"type": "hello", "version": VERSION})
            except Gone as error:
                raise ConnectionError(str(error)) from error
        except BaseException:
            self._socket.close()
            raise
        self.screen = (answer["width"], answer["height"])

    def ask(self, header: dict, data: bytes = b"") -> dict:
        """Says something and gives the answer."""
        text = json.dumps(header, allow_nan=False).encode()
        with self._lock:
            try:
                self._socket.sendall(_LENGTHS.pack(len(text), len(data)) + text)
                self._socket.sendall(data)
                answer = self._answer()
            except (OSError, ValueError) as error:
                # In the middle of a message nothing that follows could be understood.
                self._socket.close()
                raise Gone(f"the agent has gone: {error}") from error
        if answer.get("type") == "refused":
            raise Refused(str(answer.get("code")))
        return answer

    def close(self) -> None:
        self._socket.close()

    def _answer(self) -> dict:
        length, more = _LENGTHS.unpack(self._read(_LENGTHS.size))
        if length > _ANSWER_BYTES_MAX or more:
            raise ValueError("an answer that is too long")
        answer = json.loads(self._read(length))
        if not isinstance(answer, dict):
            raise ValueError("an answer that is no object")
        return answer

    def _read(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = self._socket.recv(length - len(parts))
            if not part:
                raise ConnectionError("it closed the connection")
            parts += part
        return bytes(parts)
