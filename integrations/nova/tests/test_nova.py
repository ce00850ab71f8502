"""Filter and weigher in Nova's own handlers, over a portal of the test."""

import logging
import unittest

from tests import nova_here
from tests.portal import Portal, ranked

import beamdesk_nova.filters
import beamdesk_nova.weights
from beamdesk_nova.core import FAILURES_MAX, PAUSE_S, WARN_EVERY_S, Core
from beamdesk_nova.options import CONF, CORE


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Bed(unittest.TestCase):
    """Each test has its own core, on a clock of its own."""

    def setUp(self):
        self.clock = Clock()
        core = Core(lambda: CONF.beamdesk, self.clock)
        for module in (beamdesk_nova.filters, beamdesk_nova.weights):
            module.CORE = core
            self.addCleanup(setattr, module, "CORE", CORE)
        CONF.set_override("deadline_ms", 5000, "beamdesk")

    def portal(self, answer):
        portal = Portal(answer)
        self.addCleanup(portal.__exit__)
        CONF.set_override("socket", portal.path, "beamdesk")
        return portal


class FilterTest(Bed):
    def test_hosts_that_beamdesk_refuses_do_not_pass(self):
        portal = self.portal(ranked("a", refused={"b": "gpu_memory"}, unknown=["c"]))
        spec = nova_here.spec({"heps:gpu_num": "1"})
        self.assertEqual(nova_here.filtered(nova_here.hosts("a", "b", "c"), spec), ["a", "c"])
        self.assertEqual(len(portal.asked), 1, "one question for all")
        self.assertEqual(portal.asked[0]["request"]["metadata"], {"heps:gpu_num": "1"})

    def test_what_nova_knows_better_is_left_to_nova(self):
        refused = {"a": "vcpus", "b": "memory", "c": "disk", "d": "disabled", "e": "guard"}
        self.portal(ranked(refused=refused))
        found = nova_here.filtered(nova_here.hosts(*"abcde"), nova_here.spec())
        self.assertEqual(found, ["a", "b", "c", "d"])

    def test_when_all_are_refused_the_log_says_why(self):
        self.portal(ranked(refused={"a": "gpus", "b": "station", "c": "gpus"}))
        with self.assertLogs("beamdesk_nova.filters", logging.INFO) as logs:
            self.assertEqual(nova_here.filtered(nova_here.hosts(*"abc"), nova_here.spec()), [])
        self.assertIn("none of 3 hosts (gpus: 2, station: 1)", logs.output[0])

    def test_a_rebuild_is_not_asked_about(self):
        portal = self.portal(ranked(refused={"a": "gpus"}))
        spec = nova_here.spec(hints={"_nova_check_type": "rebuild"})
        self.assertEqual(nova_here.filtered(nova_here.hosts("a"), spec), ["a"])
        self.assertEqual(portal.asked, [])

    def test_one_host_can_be_asked_about_alone(self):
        self.portal(ranked("a", refused={"b": "gpus"}))
        only = beamdesk_nova.filters.BeamdeskFilter()
        passes = [only.host_passes(host, nova_here.spec()) for host in nova_here.hosts("a", "b")]
        self.assertEqual(passes, [True, False])


class WeigherTest(Bed):
    def test_the_best_of_beamdesk_is_the_best_of_nova(self):
        self.portal(ranked("c", "a", "d", unknown=["b"]))
        found = nova_here.weighed(nova_here.hosts(*"abcd"), nova_here.spec())
        self.assertEqual([name for name, _ in found], ["c", "a", "d", "b"])
        self.assertEqual([weight for _, weight in found], [100000.0, 75000.0, 50000.0, 0.0])

    def test_it_outweighs_novas_own_weighers_with_a_thousand_hosts(self):
        names = [f"h{number:04}" for number in range(1000)]
        self.portal(ranked(*names))
        found = nova_here.weighed(nova_here.hosts(*names), nova_here.spec())
        steps = [one - other for (_, one), (_, other) in zip(found, found[1:])]
        self.assertGreater(min(steps), 99.0)
        self.assertLess(found[0][1], 1000000.0)

    def test_an_aggregate_may_weigh_otherwise(self):
        self.portal(ranked("a", "b"))
        hosts = nova_here.hosts("a", "b", multiplier=8)
        self.assertEqual(nova_here.weighed(hosts, nova_here.spec()), [("a", 8.0), ("b", 4.0)])

    def test_a_host_that_is_refused_after_the_filter_is_last(self):
        self.portal(ranked("b", refused={"a": "vcpus"}))
        found = nova_here.weighed(nova_here.hosts("a", "b"), nova_here.spec())
        self.assertEqual([name for name, _ in found], ["b", "a"])


