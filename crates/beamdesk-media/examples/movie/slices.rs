//! Slices of a noisy tomogram: grains in a cylinder, rings, and noise as filtered back projection leaves it.

use crate::number::{Chance, byte, floor, real, to_and_fro};

/// Slices of the sample; each frame has noise of its own.
const SLICES: usize = 24;
/// The noise is cut out of a field of this size at a place of its own for each frame.
const FIELD: usize = 2048;
/// Standard deviation of the noise, in grey levels.
const NOISE: f32 = 8.0;
const GRAINS: usize = 420;

/// `frames` pictures, one after another, BGRX.
pub(crate) fn render(width: usize, height: usize, frames: usize) -> Vec<u8> {
    let grains = grains();
    let depth = |slice| real(slice) / real(SLICES);
    let samples: Vec<Vec<u8>> =
        (0..SLICES).map(|slice| sample(&grains, depth(slice), width, height)).collect();
    // Kept as 128 more than it is.
    let noise: Vec<u8> = noise().iter().map(|value| byte(128.0 + value)).collect();
    let mut made = vec![0; frames * width * height * 4];
    for (number, to) in made.chunks_exact_mut(width * height * 4).enumerate() {
        draw(&samples[to_and_fro(number / 2, SLICES)], &noise, number, width, to);
    }
    made
}

struct Grain {
    /// Centre in the cylinder, which reaches from -1 to 1; the depth from 0 to 1.
    at: (f32, f32, f32),
    radius: f32,
    level: f32,
}

fn grains() -> Vec<Grain> {
    let mut chance = Chance(4711);
    let mut grains = Vec::new();
    while grains.len() < GRAINS {
        let at = (chance.part() * 2.0 - 1.0, chance.part() * 2.0 - 1.0, chance.part());
        let radius = 0.03 + 0.09 * chance.part() * chance.part();
        if at.0.hypot(at.1) + radius < 0.86 {
            grains.push(Grain { at, radius, level: 96.0 + 120.0 * chance.part() });
        }
    }
    grains
}

fn sample(grains: &[Grain], depth: f32, width: usize, height: usize) -> Vec<u8> {
    let half = real(width.min(height)) / 2.0;
    let (middle_x, middle_y) = (real(width) / 2.0, real(height) / 2.0);
    // How much of a disc's edge a pixel covers.
    let inside = |distance: f32, radius: f32| ((radius - distance) * half + 0.5).clamp(0.0, 1.0);
    let mut level = vec![22.0_f32; width * height];
    for (index, level) in level.iter_mut().enumerate() {
        let x = (real(index % width) - middle_x) / half;
        let y = (real(index / width) - middle_y) / half;
        let distance = x.hypot(y);
        *level +=
            44.0 * inside(distance, 0.9) + 70.0 * inside(distance, 0.96) * inside(-distance, -0.93);
        // A detector's uneven pixels leave rings.
        let is_ring = (floor(distance * half) * 7919).is_multiple_of(13);
        *level += if is_ring { 1.5 } else { 0.0 };
    }
    for grain in grains {
        let radius = (grain.radius.powi(2) - (grain.at.2 - depth).powi(2) * 0.5).max(0.0).sqrt();
        if radius == 0.0 {
            continue;
        }
        let (x, y) = (middle_x + grain.at.0 * half, middle_y + grain.at.1 * half);
        let reach = radius * half + 1.0;
        for line in floor(y - reach)..floor(y + reach + 1.0).min(height) {
            for column in floor(x - reach)..floor(x + reach + 1.0).min(width) {
                let distance = (real(column) - x).hypot(real(line) - y) / half;
                let part = inside(distance, radius);
                let level = &mut level[line * width + column];
                *level = *level * (1.0 - part) + grain.level * part;
            }
        }
    }
    level.into_iter().map(byte).collect()
}

/// White noise, less its low frequencies (the ramp filter) and softened at the high ones (the window over it).
fn noise() -> Vec<f32> {
    let mut chance = Chance(99);
    let white: Vec<f32> = (0..FIELD * FIELD)
        .map(|_| chance.part() + chance.part() + chance.part() + chance.part() - 2.0)
        .collect();
    let (fine, coarse) = (soften(&white, 1), soften(&soften(&white, 3), 3));
    let mut noise: Vec<f32> =
        fine.iter().zip(&coarse).map(|(fine, coarse)| fine - coarse).collect();
    let count = real(FIELD) * real(FIELD);
    let deviation = (noise.iter().map(|value| value * value).sum::<f32>() / count).sqrt();
    for value in &mut noise {
        *value *= NOISE / deviation;
    }
    noise
}

/// The mean over `2 * reach + 1` pixels each way, the nearest counting most; the field goes on at its other side.
fn soften(field: &[f32], reach: usize) -> Vec<f32> {
    let weights: Vec<f32> =
        (0..=2 * reach).map(|at| real(reach + 1 - at.abs_diff(reach))).collect();
    let whole: f32 = weights.iter().sum();
    let along = |field: &[f32], step: usize, index: usize| {
        let (line, column) = (index / FIELD, index % FIELD);
        let place = if step == 1 { column } else { line };
        let start = index - place * step;
        weights.iter().enumerate().fold(0.0, |sum, (at, weight)| {
            sum + weight * field[start + (place + FIELD + at - reach) % FIELD * step]
        }) / whole
    };
    let across: Vec<f32> = (0..field.len()).map(|index| along(field, 1, index)).collect();
    (0..field.len()).map(|index| along(&across, FIELD, index)).collect()
}

/// A slice under a piece of the noise that no other frame near it has.
fn draw(sample: &[u8], field: &[u8], number: usize, width: usize, to: &mut [u8]) {
    let (right, down) = (number * 601 % FIELD, number * 1511 % FIELD);
    for ((line, row), to) in sample.chunks(width).enumerate().zip(to.chunks_exact_mut(width * 4)) {
        let noise = &field[(line + down) % FIELD * FIELD..][..FIELD];
        let mut from = right;
        let (mut row, mut to) = (row, to);
        while !row.is_empty() {
            let count = row.len().min(FIELD - from);
            let (now, later) = row.split_at(count);
            let (pixels, further) = to.split_at_mut(count * 4);
            add(now, &noise[from..], pixels);
            (row, to, from) = (later, further, 0);
        }
    }
}

/// Grey pixels of the sample with noise on it.
fn add(sample: &[u8], noise: &[u8], to: &mut [u8]) {
    for ((pixel, &level), &noise) in to.chunks_exact_mut(4).zip(sample).zip(noise) {
        let grey = level
            .saturating_add(noise.saturating_sub(128))
            .saturating_sub(128_u8.saturating_sub(noise));
        pixel.copy_from_slice(&[grey, grey, grey, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn every_frame_has_noise_of_its_own() {
        let made = render(200, 160, 240);
        let frames: Vec<&[u8]> = made.chunks(200 * 160 * 4).collect();
        assert_eq!(frames.len(), 240);
        for (number, frame) in frames.iter().enumerate() {
            for other in frames[number + 1..].iter().take(5) {
                let same = frame.iter().zip(*other).filter(|(a, b)| a == b).count();
                // A quarter are fill bytes.
                assert!(same < frame.len() / 2, "what follows frame {number} is much like it");
            }
        }
    }
}
