"""A portal for tests: keeps what it was asked, and answers as it is told to."""

import json
import os
import socket
import tempfile
import threading


class Portal:
    def __init__(self, answer):
        """`answer` makes of a question what to send: bytes, something for JSON, or nothing at all."""
        self.asked = []
        self._answer = answer
        self._folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._folder.name, "sched.sock")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._ends = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._listener.close()
        self._folder.cleanup()

    def _accept(self):
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        with link, link.makefile("rb") as lines:
            for line in lines:
                question = json.loads(line)
                self.asked.append(question)
                answer = self._answer(question)
                if answer is None:
                    self._ends.wait(10)
                    return
                if not isinstance(answer, bytes):
                    answer = json.dumps(answer).encode() + b"\n"
                try:
                    link.sendall(answer)
                except OSError:
                    return
                if not answer.endswith(b"\n"):
                    return


def ranked(*best, refused=None, unknown=()):
    """Answers with this order; `refused` are reasons by name."""
    refused = refused or {}

    def answer(question):
        asked = set(question["hosts"])
        order = {name: rank for rank, name in enumerate(one for one in best if one in asked)}

        def host(name):
            if name in refused:
                return {"name": name, "passes": False, "reason": refused[name], "rank": None}
            if name in unknown:
                return {"name": name, "passes": True, "reason": "unknown", "rank": None}
            return {"name": name, "passes": True, "rank": order[name]}

        return {"v": 1, "hosts": [host(name) for name in question["hosts"]]}

    return answer
