//! The equations of the scores, as plain functions of numbers.

/// `M` of the paper: the highest score.
pub const SCORE_MAX: f64 = 100.0;

/// Equation 1, least requested: the weighted mean of what stays free of each resource once the
/// request is on the host, from 0 to [`SCORE_MAX`]. Weights sum to 1.
pub fn least_requested<const N: usize>(
    capacity: [f64; N],
    requested: [f64; N],
    weights: [f64; N],
) -> f64 {
    let terms = capacity.iter().zip(requested).zip(weights);
    SCORE_MAX * terms.map(|((c, r), weight)| weight * ratio((c - r).max(0.0), *c)).sum::<f64>()
}

/// Equation 2: how good a card is, from 0 to 1: the mean of compute power, bandwidth and clock,
/// each as a part of the highest there is in the cluster.
pub fn card_power(card: [f64; 3], highest: [f64; 3]) -> f64 {
    card.iter().zip(highest).map(|(value, most)| ratio(*value, most)).sum::<f64>() / 3.0
}

/// Equation 3: the cosine between what is idle and what is asked; 0 where one of them is nothing.
/// It is the same for a host of any size: see [`tanimoto`].
pub fn cosine<const N: usize>(idle: [f64; N], asked: [f64; N]) -> f64 {
    ratio(product(idle, asked), (product(idle, idle) * product(asked, asked)).sqrt())
}

/// What the cosine was meant to be: 1 only where what is idle is exactly what is asked, less the
/// more is left over.
pub fn tanimoto<const N: usize>(idle: [f64; N], asked: [f64; N]) -> f64 {
    let both = product(idle, asked);
    ratio(both, product(idle, idle) + product(asked, asked) - both)
}

/// FGD's score of a placement, in whole points from 0 to 100: `milli` thousandths of cards become
/// usable (or unusable, below zero) by it.
pub fn gradient_points(milli: f64) -> f64 {
    (SCORE_MAX / (1.0 + (-milli / 1000.0).exp())).floor()
}

pub(crate) fn product<const N: usize>(one: [f64; N], other: [f64; N]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// Nothing of nothing is nothing.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Counts as numbers to reckon with. Exact below 2^53, far above any capacity.
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}
