"""The question over the socket: what comes back, and what is not believed."""

import time
import unittest

from beamdesk_nova.ask import HOSTS_MAX, Refused, Unanswered, Verdict, ask
from tests.portal import Portal, ranked

WISH = {"vcpus": 1, "memory_mib": 1, "disk_gib": 1, "metadata": {}}


def asked(portal, *hosts, deadline_s=5.0):
    return ask(portal.path, deadline_s, WISH, hosts or ("a", "b"))


class AskTest(unittest.TestCase):
    def test_each_host_gets_its_verdict_and_is_asked_about_once(self):
        with Portal(ranked("b", "a", refused={"c": "gpus"}, unknown=["d"])) as portal:
            found = asked(portal, "a", "b", "c", "d", "a")
        self.assertEqual(found["a"], Verdict(True, None, 1))
        self.assertEqual(found["b"], Verdict(True, None, 0))
        self.assertEqual(found["c"], Verdict(False, "gpus", None))
        self.assertEqual(found["d"], Verdict(True, "unknown", None))
        self.assertEqual(portal.asked, [{"v": 1, "request": WISH, "hosts": ["a", "b", "c", "d"]}])

    def test_a_thousand_hosts_are_one_question(self):
        names = [f"compute-{number:04}.example.org" for number in range(1000)]
        with Portal(ranked(*names)) as portal:
            self.assertEqual(asked(portal, *names)[names[-1]].rank, 999)

    def test_who_is_not_there_is_noticed_at_once(self):
        with self.assertRaises(Unanswered):
            ask("/nowhere/sched.sock", 5.0, WISH, ["a"])
        with self.assertRaises(Unanswered):
            ask("x" * 200, 5.0, WISH, ["a"])

    def test_no_answer_is_waited_for_until_the_deadline_and_not_longer(self):
        for answer in (lambda _: None, lambda _: b"{"):
            with Portal(answer) as portal:
                began = time.monotonic()
                with self.assertRaises(Unanswered):
                    asked(portal, deadline_s=0.2)
                self.assertLess(time.monotonic() - began, 2.0)

    def test_a_portal_that_drips_does_not_prolong_the_deadline(self):
        class Dripping(Portal):
            def _serve(self, link):
                with link:
                    link.recv(1 << 16)
                    while not self._ends.wait(0.02):
                        try:
                            link.sendall(b" ")
                        except OSError:
                            return

        with Dripping(None) as portal:
            began = time.monotonic()
            with self.assertRaises(Unanswered):
                asked(portal, deadline_s=0.2)
            self.assertLess(time.monotonic() - began, 2.0)

    def test_what_is_no_answer_is_not_believed(self):
        def host(**changes):
            first = {"name": "a", "passes": True, "reason": None, "rank": 0, **changes}
            return {"v": 1, "hosts": [first, {"name": "b", "passes": True, "rank": 1}]}

        odd = [
            b"no json\n",
            b"\xff\n",
            b"[" * 100_000 + b"\n",
            b"[]\n",
            {"v": 2, "hosts": []},
            {"v": 1},
            {"v": 1, "hosts": {"a": 1}},
            {"v": 1, "hosts": ["a", "b"]},
            {"v": 1, "hosts": []},
            host(name=1),
            host(name="c"),
            host(passes=1),
            host(passes="yes"),
            host(reason=7),
            host(rank=-1),
            host(rank=True),
            host(rank=0.5),
            host(rank=HOSTS_MAX),
        ]
        with Portal(lambda _: host()) as portal:
            self.assertEqual(len(asked(portal)), 2)
        for answer in odd:
            with self.subTest(str(answer)[:80]), Portal(lambda _, told=answer: told) as portal:
                with self.assertRaises(Unanswered):
                    asked(portal)

    def test_an_endless_answer_is_given_up(self):
        with Portal(lambda _: b" " * (5 << 20)) as portal:
            with self.assertRaisesRegex(Unanswered, "too long"):
                asked(portal)

    def test_more_hosts_than_a_question_may_have_are_not_asked_about(self):
        with Portal(ranked()) as portal:
            with self.assertRaises(Unanswered):
                asked(portal, *(str(number) for number in range(HOSTS_MAX + 1)))
            self.assertEqual(portal.asked, [])

    def test_a_refusal_says_what_is_wrong(self):
        fault = {"v": 1, "error": {"code": "invalid", "message": "heps:gpu_num: is at most 64"}}
        with Portal(lambda _: fault) as portal:
            with self.assertRaisesRegex(Refused, "heps:gpu_num: is at most 64"):
                asked(portal)
