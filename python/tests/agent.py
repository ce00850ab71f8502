"""An agent for tests: takes what a program says apart, and answers as it is told to."""

import json
import os
import socket
import struct
import tempfile
import threading


class Agent:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "socket")
        self.heard = []
        """Header and data of each request but the greeting, and None where a program went."""
        self.answers = {}
        """What to answer instead of `done`, by type; a list is answered one by one."""
        self.news = threading.Condition()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        self._before = os.environ.get("BEAMDESK_SOCKET")
        os.environ["BEAMDESK_SOCKET"] = self.path
        return self

    def __exit__(self, *_):
        if self._before is None:
            del os.environ["BEAMDESK_SOCKET"]
        else:
            os.environ["BEAMDESK_SOCKET"] = self._before
        self._listener.close()
        self.folder.cleanup()

    def until(self, holds):
        with self.news:
            if not self.news.wait_for(lambda: holds(self.heard), timeout=10):
                raise AssertionError(f"heard only {self.heard}")

    def _accept(self):
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        with link:
            while True:
                lengths = _read(link, 8)
                if lengths is None:
                    self._hear(None)
                    return
                header, data = struct.unpack("<II", lengths)
                request = json.loads(_read(link, header))
                body = _read(link, data)
                answer = self._answer(request)
                if request["type"] != "hello":
                    self._hear((request, body))
                if answer is None:
                    return
                text = json.dumps(answer).encode()
                link.sendall(struct.pack("<II", len(text), 0) + text)

    def _hear(self, what):
        with self.news:
            self.heard.append(what)
            self.news.notify_all()

    def _answer(self, request):
        kind = request["type"]
        default = {"type": "done"}
        if kind == "hello":
            default = {"type": "hello", "version": 1, "width": 1920, "height": 1080}
        answer = self.answers.get(kind, default)
        return answer.pop(0) if isinstance(answer, list) else answer


def _read(link, length):
    out = b""
    while len(out) < length:
        try:
            part = link.recv(length - len(out))
        except OSError:
            return None
        if not part:
            return None
        out += part
    return out
