//! Summaries as a table, as JSON figures and as CSV.

use std::fmt::Write as _;

use anyhow::Result;
use beamdesk_sched::{
    Policy,
    simulate::{Measure, Published, Spread, Summary},
};
use serde_json::json;

/// For people: one line per policy, what was published beside what was measured.
pub(super) fn table(
    summaries: &[Summary],
    published: impl Fn(Policy) -> Option<Published>,
) -> String {
    let measures: Vec<Measure> = summaries
        .first()
        .map(|summary| summary.measures.iter().map(|(measure, _)| *measure).collect())
        .unwrap_or_default();
    let has_published = summaries.iter().any(|summary| published(summary.policy).is_some());
    let mut text = format!("{:14}", "policy");
    for measure in &measures {
        let _ = write!(text, "{:>18}", measure.name());
    }
    if has_published {
        let _ = write!(text, "{:>20}", "published alloc130");
    }
    for summary in summaries {
        let _ = write!(text, "\n{:14}", summary.policy.name());
        for measure in &measures {
            let value = summary.of(*measure).map_or_else(String::new, |spread| both(&spread));
            let _ = write!(text, "{value:>18}");
        }
        if let Some(published) = published(summary.policy) {
            let spread = Spread { mean: published.alloc130, sd: published.alloc130_sd };
            let _ = write!(text, "{:>20}", both(&spread));
        }
    }
    text
}

fn both(spread: &Spread) -> String {
    format!("{:.2} ± {:.2}", spread.mean, spread.sd)
}

/// Figures named `sched.TRACE.POLICY.MEASURE`, each with its deviation (`.sd`) beside it.
pub(super) fn json(
    trace: &str,
    summaries: &[Summary],
    seeds: usize,
    command: &str,
) -> Result<String> {
    let mut figures = Vec::new();
    for (summary, (measure, spread)) in each(summaries) {
        let name = format!("sched.{trace}.{}.{}", summary.policy, measure.name());
        for (name, value) in [(format!("{name}.sd"), spread.sd), (name, spread.mean)] {
            // Four digits: more would be noise in a diff.
            let value = (value * 10_000.0).round() / 10_000.0;
            let unit = unit(measure);
            figures.push(json!({
                "name": name, "value": value, "unit": unit, "n": seeds, "command": command
            }));
        }
    }
    figures.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Ok(serde_json::to_string_pretty(&figures)? + "\n")
}

pub(super) fn csv(trace: &str, summaries: &[Summary]) -> String {
    let mut text = "trace,policy,measure,mean,sd\n".to_owned();
    for (summary, (measure, spread)) in each(summaries) {
        let (policy, measure) = (summary.policy, measure.name());
        let _ = writeln!(text, "{trace},{policy},{measure},{:.4},{:.4}", spread.mean, spread.sd);
    }
    text
}

fn each(summaries: &[Summary]) -> impl Iterator<Item = (&Summary, (Measure, Spread))> {
    summaries.iter().flat_map(|summary| summary.measures.iter().map(move |pair| (summary, *pair)))
}

fn unit(measure: Measure) -> &'static str {
    match measure {
        Measure::MultiFailed | Measure::Failed | Measure::CpuFailed => "requests",
        Measure::Alloc100
        | Measure::Alloc130
        | Measure::Alloc
        | Measure::Frag
        | Measure::First
        | Measure::Blocked
        | Measure::MultiBlocked
        | Measure::WeightedBlocked
        | Measure::TooSmall => "%",
    }
}

#[cfg(test)]
mod tests {
    use beamdesk_sched::{
        Policy,
        simulate::{Measure, Spread, Summary, published},
    };

    use super::{csv, json, table};

    fn summaries() -> Vec<Summary> {
        let measures = vec![(Measure::Alloc130, Spread { mean: 95.431_26, sd: 0.07 })];
        vec![Summary { policy: Policy::Fgd, measures, curve: Vec::new() }]
    }

    #[test]
    fn figures_are_named_by_trace_policy_and_measure() {
        let text = json("openb", &summaries(), 5, "beamdesk sched simulate").unwrap();
        let figures: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(figures[0]["name"], "sched.openb.fgd.alloc130");
        assert_eq!(figures[0]["value"], 95.4313);
        assert_eq!(figures[1]["name"], "sched.openb.fgd.alloc130.sd");
        assert_eq!(figures[1]["n"], 5);
    }

    #[test]
    fn the_table_has_what_was_published_beside_what_was_measured() {
        let text = table(&summaries(), |policy| published(policy, false));
        let row = text.lines().nth(1).unwrap();
        assert!(row.contains("95.43 ± 0.07") && row.contains("95.39 ± 0.08"), "{row}");
        assert!(csv("openb", &summaries()).contains("openb,fgd,alloc130,95.4313,0.0700\n"));
    }
}
