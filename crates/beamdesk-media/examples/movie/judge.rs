//! How far what was shown is from what was drawn.

use crate::number::real;

/// Pixels of a window of structural similarity each way, and from one to the next.
const WINDOW: usize = 8;
const STRIDE: usize = 4;

pub(crate) struct Verdict {
    /// Decibels over all three colours; infinite where all are equal.
    pub(crate) psnr: f64,
    pub(crate) ssim: f64,
    /// Pixels that are exactly right, of all.
    pub(crate) exact: f64,
    /// The largest error of a colour.
    pub(crate) worst: u8,
}

/// Mean square of the errors of a picture (RGBX) that should be another (BGRX).
pub(crate) fn error(shown: &[u8], drawn: &[u8]) -> f64 {
    let squares = shown.chunks_exact(4).zip(drawn.chunks_exact(4)).map(|(shown, drawn)| {
        let errors = [0, 1, 2].map(|colour| u32::from(shown[colour].abs_diff(drawn[2 - colour])));
        errors.iter().map(|error| error * error).sum::<u32>()
    });
    float(squares.map(u64::from).sum()) / (3.0 * count(shown.len() / 4))
}

/// Judges a picture (RGBX) by the one that it should be (BGRX).
pub(crate) fn judge(shown: &[u8], drawn: &[u8], width: usize) -> Verdict {
    let (mut exact, mut worst) = (0_u64, 0_u8);
    for (shown, drawn) in shown.chunks_exact(4).zip(drawn.chunks_exact(4)) {
        let errors = [0, 1, 2].map(|colour| shown[colour].abs_diff(drawn[2 - colour]));
        exact += u64::from(errors == [0; 3]);
        worst = errors.into_iter().fold(worst, u8::max);
    }
    let pixels = shown.len() / 4;
    let mean = error(shown, drawn);
    let light = |bytes: &[u8], red: usize| -> Vec<f32> {
        bytes
            .chunks_exact(4)
            .map(|pixel| {
                let [red, green, blue] = [pixel[red], pixel[1], pixel[2 - red]].map(f32::from);
                0.2126 * red + 0.7152 * green + 0.0722 * blue
            })
            .collect()
    };
    Verdict {
        psnr: 10.0 * (255.0 * 255.0 / mean).log10(),
        ssim: ssim(&light(shown, 0), &light(drawn, 2), width),
        exact: float(exact) / count(pixels),
        worst,
    }
}

/// Mean structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004) of windows on a grid.
fn ssim(first: &[f32], second: &[f32], width: usize) -> f64 {
    const C1: f32 = 0.01 * 0.01 * 255.0 * 255.0;
    const C2: f32 = 0.03 * 0.03 * 255.0 * 255.0;
    let height = first.len() / width;
    let (mut sum, mut windows) = (0.0_f64, 0_usize);
    for top in (0..=height.saturating_sub(WINDOW)).step_by(STRIDE) {
        for left in (0..=width - WINDOW).step_by(STRIDE) {
            let [mut a, mut b, mut aa, mut bb, mut ab] = [0.0_f32; 5];
            for line in top..top + WINDOW {
                let from = line * width + left;
                for (&x, &y) in first[from..from + WINDOW].iter().zip(&second[from..from + WINDOW])
                {
                    (a, b, aa, bb, ab) = (a + x, b + y, aa + x * x, bb + y * y, ab + x * y);
                }
            }
            let size = real(WINDOW * WINDOW);
            let (a, b) = (a / size, b / size);
            let (aa, bb, ab) = (aa / size - a * a, bb / size - b * b, ab / size - a * b);
            let value =
                (2.0 * a * b + C1) * (2.0 * ab + C2) / ((a * a + b * b + C1) * (aa + bb + C2));
            sum += f64::from(value);
            windows += 1;
        }
    }
    sum / count(windows)
}

fn count(value: usize) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

/// Sums of squares of bytes: far below what a float holds exactly.
fn float(value: u64) -> f64 {
    let (high, low) = (value >> 32, value & 0xffff_ffff);
    f64::from(u32::try_from(high).unwrap_or(u32::MAX)) * 4_294_967_296.0
        + f64::from(u32::try_from(low).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::judge;

    const WIDTH: usize = 64;

    /// Drawn (BGRX) and shown (RGBX) alike: a ramp with a different blue.
    fn pictures() -> (Vec<u8>, Vec<u8>) {
        let pixels = || (0..WIDTH * 64).map(|at| u8::try_from(at % 200).unwrap());
        let drawn = pixels().flat_map(|level| [level / 2, level, level + 9, 0]).collect();
        (drawn, pixels().flat_map(|level| [level + 9, level, level / 2, 255]).collect())
    }

    #[test]
    fn what_is_shown_as_drawn_is_exact() {
        let (drawn, shown) = pictures();
        let verdict = judge(&shown, &drawn, WIDTH);
        assert!(verdict.psnr.is_infinite());
        assert!((verdict.ssim - 1.0).abs() < 1e-6 && (verdict.exact - 1.0).abs() < 1e-9);
        assert_eq!(verdict.worst, 0);
    }

    #[test]
    fn one_wrong_level_is_seen_and_changed_colours_too() {
        let (drawn, mut shown) = pictures();
        let pixel = (40 * WIDTH + 7) * 4;
        shown[pixel] ^= 1;
        let verdict = judge(&shown, &drawn, WIDTH);
        assert!(verdict.exact < 1.0 && verdict.worst == 1 && verdict.psnr > 70.0);
        shown[pixel] ^= 1;
        for pixel in shown.chunks_exact_mut(4) {
            pixel.swap(0, 2);
        }
        assert!(judge(&shown, &drawn, WIDTH).exact < 0.01);
    }

    #[test]
    fn a_mean_square_of_one_is_48_decibels() {
        let (drawn, mut shown) = pictures();
        for pixel in shown.chunks_exact_mut(4) {
            pixel[..3].iter_mut().for_each(|colour| *colour += 1);
        }
        assert!((judge(&shown, &drawn, WIDTH).psnr - 48.131).abs() < 0.001);
    }

    #[test]
    fn another_picture_is_not_similar() {
        let (drawn, shown) = pictures();
        let other: Vec<u8> = shown.iter().rev().copied().collect();
        assert!(judge(&other, &drawn, WIDTH).ssim < 0.5);
    }
}
