//! A view of shaded isosurfaces that turns: what a 3-D program of a beamline shows, drawn beforehand.

use crate::number::{byte, floor, real};

/// Cells of the volume, each way.
const CELLS: usize = 96;
/// Degrees from one frame to the next.
const TURN: f32 = 1.5;

type Point = [f32; 3];

struct Corner {
    at: Point,
    normal: Point,
    colour: Point,
}

/// `frames` pictures, one after another, BGRX.
pub(crate) fn render(width: usize, height: usize, frames: usize) -> Vec<u8> {
    let mut corners = surface(outer, shell_colour);
    corners.extend(surface(inner, |at| rainbow(0.5 + 0.5 * at[2])));
    let mut made = Vec::with_capacity(frames * width * height * 4);
    let mut depth = vec![0.0_f32; width * height];
    for frame in 0..frames {
        let mut picture = ground(width, height);
        depth.fill(f32::INFINITY);
        // The cut faces the eye in the middle of the turn.
        let turned = TURN * (real(frame) - real(frames) / 2.0) - 45.0;
        let view = View::new(turned.to_radians(), width, height);
        for triangle in corners.chunks_exact(3) {
            view.draw(triangle, &mut picture, &mut depth);
        }
        made.append(&mut picture);
    }
    made
}

/// A body with waves on it, cut open at one corner; inside is below zero.
fn outer([x, y, z]: Point) -> f32 {
    let body = (x * x + y * y * 1.2 + z * z * 0.9).sqrt() - 0.78
        + 0.05 * (9.0 * x).sin() * (8.0 * y).cos() * (7.0 * z).sin();
    let cut = (0.05 - x).max(0.05 - y).max(0.05 - z);
    body.max(-cut)
}

/// Threads that wind through it.
fn inner([x, y, z]: Point) -> f32 {
    let (a, b, c) = (9.0 * x, 9.0 * y, 9.0 * z);
    let gyroid = a.sin() * b.cos() + b.sin() * c.cos() + c.sin() * a.cos();
    ((gyroid.abs() - 0.35) * 0.1).max((x * x + y * y + z * z).sqrt() - 0.66)
}

fn shell_colour(at: Point) -> Point {
    let grain = 0.06 * (40.0 * at[0]).sin() * (37.0 * at[1]).sin() * (43.0 * at[2]).sin();
    [0.85 + grain, 0.74 + grain, 0.58 + grain]
}

fn rainbow(value: f32) -> Point {
    let value = value.clamp(0.0, 1.0);
    let bump = |middle: f32| (1.4 - 3.2 * (value - middle).abs()).clamp(0.1, 1.0);
    [bump(0.85), bump(0.5), bump(0.15)]
}

/// Triangles of the surface where `body` is zero: each cell in six tetrahedra.
fn surface(body: fn(Point) -> f32, colour: impl Fn(Point) -> Point) -> Vec<Corner> {
    // The corners of a cube by their bits, along paths from 0 to 7.
    const TETRAHEDRA: [[usize; 4]; 6] =
        [[0, 1, 3, 7], [0, 1, 5, 7], [0, 2, 3, 7], [0, 2, 6, 7], [0, 4, 5, 7], [0, 4, 6, 7]];
    let side = CELLS + 1;
    let place = |index: usize| -> Point {
        [index % side, index / side % side, index / side / side]
            .map(|value| real(value) / real(CELLS) * 2.0 - 1.0)
    };
    let values: Vec<f32> = (0..side * side * side).map(|index| body(place(index))).collect();
    let mut corners = Vec::new();
    for z in 0..CELLS {
        for y in 0..CELLS {
            for x in 0..CELLS {
                let first = (z * side + y) * side + x;
                let cube: [usize; 8] = std::array::from_fn(|bits| {
                    first + (bits & 1) + (bits >> 1 & 1) * side + (bits >> 2) * side * side
                });
                if cube.iter().all(|&at| values[at] > 0.0)
                    || cube.iter().all(|&at| values[at] <= 0.0)
                {
                    continue;
                }
                for tetrahedron in TETRAHEDRA {
                    let (inside, outside): (Vec<usize>, Vec<usize>) = tetrahedron
                        .iter()
                        .map(|&corner| cube[corner])
                        .partition(|&at| values[at] <= 0.0);
                    let between = |a: usize, b: usize| -> Point {
                        let part = values[a] / (values[a] - values[b]);
                        let (a, b) = (place(a), place(b));
                        std::array::from_fn(|axis| a[axis] + part * (b[axis] - a[axis]))
                    };
                    let points: Vec<Point> = match (inside.as_slice(), outside.as_slice()) {
                        ([one], others) | (others, [one]) if others.len() == 3 => {
                            others.iter().map(|&other| between(*one, other)).collect()
                        }
                        (&[a, b], &[c, d]) => {
                            let [first, second, third, fourth] =
                                [between(a, c), between(a, d), between(b, d), between(b, c)];
                            vec![first, second, third, first, third, fourth]
                        }
                        _ => Vec::new(),
                    };
                    corners.extend(points.into_iter().map(|at| Corner {
                        at,
                        normal: slope(body, at),
                        colour: colour(at),
                    }));
                }
            }
        }
    }
    corners
}