class WithoutBeamdeskTest(Bed):
    def neutral(self):
        hosts = nova_here.hosts("a", "b")
        spec = nova_here.spec({"heps:gpu_num": "1"})
        self.assertEqual(nova_here.filtered(hosts, spec), ["a", "b"])
        self.assertEqual(nova_here.weighed(hosts, spec), [("a", 0.0), ("b", 0.0)])

    def test_all_pass_and_none_is_better(self):
        for answer in (
            lambda _: b"no json\n",
            lambda _: b"{",
            lambda _: {"v": 1, "hosts": []},
            lambda _: {"v": 1, "error": {"code": "invalid", "message": "no"}},
        ):
            self.portal(answer)
            with self.assertLogs("beamdesk_nova.core", logging.WARNING):
                self.neutral()
            self.clock.now += WARN_EVERY_S

    def test_a_request_that_is_odd_harms_nobody(self):
        self.portal(ranked("a", "b"))
        odd = nova_here.Fields(scheduler_hints={}, flavor=None, instance_uuid="x")
        with self.assertLogs("beamdesk_nova.core", logging.WARNING):
            self.assertEqual(nova_here.filtered(nova_here.hosts("a"), odd), ["a"])

    def test_a_minute_has_one_warning_that_counts_the_others(self):
        CONF.set_override("socket", "/nowhere/sched.sock", "beamdesk")
        with self.assertLogs("beamdesk_nova.core", logging.WARNING) as logs:
            for _ in range(3):
                self.neutral()
                self.clock.now += PAUSE_S
            self.clock.now += WARN_EVERY_S
            self.neutral()
        self.assertEqual(len(logs.output), 2, logs.output)
        self.assertRegex(logs.output[1], r"\(\d+ warnings before were not written\)")

    def test_a_beamdesk_that_hangs_is_left_alone_for_a_while_and_then_found_again(self):
        hangs = [True]
        answer = ranked("b", "a")
        portal = self.portal(lambda question: None if hangs[0] else answer(question))
        CONF.set_override("deadline_ms", 50, "beamdesk")
        hosts, spec = nova_here.hosts("a", "b"), nova_here.spec()
        with self.assertLogs("beamdesk_nova.core", logging.WARNING):
            for _ in range(FAILURES_MAX + 5):
                self.assertEqual(nova_here.filtered(hosts, spec), ["a", "b"])
        self.assertLessEqual(len(portal.asked), FAILURES_MAX)
        hangs[0] = False
        CONF.set_override("deadline_ms", 5000, "beamdesk")
        self.assertEqual([name for name, _ in nova_here.weighed(hosts, spec)], ["a", "b"])
        self.clock.now += PAUSE_S
        self.assertEqual([name for name, _ in nova_here.weighed(hosts, spec)], ["b", "a"])

    def test_a_question_that_beamdesk_refuses_is_no_reason_to_leave_it_alone(self):
        fault = {"v": 1, "error": {"code": "invalid", "message": "heps:gpu_num: is at most 64"}}
        portal = self.portal(lambda _: fault)
        with self.assertLogs("beamdesk_nova.core", logging.WARNING) as logs:
            for _ in range(FAILURES_MAX + 2):
                self.neutral()
        self.assertEqual(len(portal.asked), 2 * (FAILURES_MAX + 2))
        self.assertIn("heps:gpu_num: is at most 64", logs.output[0])
