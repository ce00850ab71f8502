//! `beamdesk sched export`: this system's own past as a trace.
#![expect(clippy::print_stderr, reason = "talks to a person at a terminal")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use beamdesk_sched::{
    CardRoom, Host, Request,
    simulate::{TASKS_MAX, Task, nodes_csv, tasks_csv},
};
use beamdesk_store::{DesktopPast, NodeRecord, Store};
use beamdesk_types::{CardState, Phase, WHOLE_CARD};
use clap::Args;

use crate::data::{Data, default_folder};

/// Desktops read at a time, so that a long past does not lie in memory twice.
const PAGE: u32 = 1000;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder of the database [default: /var/lib/beamdesk for root]
    #[arg(long, env = "BEAMDESK_DATA")]
    data: Option<PathBuf>,
    /// Writes the hosts that monitors have told of here.
    #[arg(long)]
    nodes: PathBuf,
    /// Writes all desktops that there ever were here.
    #[arg(long)]
    tasks: PathBuf,
}

pub(crate) fn export(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (hosts, tasks) = runtime.block_on(async {
        let folder = options.data.clone().unwrap_or_else(default_folder);
        let data = Data::open(&folder).context("stop `beamdesk up` first")?;
        let store = Store::open(&data.database()).await?;
        let hosts: Vec<Host> = store.node_records().await?.iter().filter_map(host).collect();
        anyhow::Ok((hosts, tasks(&store).await?))
    })?;
    write(&options.nodes, &nodes_csv(&hosts))?;
    write(&options.tasks, &tasks_csv(tasks.iter().map(|(came_s, task)| (*came_s, task))))?;
    eprintln!("{} hosts, {} desktops", hosts.len(), tasks.len());
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Each desktop with the second at which it came, counted from the first.
async fn tasks(store: &Store) -> Result<Vec<(u64, Task)>> {
    let (mut tasks, mut after, mut first_s) = (Vec::new(), None, None);
    loop {
        let page = store.desktop_history(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.desktop.id);
        for past in &page {
            let came_s = past.desktop.created.as_second();
            let since = came_s.saturating_sub(*first_s.get_or_insert(came_s));
            // Its size was removed since: what it needed is not known any more.
            if let Some(task) = task(past) {
                tasks.push((u64::try_from(since).unwrap_or(0), task));
            }
        }
        if tasks.len() >= TASKS_MAX {
            break;
        }
    }
    tasks.truncate(TASKS_MAX);
    Ok(tasks)
}

fn task(past: &DesktopPast) -> Option<Task> {
    let desktop = &past.desktop;
    let size = past.size.as_ref()?;
    let gpu = size.gpu.and(&desktop.gpu).ok()?;
    let request = Request { gpu, ..Request::from(size) };
    let is_over = match desktop.phase {
        Phase::Stopped | Phase::Failed | Phase::Deleting | Phase::Deleted => true,
        Phase::Pending | Phase::Building | Phase::Booting | Phase::Ready | Phase::Stopping => false,
    };
    let ran_s = desktop.phase_since.as_second().saturating_sub(desktop.created.as_second());
    let runs_s = u64::try_from(ran_s).ok().filter(|_| is_over);
    Some(Task { request, runs_s })
}

/// As it would be with nobody on it. Faulty cards and those kept out of use are left out.
fn host(record: &NodeRecord) -> Option<Host> {
    let facts = record.facts.as_ref()?;
    let cpu_milli = u64::from(facts.cpus) * 1000;
    let mut host = Host::new(record.name.clone(), cpu_milli, facts.memory_mib, facts.disk_gib);
    let usable = record.cards.iter().filter(|card| match card.state {
        CardState::Free | CardState::Assigned => true,
        CardState::Reserved | CardState::Faulty => false,
    });
    host.cards = usable
        .map(|card| CardRoom {
            address: card.address.clone(),
            model: card.model.as_str().into(),
            memory_mib: card.memory_mib,
            cores: card.cores,
            bandwidth_gb_s: card.bandwidth_gb_s,
            clock_mhz: card.clock_mhz,
            gflops: card.gflops,
            numa_node: card.numa_node,
            free_milli: WHOLE_CARD,
            is_shared: true,
        })
        .collect();
    Some(host)
}
