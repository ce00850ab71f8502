//! A region of a picture as the planes that video encoders take.

use yuv::{
    BufferStoreMut, YuvConversionMode, YuvError, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    bgra_to_gbr, bgra_to_yuv420, bgra_to_yuv444,
};

use crate::geometry::Rect;
use crate::picture::Picture;
use crate::video::PlaneFormat;

/// Rows begin this far apart at least: SIMD code likes whole cache lines.
const STRIDE_STEP: usize = 64;

/// Three planes of 8 bit, full range. Sides are even: an odd edge of the region is there twice.
#[derive(Debug, Clone)]
pub struct Planes {
    format: PlaneFormat,
    width: u16,
    height: u16,
    planes: [Plane; 3],
    /// The last rows of the region, of even number.
    tail: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Plane {
    bytes: Vec<u8>,
    stride: usize,
}

impl Plane {
    fn black(width: usize, height: usize) -> Self {
        let stride = width.next_multiple_of(STRIDE_STEP);
        Self { bytes: vec![0; stride * height], stride }
    }
}

impl Planes {
    /// For regions of this size.
    pub fn new(format: PlaneFormat, width: u16, height: u16) -> Self {
        let (columns, rows) = (even(width), even(height));
        let whole = || Plane::black(columns, rows);
        let half = || Plane::black(columns / 2, rows / 2);
        let planes = match format {
            PlaneFormat::I420 => [whole(), half(), half()],
            PlaneFormat::I444 | PlaneFormat::Gbr => [whole(), whole(), whole()],
        };
        Self { format, width, height, planes, tail: Vec::new() }
    }

    pub fn format(&self) -> PlaneFormat {
        self.format
    }

    /// Of the region: the first plane is one wider where this is odd.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Of the region: the first plane is one higher where this is odd.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// Samples of a plane, row by row, and how far apart rows begin.
    pub fn plane(&self, index: usize) -> (&[u8], usize) {
        let plane = &self.planes[index];
        (&plane.bytes, plane.stride)
    }

    /// Takes in a region of the size that these planes are for; whatever of it lies outside of the
    /// picture keeps what it was.
    pub fn fill(&mut self, picture: &Picture, region: Rect) {
        let region = Rect { width: self.width, height: self.height, ..region };
        let region = region.clipped(picture.size());
        if region.is_empty() {
            return;
        }
        // The converter wants whole strides, which the last rows of a picture need not have.
        let body = (usize::from(region.height) - 1) / 2 * 2;
        let stride = picture.size().stride();
        let start = usize::from(region.y) * stride + usize::from(region.x) * 4;
        self.convert(0, body, &picture.pixels()[start..], stride, region.width);
        let tail = self.gather_tail(picture, region, body);
        self.convert(body, 2, &tail, usize::from(region.width) * 4, region.width);
        self.tail = tail;
        self.repeat_column(usize::from(region.width));
    }

    /// The last one or two rows as two rows without gaps.
    fn gather_tail(&mut self, picture: &Picture, region: Rect, body: usize) -> Vec<u8> {
        let mut tail = std::mem::take(&mut self.tail);
        tail.clear();
        for y in [body, usize::from(region.height) - 1] {
            tail.extend_from_slice(picture.raw().row(region, y));
        }
        tail
    }

    /// Rows from `from`, an even number of them.
    fn convert(&mut self, from: usize, rows: usize, bgrx: &[u8], stride: usize, width: u16) {
        if rows == 0 {
            return;
        }
        let halves = match self.format {
            PlaneFormat::I420 => 2,
            PlaneFormat::I444 | PlaneFormat::Gbr => 1,
        };
        let [y, u, v] = &mut self.planes;
        let (y_stride, u_stride, v_stride) = (y.stride, u.stride, v.stride);
        let mut image = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(&mut y.bytes[from * y_stride..]),
            y_stride: number(y_stride),
            u_plane: BufferStoreMut::Borrowed(&mut u.bytes[from / halves * u_stride..]),
            u_stride: number(u_stride),
            v_plane: BufferStoreMut::Borrowed(&mut v.bytes[from / halves * v_stride..]),
            v_stride: number(v_stride),
            width: width.into(),
            height: number(rows),
        };
        let stride = number(stride);
        let (range, matrix) = (YuvRange::Full, YuvStandardMatrix::Bt709);
        let mode = YuvConversionMode::Professional;
        let done: Result<(), YuvError> = match self.format {
            PlaneFormat::I420 => bgra_to_yuv420(&mut image, bgrx, stride, range, matrix, mode),
            PlaneFormat::I444 => bgra_to_yuv444(&mut image, bgrx, stride, range, matrix, mode),
            PlaneFormat::Gbr => bgra_to_gbr(&mut image, bgrx, stride, range),
        };
        done.expect("planes and rows are as large as they were made");
    }

    /// Makes an odd width even. Halved planes need nothing: their last column is half outside.
    fn repeat_column(&mut self, width: usize) {
        if width.is_multiple_of(2) {
            return;
        }
        let whole = match self.format {
            PlaneFormat::I420 => &mut self.planes[..1],
            PlaneFormat::I444 | PlaneFormat::Gbr => &mut self.planes[..],
        };
        for plane in whole {
            for row in plane.bytes.chunks_exact_mut(plane.stride) {
                row[width] = row[width - 1];
            }
        }
    }
}

