//! What was measured: printed as a table, written as JSON.

use std::io::Write as _;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

#[derive(Default)]
pub(crate) struct Figures(Vec<(String, f64, &'static str, usize)>);

impl Figures {
    pub(crate) fn add(&mut self, name: &str, value: f64, unit: &'static str, n: usize) {
        self.0.push((name.to_owned(), value, unit, n));
    }

    pub(crate) fn times(&mut self, name: &str, times: &[Duration]) {
        let mut sorted = times.to_vec();
        let median = median(&mut sorted);
        let late = sorted[(sorted.len() - 1) * 99 / 100];
        self.add(&format!("{name}_p50"), median.as_secs_f64() * 1e3, "ms", times.len());
        self.add(&format!("{name}_p99"), late.as_secs_f64() * 1e3, "ms", times.len());
    }

    pub(crate) fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        for (name, value, unit, n) in &self.0 {
            writeln!(out, "{name:46} {value:12.3} {unit:6} n={n}")?;
        }
        Ok(())
    }

    /// One object per figure.
    pub(crate) fn json(&self, command: &str) -> String {
        let object = |(name, value, unit, n): &(String, f64, &str, usize)| json!({ "name": name, "value": value, "unit": unit, "n": n, "command": command });
        let figures: Vec<_> = self.0.iter().map(object).collect();
        json!(figures).to_string()
    }
}

pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub(crate) fn to_f64(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// CPU time of this thread: other programs on the machine do not count.
pub(crate) fn cpu() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

/// CPU time of all threads together.
pub(crate) fn cpu_of_all() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

pub(crate) fn since(before: Duration) -> Duration {
    cpu().saturating_sub(before)
}

fn time_of(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
