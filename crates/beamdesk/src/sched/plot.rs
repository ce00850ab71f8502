//! Plots of simulations as SVG, without a library: lines over the load, one colour per policy.

use std::fmt::Write as _;

use beamdesk_sched::simulate::{Measure, Point, Summary};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Told apart also by those who see few colours (Okabe and Ito, 2008), and dashed the second time.
const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"];

/// What of a point is drawn, percent.
type What = fn(&Point) -> f64;

/// File names and their content. Without curves (departures) there is nothing to plot over load.
pub(super) fn plots(summaries: &[Summary]) -> Vec<(&'static str, String)> {
    let lines: [(&str, &str, What); 3] = [
        ("allocation.svg", "Cards given away, % of all", |point| point.allocated),
        ("fragmentation.svg", "Free but of no use (FGD), % of all cards", |point| point.frag),
        ("refused.svg", "Cards in refused requests, % of all cards", |point| point.refused),
    ];
    let has_curves = summaries.iter().any(|summary| !summary.curve.is_empty());
    let mut files = Vec::new();
    if has_curves {
        files.extend(lines.map(|(name, title, what)| (name, curves(title, summaries, what))));
    }
    let firsts: Vec<(&str, f64)> = summaries
        .iter()
        .filter_map(|summary| Some((summary.policy.name(), summary.of(Measure::First)?.mean)))
        .collect();
    if !firsts.is_empty() {
        files.push(("first.svg", bars("Load at the first refusal, %", &firsts)));
    }
    files
}

fn curves(title: &str, summaries: &[Summary], what: What) -> String {
    let points = || summaries.iter().flat_map(|summary| &summary.curve);
    let x_max = round_up(points().map(|point| point.load).fold(1.0, f64::max), 10.0);
    let y_max = round_up(points().map(what).fold(1.0, f64::max), 5.0);
    let x = |load: f64| LEFT + (WIDTH - LEFT - RIGHT) * load / x_max;
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / y_max;
    let mut svg = head(title);
    for step in 0..=10 {
        let part = f64::from(step) / 10.0;
        let (at_x, at_y) = (x(x_max * part), y(y_max * part));
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let _ = write!(
            svg,
            r##"<path d="M{LEFT} {at_y:.1}H{right}" stroke="#ddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{:.1}</text><text x="{at_x:.1}" y="{:.1}" text-anchor="middle">{:.0}</text>"##,
            LEFT - 6.0,
            at_y + 4.0,
            y_max * part,
            bottom + 18.0,
            x_max * part,
        );
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    let _ = write!(
        svg,
        r#"<text x="{middle}" y="{:.1}" text-anchor="middle">asked for so far, % of all cards</text>"#,
        HEIGHT - 12.0
    );
    for (index, summary) in summaries.iter().enumerate() {
        let style = style(index);
        let path: Vec<String> = summary
            .curve
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.load), y(what(point))))
            .collect();
        let _ = write!(
            svg,
            r#"<polyline fill="none" stroke-width="1.6" {style} points="{}"/>"#,
            path.join(" ")
        );
        let row = TOP + 18.0 * f64::from(u32::try_from(index).unwrap_or(0));
        let legend = WIDTH - RIGHT + 14.0;
        let _ = write!(
            svg,
            r#"<path stroke-width="3" {style} d="M{legend} {row}h24"/><text x="{}" y="{}">{}</text>"#,
            legend + 30.0,
            row + 4.0,
            summary.policy.name()
        );
    }
    svg + "</svg>\n"
}

fn bars(title: &str, values: &[(&str, f64)]) -> String {
    let most = round_up(values.iter().map(|(_, value)| *value).fold(1.0, f64::max), 10.0);
    let rows = f64::from(u32::try_from(values.len()).unwrap_or(1));
    let step = (HEIGHT - TOP - 20.0) / rows;
    let mut svg = head(title);
    for (index, (name, value)) in values.iter().enumerate() {
        let top = TOP + step * f64::from(u32::try_from(index).unwrap_or(0));
        let width = (WIDTH - 240.0) * value / most;
        let _ = write!(
            svg,
            r#"<text x="140" y="{:.1}" text-anchor="end">{name}</text><rect x="150" y="{:.1}" width="{width:.1}" height="{:.1}" fill="{}"/><text x="{:.1}" y="{:.1}">{value:.1}</text>"#,
            top + step * 0.6,
            top + step * 0.15,
            step * 0.7,
            COLOURS[index % COLOURS.len()],
            156.0 + width,
            top + step * 0.6,
        );
    }
    svg + "</svg>\n"
}

fn head(title: &str) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" role="img"><title>{title}</title><rect width="100%" height="100%" fill="#fff"/><text x="{LEFT}" y="22" font-size="15">{title}</text>"##
    )
}

fn style(index: usize) -> String {
    let colour = COLOURS[index % COLOURS.len()];
    let dashes = if index < COLOURS.len() { "" } else { r#" stroke-dasharray="5 3""# };
    format!(r#"stroke="{colour}"{dashes}"#)
}

fn round_up(value: f64, step: f64) -> f64 {
    (value / step).ceil() * step
}

#[cfg(test)]
mod tests {
    use beamdesk_sched::{
        Policy,
        simulate::{Measure, Point, Spread, Summary},
    };

    use super::plots;

    #[test]
    fn each_policy_has_a_line_and_a_bar() {
        let point = |load| Point { load, allocated: load, frag: 1.0, refused: 0.0 };
        let summary = |policy| Summary {
            policy,
            measures: vec![(Measure::First, Spread { mean: 94.0, sd: 0.1 })],
            curve: vec![point(0.0), point(50.0), point(100.0)],
        };
        let files = plots(&[summary(Policy::Fgd), summary(Policy::Paper)]);
        assert_eq!(files.len(), 4);
        for (name, svg) in &files {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{name}");
            assert!(svg.contains("fgd") && svg.contains("paper"), "{name}");
        }
        assert_eq!(files[0].1.matches("<polyline").count(), 2);
    }
}
