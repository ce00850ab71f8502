"""What viewers are told of an image that matplotlib draws."""

import unittest
from unittest import mock

try:
    import matplotlib
    import numpy

    matplotlib.use("Agg")
    from matplotlib import pyplot

    import beamdesk.matplotlib
except ImportError:
    pyplot = None

from tests.agent import Agent


class Screen:
    """A canvas whose upper left corner is somewhere on a screen."""

    at = (100, 50)

    def corner(self):
        return self.at

    def scale(self):
        return 1.0


@unittest.skipIf(pyplot is None, "matplotlib is not installed")
class Following(unittest.TestCase):
    def setUp(self):
        self.agent = Agent()
        self.agent.__enter__()
        self.addCleanup(self.agent.__exit__)
        self.screen = Screen()
        patch = mock.patch("beamdesk.matplotlib._screen_of", lambda *_: self.screen)
        patch.start()
        self.addCleanup(patch.stop)
        # Axes of 200 x 160 pixels whose lower left is at 80, 60 of a canvas of 400 x 300.
        self.figure = pyplot.figure(figsize=(4, 3), dpi=100)
        self.addCleanup(pyplot.close, self.figure)
        self.axes = self.figure.add_axes((0.2, 0.2, 0.5, 160 / 300))
        self.values = numpy.arange(80 * 100, dtype="u2").reshape(80, 100)

    def image(self, **options):
        image = self.axes.imshow(self.values, vmin=1000, vmax=2999, aspect="auto", **options)
        self.follower = beamdesk.matplotlib.follow(image)
        self.addCleanup(self.follower.close)
        return image

    def last(self):
        return self.agent.heard[-1]

    def test_the_whole_image(self):
        self.image()
        request, data = self.last()
        self.assertEqual(request["type"], "slice")
        # From above: 300 − 60 − 160.
        self.assertEqual(request["rect"], {"x": 180, "y": 130, "width": 200, "height": 160})
        self.assertEqual((request["columns"], request["rows"]), (100, 80))
        self.assertEqual((request["window"], request["level"]), (2000, 2000))
        self.assertEqual(data, self.values.tobytes())

    def test_a_part_of_it_is_only_whole_pixels_within_the_axes(self):
        image = self.image()
        # Of columns 10 to 29 and rows 20 to 39 those at the edges are cut.
        self.axes.set_xlim(9.9, 29.9)
        self.axes.set_ylim(39.9, 19.9)
        self.figure.canvas.draw()
        request, data = self.last()
        self.assertEqual((request["columns"], request["rows"]), (19, 19))
        self.assertEqual(data, self.values[21:40, 11:30].tobytes())
        (x, y, width, height), _ = beamdesk.matplotlib.visible_part(image)
        self.assertGreaterEqual(x, 80 - 0.01)
        self.assertLessEqual(x + width, 280.01)
        self.assertGreaterEqual(y, 60 - 0.01)
        self.assertLessEqual(y + height, 220.01)
        # Away from all of it, nothing is shown.
        self.axes.set_xlim(500, 600)
        self.figure.canvas.draw()
        self.assertEqual(self.last()[0], {"type": "hide"})

    def test_an_image_from_below_is_turned_over(self):
        self.image(origin="lower")
        self.assertEqual(self.last()[1], self.values[::-1].tobytes())
        self.axes.set_ylim(-0.5, 9.5)
        self.figure.canvas.draw()
        self.assertEqual(self.last()[1], self.values[:10][::-1].tobytes())

    def test_other_contrast_and_place_send_no_values(self):
        image = self.image()
        image.set_clim(0, 99)
        self.figure.canvas.draw()
        request, data = self.last()
        self.assertEqual((request["type"], data), ("move", b""))
        self.assertEqual((request["window"], request["level"]), (100, 50))
        self.screen.at = (0, 0)
        self.follower.refresh()
        self.assertEqual(self.last()[0]["rect"]["x"], 80)
        heard = len(self.agent.heard)
        self.figure.canvas.draw()
        self.assertEqual(len(self.agent.heard), heard, "nothing changed, nothing is said")

    def test_paging_sends_the_next_slice(self):
        image = self.image()
        image.set_data(self.values[::-1].copy())
        self.figure.canvas.draw()
        self.assertEqual(self.last()[1], self.values[::-1].tobytes())

    def test_a_window_that_is_covered_is_left_to_the_screen(self):
        self.image()
        self.screen.at = None
        self.screen.corner = lambda: None
        self.follower.refresh()
        self.assertEqual(self.last()[0], {"type": "hide"})
        del self.screen.corner
        self.screen.at = (1, 1)
        self.follower.refresh()
        self.assertEqual(self.last()[0]["type"], "slice")

    def test_it_ends_with_its_figure(self):
        self.image()
        pyplot.close(self.figure)
        self.figure.canvas.callbacks.process("close_event", None)
        self.agent.until(lambda heard: None in heard)


if __name__ == "__main__":
    unittest.main()
