"""What arrays become on their way, with and without NumPy."""

import sys
import unittest
from array import array

from beamdesk._values import values_of

try:
    import numpy
except ImportError:
    numpy = None


def meant(values):
    """The values that a viewer shows."""
    stored = array("H", values.data)
    if sys.byteorder == "big":
        stored.byteswap()
    return [value + values.offset for value in stored]


def grid(kind, numbers, columns):
    flat = array(kind, numbers)
    return memoryview(flat).cast("B").cast(kind, (len(numbers) // columns, columns))


class Arrays(unittest.TestCase):
    def test_all_kinds_keep_their_values(self):
        for kind, numbers in [
            ("H", [0, 1, 255, 256, 65534, 65535]),
            ("h", [-32768, -1, 0, 1, 255, 32767]),
            ("B", [0, 1, 2, 127, 128, 255]),
            ("b", [-128, -1, 0, 1, 2, 127]),
        ]:
            with self.subTest(kind):
                values = values_of(grid(kind, numbers, 3))
                self.assertEqual((values.columns, values.rows), (3, 2))
                self.assertEqual(meant(values), numbers)

    def test_rows_may_be_given_one_by_one(self):
        values = values_of([array("h", [1, -2, 3]), array("h", [4, 5, -6])])
        self.assertEqual((values.columns, values.rows), (3, 2))
        self.assertEqual(meant(values), [1, -2, 3, 4, 5, -6])

    def test_what_would_not_be_exact_is_refused(self):
        for kind in "IiLlQqfd":
            with self.subTest(kind), self.assertRaisesRegex(TypeError, "would not be exact"):
                values_of(grid(kind, [1, 2, 3, 4], 2))

    def test_other_shapes_are_refused(self):
        flat = array("H", range(8))
        cube = memoryview(flat).cast("B").cast("H", (2, 2, 2))
        for what in (flat, cube):
            with self.assertRaisesRegex(ValueError, "two dimensions"):
                values_of(what)
        with self.assertRaisesRegex(ValueError, "8192"):
            values_of(grid("B", bytes(8193), 8193))
        with self.assertRaisesRegex(ValueError, "one length"):
            values_of([array("H", [1]), array("H", [1, 2])])
        with self.assertRaises(ValueError):
            values_of([])
        with self.assertRaises((TypeError, ValueError)):
            values_of("text")


@unittest.skipIf(numpy is None, "NumPy is not installed")
class NumPy(unittest.TestCase):
    def test_views_and_byte_orders(self):
        whole = numpy.arange(60, dtype="u2").reshape(6, 10) * 1000
        for what in (whole, whole[::2, 1:7:3], whole.T, whole[::-1], whole.astype(">u2")):
            values = values_of(what)
            self.assertEqual((values.rows, values.columns), what.shape)
            self.assertEqual(meant(values), what.ravel().tolist())
        signed = (whole.astype("i4") - 30000).astype(">i2")
        self.assertEqual(meant(values_of(signed)), signed.ravel().tolist())
        self.assertEqual(meant(values_of(whole > 30000)), (whole > 30000).ravel().tolist())

    def test_masked_arrays(self):
        masked = numpy.ma.masked_less(numpy.arange(6, dtype="u2").reshape(2, 3), 2)
        self.assertEqual(meant(values_of(masked)), [0, 1, 2, 3, 4, 5])

    def test_floats_are_refused(self):
        with self.assertRaisesRegex(TypeError, "would not be exact"):
            values_of(numpy.zeros((2, 2)))


if __name__ == "__main__":
    unittest.main()
