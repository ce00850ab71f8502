"""Filter and weigher over the socket of a real portal: run by a test of the portal's, which says where
it listens. It has three nodes `sim-001` to `sim-003` with one card each; one desktop holds a card."""

import os
import unittest

from tests import nova_here

from beamdesk_nova.ask import Refused, ask
from beamdesk_nova.options import CONF
from beamdesk_nova.wish import wish

PATH = os.environ["BEAMDESK_ASK_SOCKET"]
DESKTOP = os.environ["BEAMDESK_ASK_DESKTOP"]
NODES = ("sim-001", "sim-002", "sim-003")
CARD = {"heps:gpu_num": "1", "heps:gpu_mem_mib": "40000", "heps:gpu_model": "RTX A6000|A40"}


class RealPortalTest(unittest.TestCase):
    def setUp(self):
        CONF.set_override("socket", PATH, "beamdesk")
        CONF.set_override("deadline_ms", 5000, "beamdesk")

    def test_a_host_without_a_free_card_does_not_pass(self):
        hosts = nova_here.hosts(*NODES, "elsewhere")
        free = nova_here.filtered(hosts, nova_here.spec(CARD))
        self.assertEqual(len(free), 3, free)
        self.assertIn("elsewhere", free)
        large = nova_here.spec({**CARD, "heps:gpu_mem_mib": "50000"})
        self.assertEqual(nova_here.filtered(hosts, large), ["elsewhere"])

    def test_the_order_of_nova_is_that_of_the_portal(self):
        hosts = nova_here.hosts(*NODES, "elsewhere")
        found = ask(PATH, 5.0, wish(nova_here.spec(CARD)), [host.host for host in hosts])
        ranked = sorted((v.rank, name) for name, v in found.items() if v.rank is not None)
        order = [name for name, _ in nova_here.weighed(hosts, nova_here.spec(CARD))]
        self.assertEqual(order[: len(ranked)], [name for _, name in ranked])
        self.assertEqual(len(ranked), 2)

    def test_a_preferred_host_is_first_and_not_when_the_server_moves(self):
        hosts = nova_here.hosts(*NODES)
        last = nova_here.weighed(hosts, nova_here.spec(CARD))[1][0]
        hints = {"heps_preferred_host": last}
        made = nova_here.weighed(hosts, nova_here.spec(CARD, hints))
        self.assertEqual(made[0][0], last)
        moved = nova_here.weighed(hosts, nova_here.spec(CARD, hints, cell=True))
        self.assertEqual(moved[1][0], last)

    def test_a_desktop_may_have_its_own_card_and_nobody_else_and_faults_are_named(self):
        hosts = nova_here.hosts(*NODES)
        own = nova_here.spec(CARD, {"heps_desktop": DESKTOP}, cell=True)
        self.assertEqual(nova_here.filtered(hosts, own), list(NODES))
        self.assertEqual(len(nova_here.filtered(hosts, nova_here.spec(CARD))), 2)
        bad = wish(nova_here.spec({"heps:gpu_num": "65"}))
        with self.assertRaisesRegex(Refused, "heps:gpu_num"):
            ask(PATH, 5.0, bad, NODES)
