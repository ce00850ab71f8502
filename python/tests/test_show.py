"""What the package says to an agent, and what it does without one."""

import os
import unittest
import warnings
from array import array

import beamdesk
from tests.agent import Agent

SLICE = [array("H", [1, 2, 3]), array("H", [4, 5, 65535])]
DATA = bytes([1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 255, 255])
RECT = {"x": 10, "y": -20, "width": 300, "height": 200}


class OnADesktop(unittest.TestCase):
    def setUp(self):
        self.agent = Agent()
        self.agent.__enter__()
        self.addCleanup(self.agent.__exit__)

    def shown(self, picture):
        self.addCleanup(picture.close)
        return picture

    def test_a_slice_is_shown_paged_moved_hidden_and_taken_away(self):
        self.assertTrue(beamdesk.available())
        picture = beamdesk.show(SLICE, (10, -20, 300, 200), window=(400, 40.5))
        picture.update([array("h", [-1, 7])])
        picture.move(rect=(1, 2, 3, 4))
        picture.move(window=(9, 8))
        picture.hide()
        picture.close()
        picture.close()
        self.agent.until(lambda heard: None in heard)
        contrast = {"window": 400, "level": 40.5}
        place = {"rect": RECT, "columns": 3, "rows": 2, "offset": 0}
        small = {"rect": RECT, "columns": 2, "rows": 1, "offset": -32768}
        moved = {"x": 1, "y": 2, "width": 3, "height": 4}
        self.assertEqual(
            self.agent.heard,
            [
                ({"type": "slice", **place, **contrast}, DATA),
                ({"type": "slice", **small, **contrast}, bytes([0xFF, 0x7F, 7, 0x80])),
                ({"type": "move", "rect": moved}, b""),
                ({"type": "move", "window": 9, "level": 8}, b""),
                ({"type": "hide"}, b""),
                None,
            ],
        )

    def test_without_a_window_none_is_sent(self):
        with beamdesk.show(SLICE, (10, -20, 300, 200)):
            pass
        self.agent.until(lambda heard: None in heard)
        self.assertNotIn("window", self.agent.heard[0][0])

    def test_a_mark_lasts_as_long_as_its_block(self):
        with beamdesk.mark((10, -20, 300, 200)) as mark:
            mark.move((0, 0, 5, 5))
            self.agent.until(lambda heard: len(heard) == 2)
            self.assertEqual(self.agent.heard[0], ({"type": "mark", "rect": RECT}, b""))
        self.agent.until(lambda heard: None in heard)

    def test_waiting_ends_when_every_viewer_is_exact(self):
        self.agent.answers["state"] = [
            {"type": "state", "viewers": viewers, "exact": exact}
            for viewers, exact in [(0, 0), (2, 0), (2, 1), (2, 2)]
        ]
        picture = self.shown(beamdesk.show(SLICE, (0, 0, 3, 2)))
        self.assertTrue(picture.wait_exact())
        self.agent.answers["state"] = {"type": "state", "viewers": 1, "exact": 0}
        self.assertEqual(picture.state(), beamdesk.State(viewers=1, exact=0))
        self.assertFalse(picture.wait_exact(timeout=0.05))

    def test_a_refusal_is_an_error_and_the_link_lives_on(self):
        self.agent.answers["slice"] = [
            {"type": "refused", "code": "no_room"},
            {"type": "refused", "code": "of_tomorrow"},
            {"type": "done"},
        ]
        picture = self.shown(beamdesk.Picture((0, 0, 1, 1)))
        with self.assertRaisesRegex(beamdesk.Refused, "no memory") as caught:
            picture.update(SLICE)
        self.assertEqual(caught.exception.code, "no_room")
        with self.assertRaisesRegex(beamdesk.Refused, "of_tomorrow"):
            picture.update(SLICE)
        picture.update(SLICE)
        self.assertTrue(picture.is_linked)

    def test_an_agent_that_goes_is_told_once_and_harms_nobody(self):
        self.agent.answers["hide"] = None
        picture = self.shown(beamdesk.show(SLICE, (0, 0, 3, 2)))
        with self.assertWarnsRegex(beamdesk.NotOnDesktop, "has gone"):
            picture.hide()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            picture.update(SLICE)
            picture.move(rect=(0, 0, 1, 1))
            self.assertEqual(picture.state(), beamdesk.State(0, 0))
            self.assertFalse(picture.wait_exact())

    def test_answers_that_make_no_sense_end_the_link(self):
        for answer in ([], {"type": "done", "more": "x" * 5000}):
            self.agent.answers["hide"] = [answer]
            picture = self.shown(beamdesk.Picture((0, 0, 1, 1)))
            with self.assertWarns(beamdesk.NotOnDesktop):
                picture.hide()
            self.assertFalse(picture.is_linked)

    def test_a_number_that_is_none_is_not_sent(self):
        picture = self.shown(beamdesk.Picture((0, 0, 1, 1)))
        with self.assertRaises(ValueError):
            picture.move(window=(float("nan"), 1))
        self.assertTrue(picture.is_linked)


class Elsewhere(unittest.TestCase):
    def test_nothing_is_done_and_that_is_said(self):
        before = os.environ.pop("BEAMDESK_SOCKET", None)
        try:
            self.assertFalse(beamdesk.available())
            with self.assertWarnsRegex(beamdesk.NotOnDesktop, "not on a Beamdesk desktop"):
                picture = beamdesk.show(SLICE, (0, 0, 3, 2))
            self.assertFalse(picture.is_linked)
            picture.update(SLICE)
            self.assertFalse(picture.wait_exact())
            with self.assertRaises(TypeError):
                picture.update([[1.5]])  # A mistake is told even here.
            os.environ["BEAMDESK_SOCKET"] = "/nowhere/at/all"
            with self.assertWarnsRegex(beamdesk.NotOnDesktop, "/nowhere/at/all"):
                beamdesk.mark((0, 0, 1, 1)).close()
        finally:
            os.environ.pop("BEAMDESK_SOCKET", None)
            if before is not None:
                os.environ["BEAMDESK_SOCKET"] = before


if __name__ == "__main__":
    unittest.main()
