"""What a request of Nova says to Beamdesk."""

import unittest

from tests import nova_here
from beamdesk_nova.wish import is_move, wish


class WishTest(unittest.TestCase):
    def test_the_flavor_says_what_is_needed(self):
        metadata = {"heps:gpu_num": "2", "heps:gpu_model": "A40", "hw:cpu_policy": "dedicated"}
        self.assertEqual(
            wish(nova_here.spec(metadata)),
            {
                "vcpus": 4,
                "memory_mib": 8192,
                "disk_gib": 41,
                "metadata": {"heps:gpu_num": "2", "heps:gpu_model": "A40"},
                "move": False,
            },
        )

    def test_a_server_on_a_volume_has_no_root_disk_of_the_host(self):
        spec = nova_here.spec()
        spec.is_bfv = True
        self.assertEqual(wish(spec)["disk_gib"], 11)

    def test_what_was_never_set_is_none(self):
        flavor = nova_here.Fields(vcpus=1, memory_mb=1, root_gb=1, ephemeral_gb=0, swap=0)
        bare = nova_here.Fields(flavor=flavor)
        self.assertEqual(wish(bare)["metadata"], {})
        self.assertFalse(wish(bare)["move"])

    def test_hints_are_passed_on_if_they_are_words(self):
        hints = {"heps_preferred_host": "a", "heps_station": "b7", "heps_desktop": "d"}
        told = wish(nova_here.spec(hints=hints))
        self.assertEqual((told["preferred_host"], told["station"]), ("a", "b7"))
        self.assertEqual(told["desktop"], "d")
        for odd in ("", "x" * 256):
            self.assertNotIn("station", wish(nova_here.spec(hints={"heps_station": odd})))
        spec = nova_here.spec()
        spec.scheduler_hints = {"heps_station": ["a", "b"]}
        self.assertNotIn("station", wish(spec))

    def test_a_preference_counts_when_the_server_is_made_and_never_again(self):
        hints = {"heps_preferred_host": "a", "heps_station": "b7"}
        for moving in ({"cell": True}, {"ignored": ["a"]}):
            spec = nova_here.spec(hints=hints, **moving)
            told = wish(spec)
            self.assertTrue(is_move(spec) and told["move"])
            self.assertNotIn("preferred_host", told)
            self.assertEqual(told["station"], "b7")
