//! The openb trace, which is part of the program, and what its authors published about it.
//!
//! Source and licence: `data/openb/README.md`.

use super::{Trace, TraceError};
use crate::Policy;

const NODES_GPU: &str = include_str!("../../data/openb/nodes_gpu.csv");
const NODES_ALL: &str = include_str!("../../data/openb/nodes_all.csv");
const TASKS: &str = include_str!("../../data/openb/tasks_default.csv");
const TASKS_CONSTRAINED: &str = include_str!("../../data/openb/tasks_gpuspec33.csv");
const PUBLISHED: &str = include_str!("../../data/openb/published.csv");

/// 1,213 nodes with 6,212 cards and 8,152 tasks: the evaluation of the FGD paper.
pub fn openb() -> Result<Trace, TraceError> {
    Trace::parse(NODES_GPU, TASKS)
}

/// The same where a third of the tasks with cards want named models.
pub fn openb_constrained() -> Result<Trace, TraceError> {
    Trace::parse(NODES_GPU, TASKS_CONSTRAINED)
}

/// The same tasks on all 1,523 nodes, 310 of them without cards.
pub fn openb_with_cpu_nodes() -> Result<Trace, TraceError> {
    Trace::parse(NODES_ALL, TASKS)
}

/// Percent of the cards given away, as published (mean over ten seeds).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    pub alloc100: f64,
    pub alloc130: f64,
    pub alloc130_sd: f64,
}

/// What was published for a policy on `openb_pod_list_default` (`constrained`: `…_gpuspec33`).
pub fn published(policy: Policy, constrained: bool) -> Option<Published> {
    let name = match policy {
        Policy::Random => "01-Random",
        Policy::DotProduct => "02-DotProd",
        Policy::GpuPacking => "04-GpuPacking",
        Policy::BestFit => "05-BestFit",
        Policy::Fgd | Policy::FgdBf => "06-FGD",
        _ => return None,
    };
    let workload = if constrained { "openb_pod_list_gpuspec33" } else { "openb_pod_list_default" };
    PUBLISHED.lines().find_map(|row| {
        let fields: Vec<&str> = row.split(',').collect();
        match fields[..] {
            [trace, policy, _, alloc100, alloc130, sd] if trace == workload && policy == name => {
                Some(Published {
                    alloc100: alloc100.parse().ok()?,
                    alloc130: alloc130.parse().ok()?,
                    alloc130_sd: sd.parse().ok()?,
                })
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{openb, openb_constrained, openb_with_cpu_nodes, published};
    use crate::Policy;

    #[test]
    fn the_shipped_traces_are_whole() {
        let trace = openb().unwrap();
        assert_eq!((trace.hosts.len(), trace.tasks.len()), (1213, 8152));
        assert_eq!(trace.capacity_milli(), 6_212_000);
        let asked: u64 = trace.tasks.iter().map(super::super::Task::gpu_milli).sum();
        assert_eq!(asked, 6_086_800);
        assert_eq!(openb_constrained().unwrap().tasks.len(), 8152);
        assert_eq!(openb_with_cpu_nodes().unwrap().hosts.len(), 1523);
    }

    #[test]
    fn published_figures_are_found_by_policy() {
        let fgd = published(Policy::Fgd, false).unwrap();
        assert!((fgd.alloc130 - 95.39).abs() < 1e-9, "{fgd:?}");
        assert!((published(Policy::Random, true).unwrap().alloc130 - 86.46).abs() < 1e-9);
        assert_eq!(published(Policy::Paper, false), None);
    }
}