/// Which way the body ends, with length one.
fn slope(body: fn(Point) -> f32, at: Point) -> Point {
    const STEP: f32 = 0.004;
    unit(std::array::from_fn(|axis| {
        let (mut more, mut less) = (at, at);
        more[axis] += STEP;
        less[axis] -= STEP;
        body(more) - body(less)
    }))
}

fn unit(vector: Point) -> Point {
    let length = dot(vector, vector).sqrt().max(1e-9);
    vector.map(|value| value / length)
}

fn dot(a: Point, b: Point) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// A dark ground that gets lighter downwards, with a colour bar at the right.
fn ground(width: usize, height: usize) -> Vec<u8> {
    let mut picture = Vec::with_capacity(width * height * 4);
    for line in 0..height {
        let part = real(line) / real(height);
        let plain =
            [byte(96.0 - 40.0 * part), byte(80.0 - 40.0 * part), byte(64.0 - 36.0 * part), 0];
        let bar = rainbow((0.9 - part) / 0.8).map(|value| byte(255.0 * value));
        for column in 0..width {
            let in_bar = (0.1..0.9).contains(&part)
                && (real(width) * 0.95..real(width) * 0.97).contains(&real(column));
            picture.extend(if in_bar { [bar[2], bar[1], bar[0], 0] } else { plain });
        }
    }
    picture
}

struct View {
    sin: f32,
    cos: f32,
    width: usize,
    height: usize,
}

struct Seen {
    x: f32,
    y: f32,
    depth: f32,
    normal: Point,
    colour: Point,
}

impl View {
    fn new(angle: f32, width: usize, height: usize) -> Self {
        Self { sin: angle.sin(), cos: angle.cos(), width, height }
    }

    /// Turned about the upright axis, and looked at a little from above.
    fn turn(&self, [x, y, z]: Point) -> Point {
        const DOWN: (f32, f32) = (0.42, 0.907);
        let (x, z) = (self.cos * x + self.sin * z, self.cos * z - self.sin * x);
        [x, DOWN.1 * y - DOWN.0 * z, DOWN.0 * y + DOWN.1 * z]
    }

    fn see(&self, corner: &Corner) -> Seen {
        let [x, y, z] = self.turn(corner.at);
        let depth = 3.2 - z;
        let zoom = 1.55 * real(self.height) / depth;
        Seen {
            x: real(self.width) / 2.0 + x * zoom,
            y: real(self.height) / 2.0 - y * zoom,
            depth,
            normal: self.turn(corner.normal),
            colour: corner.colour,
        }
    }

    fn draw(&self, triangle: &[Corner], picture: &mut [u8], depth: &mut [f32]) {
        let [a, b, c] = [0, 1, 2].map(|at| self.see(&triangle[at]));
        let area = (b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y);
        if area.abs() < 1e-6 {
            return;
        }
        let [left, right] = [a.x.min(b.x).min(c.x), a.x.max(b.x).max(c.x)];
        let [top, bottom] = [a.y.min(b.y).min(c.y), a.y.max(b.y).max(c.y)];
        for line in floor(top)..floor(bottom + 1.0).min(self.height) {
            for column in floor(left)..floor(right + 1.0).min(self.width) {
                let (x, y) = (real(column) + 0.5, real(line) + 0.5);
                let first = ((b.x - x) * (c.y - y) - (c.x - x) * (b.y - y)) / area;
                let second = ((c.x - x) * (a.y - y) - (a.x - x) * (c.y - y)) / area;
                let third = 1.0 - first - second;
                if first < 0.0 || second < 0.0 || third < 0.0 {
                    continue;
                }
                let far = first * a.depth + second * b.depth + third * c.depth;
                let place = line * self.width + column;
                if far >= depth[place] {
                    continue;
                }
                depth[place] = far;
                let mix = |values: [Point; 3]| -> Point {
                    std::array::from_fn(|axis| {
                        first * values[0][axis] + second * values[1][axis] + third * values[2][axis]
                    })
                };
                let lit =
                    light(mix([a.normal, b.normal, c.normal]), mix([a.colour, b.colour, c.colour]));
                for (pixel, value) in picture[place * 4..].iter_mut().zip([lit[2], lit[1], lit[0]])
                {
                    *pixel = byte(255.0 * value);
                }
            }
        }
    }
}

/// Two lamps; both sides of a surface are lit, and it shines a little.
fn light(normal: Point, colour: Point) -> Point {
    let normal = unit(normal);
    let bright =
        dot(normal, [0.4, 0.5, 0.77]).abs() * 0.75 + dot(normal, [-0.8, 0.1, 0.6]).abs() * 0.2;
    let shine = dot(normal, [0.2, 0.26, 0.94]).abs().powi(24) * 0.35;
    colour.map(|value| (value * (0.12 + bright) + shine).min(1.0))
}
