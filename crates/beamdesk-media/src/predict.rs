//! Planes of an area and the MED predictor of LOCO-I.

use crate::geometry::Area;

/// Edge of a plane with a column of zeros to the left and a row of zeros above.
const EDGE: usize = 65;

/// One byte for each pixel of an area, with zeros around it as the predictor wants them.
pub(crate) struct Plane {
    bytes: [u8; EDGE * EDGE],
    width: usize,
    height: usize,
}

impl Plane {
    pub(crate) fn zero(area: Area) -> Self {
        let (width, height) = (area.width.into(), area.height.into());
        Self { bytes: [0; EDGE * EDGE], width, height }
    }

    #[inline]
    pub(crate) fn row(&self, y: usize) -> &[u8] {
        let start = (y + 1) * EDGE + 1;
        &self.bytes[start..start + self.width]
    }

    #[inline]
    pub(crate) fn row_mut(&mut self, y: usize) -> &mut [u8] {
        let start = (y + 1) * EDGE + 1;
        &mut self.bytes[start..start + self.width]
    }

    /// Appends the pixels as they are, row by row.
    pub(crate) fn write_raw(&self, out: &mut Vec<u8>) {
        for y in 0..self.height {
            out.extend_from_slice(self.row(y));
        }
    }

    /// Appends the difference of each pixel to its prediction, row by row.
    pub(crate) fn write_med(&self, out: &mut Vec<u8>) {
        let width = self.width;
        for y in 0..self.height {
            let above = &self.bytes[y * EDGE..][..width + 1];
            let here = &self.bytes[(y + 1) * EDGE..][..width + 1];
            let end = out.len();
            out.resize(end + width, 0);
            let (above_left, above) = (&above[..width], &above[1..]);
            let (left, here) = (&here[..width], &here[1..]);
            for (x, rest) in out[end..].iter_mut().enumerate() {
                *rest = here[x].wrapping_sub(med(left[x], above[x], above_left[x]));
            }
        }
    }

    /// The plane of these bytes, row by row.
    pub(crate) fn from_raw(area: Area, bytes: &[u8]) -> Self {
        let mut plane = Self::zero(area);
        for (y, row) in bytes.chunks_exact(area.width.into()).take(plane.height).enumerate() {
            plane.row_mut(y).copy_from_slice(row);
        }
        plane
    }

    /// The plane whose [`Self::write_med`] gave these bytes.
    pub(crate) fn from_med(area: Area, bytes: &[u8]) -> Self {
        let mut plane = Self::zero(area);
        for (y, row) in bytes.chunks_exact(area.width.into()).take(plane.height).enumerate() {
            for (x, rest) in row.iter().enumerate() {
                let above_left = y * EDGE + x;
                let left = above_left + EDGE;
                let prediction =
                    med(plane.bytes[left], plane.bytes[above_left + 1], plane.bytes[above_left]);
                plane.bytes[left + 1] = rest.wrapping_add(prediction);
            }
        }
        plane
    }
}

/// Left, above, and above left of the pixel to guess.
#[inline]
fn med(a: u8, b: u8, c: u8) -> u8 {
    let (low, high) = (a.min(b), a.max(b));
    let slope = a.wrapping_add(b).wrapping_sub(c);
    if c >= high {
        low
    } else if c <= low {
        high
    } else {
        slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prediction_is_that_of_loco_i() {
        // Weinberger, Seroussi, Sapiro: The LOCO-I lossless image compression algorithm, eq. 1.
        for (a, b, c, expected) in [
            (10, 20, 25, 10),
            (10, 20, 20, 10),
            (10, 20, 5, 20),
            (10, 20, 10, 20),
            (10, 20, 13, 17),
            (200, 250, 225, 225),
        ] {
            assert_eq!(med(a, b, c), expected, "a {a} b {b} c {c}");
            assert_eq!(med(b, a, c), expected, "a {b} b {a} c {c}");
        }
    }

    #[test]
    fn a_plane_comes_back_from_its_residuals() {
        for (width, height) in [(64, 64), (1, 1), (1, 64), (64, 1), (17, 5)] {
            let area = Area { x: 0, y: 0, width, height };
            let mut plane = Plane::zero(area);
            let mut state = 1_u32;
            for y in 0..height.into() {
                for byte in plane.row_mut(y) {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *byte = state.to_be_bytes()[0];
                }
            }
            let (mut raw, mut residuals) = (Vec::new(), Vec::new());
            plane.write_raw(&mut raw);
            plane.write_med(&mut residuals);
            assert_eq!((raw.len(), residuals.len()), (area.pixels(), area.pixels()));
            assert!(Plane::from_raw(area, &raw).bytes == plane.bytes);
            assert!(Plane::from_med(area, &residuals).bytes == plane.bytes);
        }
    }
}