/// The next even number.
pub(crate) fn even(side: u16) -> usize {
    usize::from(side).next_multiple_of(2)
}

fn number(of: usize) -> u32 {
    u32::try_from(of).expect("sides of a picture fit 16 bit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::trial::picture;

    /// Rows of a plane without what lies between them.
    fn rows(planes: &Planes, index: usize, width: usize, height: usize) -> Vec<Vec<u8>> {
        let (bytes, stride) = planes.plane(index);
        bytes.chunks(stride).take(height).map(|row| row[..width].to_vec()).collect()
    }

    fn noisy(width: u16, height: u16) -> Picture {
        let byte = |x: usize, y: usize, salt: usize| {
            let mixed = (x * 31 + y * 17 + salt).wrapping_mul(2_654_435_761) >> 7;
            u8::try_from(mixed % 256).unwrap()
        };
        picture(width, height, |x, y| [byte(x, y, 1), byte(x, y, 2), byte(x, y, 3)])
    }

    #[test]
    fn each_grey_is_its_own_luma_and_has_no_colour() {
        let ramp = picture(256, 64, |x, _| [u8::try_from(x).unwrap(); 3]);
        for format in [PlaneFormat::I420, PlaneFormat::I444] {
            let mut planes = Planes::new(format, 256, 64);
            planes.fill(&ramp, ramp.size().rect());
            let greys: Vec<u8> = (0..=255).collect();
            assert!(rows(&planes, 0, 256, 64).iter().all(|row| *row == greys));
            for chroma in [1, 2] {
                let (columns, lines) =
                    if format == PlaneFormat::I420 { (128, 32) } else { (256, 64) };
                let seen = rows(&planes, chroma, columns, lines);
                assert!(seen.iter().flatten().all(|&value| value == 128), "{format:?}");
            }
        }
    }

    /// BT.709 in floating point (ITU-R BT.709, 3.2 and 3.3), full range.
    #[test]
    fn colours_are_those_of_the_standard_within_rounding() {
        let size = (320, 192);
        let picture = noisy(size.0, size.1);
        let mut planes = Planes::new(PlaneFormat::I444, size.0, size.1);
        planes.fill(&picture, picture.size().rect());
        let seen = [0, 1, 2].map(|index| rows(&planes, index, 320, 192).concat());
        for (at, pixel) in picture.pixels().chunks_exact(4).enumerate() {
            let [blue, green, red] = [0, 1, 2].map(|index| f64::from(pixel[index]));
            let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
            let wanted = [luma, 128.0 + (blue - luma) / 1.8556, 128.0 + (red - luma) / 1.5748];
            for (wanted, seen) in wanted.into_iter().zip(&seen) {
                assert!((wanted.min(255.0) - f64::from(seen[at])).abs() <= 1.0, "pixel {at}");
            }
        }
    }

    #[test]
    fn planes_of_primary_colours_are_the_pixels() {
        let picture = noisy(97, 65);
        let mut planes = Planes::new(PlaneFormat::Gbr, 97, 65);
        planes.fill(&picture, picture.size().rect());
        for (index, channel) in [1, 0, 2].into_iter().enumerate() {
            let wanted: Vec<u8> =
                picture.pixels().chunks_exact(4).map(|pixel| pixel[channel]).collect();
            assert_eq!(rows(&planes, index, 97, 65).concat(), wanted);
        }
    }

    #[test]
    fn a_region_is_the_same_wherever_it_lies_in_the_picture() {
        let whole = noisy(260, 190);
        for format in [PlaneFormat::I420, PlaneFormat::I444, PlaneFormat::Gbr] {
            for (width, height) in [(68, 70), (67, 65), (65, 64), (132, 67)] {
                let region = Rect { x: 260 - width, y: 190 - height, width, height };
                let part = picture(width, height, |x, y| {
                    let at = (usize::from(region.y) + y) * 260 + usize::from(region.x) + x;
                    let pixel = &whole.pixels()[at * 4..];
                    [pixel[0], pixel[1], pixel[2]]
                });
                let mut corner = Planes::new(format, width, height);
                corner.fill(&whole, region);
                let mut alone = Planes::new(format, width, height);
                alone.fill(&part, part.size().rect());
                for index in 0..3 {
                    assert!(corner.plane(index) == alone.plane(index), "{format:?} {region:?}");
                }
            }
        }
    }

    #[test]
    fn odd_edges_are_there_twice() {
        let picture = noisy(67, 65);
        let mut planes = Planes::new(PlaneFormat::I420, 67, 65);
        planes.fill(&picture, picture.size().rect());
        let luma = rows(&planes, 0, 68, 66);
        assert_eq!(luma[65], luma[64]);
        assert!(luma.iter().all(|row| row[67] == row[66]));
        assert!(rows(&planes, 1, 34, 33).iter().all(|row| row[33] != 0 || row[32] != 0));
    }

    #[test]
    fn what_lies_outside_of_the_picture_is_left_alone() {
        let picture = noisy(64, 64);
        let mut planes = Planes::new(PlaneFormat::I420, 64, 64);
        planes.fill(&picture, Rect { x: 32, y: 63, width: 64, height: 64 });
        planes.fill(&picture, Rect { x: 64, y: 64, width: 64, height: 64 });
        assert!(rows(&planes, 0, 64, 64)[2..].iter().flatten().all(|&value| value == 0));
    }
}
