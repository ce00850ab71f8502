//! Traces: hosts and the tasks that come to them, in the columns of Alibaba's openb trace.
//!
//! Columns are found by their names in the first line; unknown ones are passed over. Nodes need
//! `sn, cpu_milli, memory_mib, gpu, model` and may have `disk_gib, card_memory_mib, card_cores,
//! card_bandwidth_gb_s, card_clock_mhz, card_gflops`; tasks need `cpu_milli, memory_mib, num_gpu,
//! gpu_milli` and may have `gpu_spec` (models with `|` between), `disk_gib, gpu_memory_mib,
//! gpu_cores, gpu_bandwidth_gb_s, creation_time, deletion_time` (seconds).

use std::{collections::BTreeSet, fmt::Write as _, str::FromStr, sync::Arc};

use beamdesk_types::{CARDS_MAX, CardAddress, GpuRequest, NodeName, WHOLE_CARD};

use super::cards;
use crate::{CardRoom, Host, Request};

/// The largest simulated cluster; ten times the largest that the scheduler is measured with.
pub const HOSTS_MAX: usize = 1_000_000;
/// The longest trace. openb has 8,152 tasks.
pub const TASKS_MAX: usize = 1_000_000;
/// No row of a sensible trace is longer.
const LINE_BYTES_MAX: usize = 4096;
/// More than any machine has, in any unit that is used here; sums stay far below 2^64.
const NUMBER_MAX: u64 = 1 << 40;

/// What comes to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub request: Request,
    /// How long it ran, where the trace tells.
    pub runs_s: Option<u64>,
}

impl Task {
    /// Thousandths of cards that it asks for.
    pub fn gpu_milli(&self) -> u64 {
        u64::from(self.request.gpu.count) * u64::from(self.request.gpu.share_milli)
    }
}

/// Hosts, idle, and the tasks of one trace in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub hosts: Vec<Host>,
    pub tasks: Vec<Task>,
}

/// What is wrong with a trace, and in which line (from 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    #[error("the first line lacks the column {0}")]
    NoColumn(&'static str),
    #[error("line {line}: {column} {why}")]
    Value { line: usize, column: &'static str, why: String },
    #[error("line {line} is longer than {LINE_BYTES_MAX} bytes")]
    LongLine { line: usize },
    #[error("line {line}: there are already {most} rows, which is the most")]
    Many { line: usize, most: usize },
    #[error("there are no rows")]
    Empty,
}

impl Trace {
    /// Reads both files. What the tasks need of a card's memory and cores is assumed where the
    /// trace does not say, as the FGD simulator's evaluation does: a share of a T4.
    pub fn parse(nodes: &str, tasks: &str) -> Result<Self, TraceError> {
        let mut trace = Self { hosts: hosts_of(nodes)?, tasks: tasks_of(tasks)? };
        let mut all_cards = trace.hosts.iter().flat_map(|host| &host.cards);
        if all_cards.all(|card| {
            card.memory_mib >= cards::ASSUMED_NEED_MIB && card.cores >= cards::ASSUMED_NEED_CORES
        }) {
            trace.tasks.iter_mut().for_each(assume_need);
        }
        Ok(trace)
    }

    /// Thousandths of cards that the hosts have.
    pub fn capacity_milli(&self) -> u64 {
        self.hosts.iter().map(Host::free_cards_milli).sum()
    }
}

/// Hosts of a file of nodes, all idle, every card open to shares.
pub fn hosts_of(text: &str) -> Result<Vec<Host>, TraceError> {
    let table = Table::new(text, HOSTS_MAX)?;
    let [name, cpu, memory, gpu, model] =
        ["sn", "cpu_milli", "memory_mib", "gpu", "model"].map(|column| table.needed(column));
    let (name, cpu, memory, gpu, model) = (name?, cpu?, memory?, gpu?, model?);
    let disk = table.column("disk_gib");
    let [card_memory, cores, bandwidth, clock, gflops] =
        ["card_memory_mib", "card_cores", "card_bandwidth_gb_s", "card_clock_mhz", "card_gflops"]
            .map(|column| table.column(column));
    let (mut hosts, mut names) = (Vec::new(), BTreeSet::new());
    for row in table.rows() {
        let row = row?;
        let node: NodeName = row.parsed(name)?;
        if !names.insert(node.clone()) {
            return Err(row.wrong(name, "is the name of two nodes"));
        }
        let mut host = Host::new(node, row.number(cpu)?, row.number(memory)?, row.or_zero(disk)?);
        let count = row.number(gpu)?;
        let count = usize::try_from(count).ok().filter(|count| *count <= CARDS_MAX);
        let count = count.ok_or_else(|| row.wrong(gpu, format!("is at most {CARDS_MAX}")))?;
        let known = cards::known(row.text(model));
        let given = |column, known: u32| match row.optional(column)? {
            None => Ok(known),
            Some(_) => row.small_or_zero(column),
        };
        let memory_mib = row.optional(card_memory)?.unwrap_or(known.memory_mib);
        let card = CardRoom {
            address: address(0),
            model: Arc::from(row.text(model)),
            memory_mib,
            cores: given(cores, known.cores)?,
            bandwidth_gb_s: given(bandwidth, known.bandwidth_gb_s)?,
            clock_mhz: given(clock, known.clock_mhz)?,
            gflops: given(gflops, known.gflops)?,
            numa_node: None,
            free_milli: WHOLE_CARD,
            is_shared: true,
        };
        host.cards =
            (0..count).map(|index| CardRoom { address: address(index), ..card.clone() }).collect();
        hosts.push(host);
    }
    if hosts.is_empty() { Err(TraceError::Empty) } else { Ok(hosts) }
}

/// Tasks of a file of tasks, in its order.
pub fn tasks_of(text: &str) -> Result<Vec<Task>, TraceError> {
    let table = Table::new(text, TASKS_MAX)?;
    let [cpu, memory, count, share] =
        ["cpu_milli", "memory_mib", "num_gpu", "gpu_milli"].map(|column| table.needed(column));
    let (cpu, memory, count, share) = (cpu?, memory?, count?, share?);
    let [models, disk, gpu_memory, gpu_cores, bandwidth, created, deleted] = [
        "gpu_spec",
        "disk_gib",
        "gpu_memory_mib",
        "gpu_cores",
        "gpu_bandwidth_gb_s",
        "creation_time",
        "deletion_time",
    ]
    .map(|column| table.column(column));
    let mut tasks = Vec::new();
    for row in table.rows() {
        let row = row?;
        let mut gpu = GpuRequest { count: row.small(count)?, ..GpuRequest::default() };
        if gpu.count > 0 {
            gpu.share_milli = row.small(share)?;
            gpu.memory_mib = row.or_zero(gpu_memory)?;
            gpu.cores = row.small_or_zero(gpu_cores)?;
            gpu.bandwidth_gb_s = row.small_or_zero(bandwidth)?;
            let named = models.map_or("", |column| row.text(column));
            if !named.is_empty() {
                gpu.models = named.split('|').map(str::to_owned).collect();
            }
        }
        gpu.check().map_err(|error| TraceError::Value {
            line: row.line,
            column: error.key,
            why: error.why.to_owned(),
        })?;
        let request = Request {
            cpu_milli: row.number(cpu)?,
            memory_mib: row.number(memory)?,
            disk_gib: row.or_zero(disk)?,
            gpu,
            ..Request::default()
        };
        let runs_s = match (row.optional(created)?, row.optional(deleted)?) {
            (Some(from), Some(to)) => to.checked_sub(from),
            _ => None,
        };
        tasks.push(Task { request, runs_s });
    }
    if tasks.is_empty() { Err(TraceError::Empty) } else { Ok(tasks) }
}

/// The file that [`hosts_of`] reads. A host whose cards differ is written as its first card.
pub fn nodes_csv(hosts: &[Host]) -> String {
    let mut text = "sn,cpu_milli,memory_mib,gpu,model,disk_gib,card_memory_mib,card_cores,\
                    card_bandwidth_gb_s,card_clock_mhz,card_gflops\n"
        .to_owned();
    for host in hosts {
        let (cpu, memory, disk) =
            (host.cpu_milli.total, host.memory_mib.total, host.disk_gib.total);
        let model = host.cards.first().map_or("", |card| &card.model);
        let facts = host.cards.first().map_or_else(
            || "0,0,0,0,0".to_owned(),
            |card| {
                let CardRoom { memory_mib, cores, bandwidth_gb_s, clock_mhz, gflops, .. } = card;
                format!("{memory_mib},{cores},{bandwidth_gb_s},{clock_mhz},{gflops}")
            },
        );
        let (name, count, model) = (&host.name, host.cards.len(), plain(model));
        let _ = writeln!(text, "{name},{cpu},{memory},{count},{model},{disk},{facts}");
    }
    text
}

/// The file that [`tasks_of`] reads. Tasks are given with the second at which each came.
pub fn tasks_csv<'a>(tasks: impl IntoIterator<Item = (u64, &'a Task)>) -> String {
    let mut text = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,disk_gib,\
                    gpu_memory_mib,gpu_cores,gpu_bandwidth_gb_s,creation_time,deletion_time\n"
        .to_owned();
    for (index, (came_s, task)) in tasks.into_iter().enumerate() {
        let Request { cpu_milli, memory_mib, disk_gib, gpu, .. } = &task.request;
        let models = plain(&gpu.models.join("|"));
        let share = if gpu.count == 0 { 0 } else { gpu.share_milli };
        let ended = task.runs_s.map_or_else(String::new, |runs| (came_s + runs).to_string());
        let GpuRequest { count, memory_mib: gpu_memory, cores, bandwidth_gb_s, .. } = gpu;
        let _ = writeln!(
            text,
            "task-{index:05},{cpu_milli},{memory_mib},{count},{share},{models},{disk_gib},\
             {gpu_memory},{cores},{bandwidth_gb_s},{came_s},{ended}"
        );
    }
    text
}

const TOO_LARGE: &str = "is too large";

/// What would break a row of the file is left out of names.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ',' | '\n' | '\r')).collect()
}

fn address(index: usize) -> CardAddress {
    CardAddress::from_str(&format!("card-{index}")).unwrap_or_else(|_| unreachable!("it is plain"))
}

/// What the paper's similarity compares and the trace does not hold.
fn assume_need(task: &mut Task) {
    let gpu = &mut task.request.gpu;
    if gpu.count > 0 && gpu.memory_mib == 0 && gpu.cores == 0 {
        let share = u64::from(gpu.share_milli);
        let of = |whole: u64| whole * share / u64::from(WHOLE_CARD);
        gpu.memory_mib = of(cards::ASSUMED_NEED_MIB);
        let cores = of(u64::from(cards::ASSUMED_NEED_CORES));
        gpu.cores = u32::try_from(cores).unwrap_or(cards::ASSUMED_NEED_CORES);
    }
}

/// A column that the first line names.
#[derive(Clone, Copy)]
struct Column {
    at: usize,
    name: &'static str,
}

/// Comma-separated rows below a line of names, without quotes: no field of a trace needs them.
struct Table<'a> {
    names: Vec<&'a str>,
    text: &'a str,
    rows_max: usize,
}

impl<'a> Table<'a> {
    fn new(text: &'a str, rows_max: usize) -> Result<Self, TraceError> {
        let first = text.lines().next().ok_or(TraceError::Empty)?;
        if first.len() > LINE_BYTES_MAX {
            return Err(TraceError::LongLine { line: 1 });
        }
        let names = first.trim_start_matches('\u{feff}').split(',').map(str::trim).collect();
        Ok(Self { names, text, rows_max })
    }

    fn column(&self, name: &'static str) -> Option<Column> {
        let at = self.names.iter().position(|column| *column == name)?;
        Some(Column { at, name })
    }

    fn needed(&self, name: &'static str) -> Result<Column, TraceError> {
        self.column(name).ok_or(TraceError::NoColumn(name))
    }

    fn rows(&self) -> impl Iterator<Item = Result<Row<'a>, TraceError>> {
        let rows_max = self.rows_max;
        let lines = self.text.lines().enumerate().skip(1).filter(|(_, row)| !row.trim().is_empty());
        lines.enumerate().map(move |(count, (index, row))| {
            let line = index + 1;
            if count >= rows_max {
                return Err(TraceError::Many { line, most: rows_max });
            }
            if row.len() > LINE_BYTES_MAX {
                return Err(TraceError::LongLine { line });
            }
            Ok(Row { line, fields: row.split(',').map(str::trim).collect() })
        })
    }
}

struct Row<'a> {
    line: usize,
    fields: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// Empty where the row is too short.
    fn text(&self, column: Column) -> &'a str {
        self.fields.get(column.at).copied().unwrap_or_default()
    }

    fn wrong(&self, column: Column, why: impl Into<String>) -> TraceError {
        TraceError::Value { line: self.line, column: column.name, why: why.into() }
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, column: Column) -> Result<T, TraceError> {
        self.text(column).parse().map_err(|error: T::Err| self.wrong(column, error.to_string()))
    }

    fn number(&self, column: Column) -> Result<u64, TraceError> {
        let text = self.text(column);
        // openb writes some whole numbers with `.0`.
        let text = text.strip_suffix(".0").unwrap_or(text);
        match text.parse::<u64>() {
            Ok(number) if number <= NUMBER_MAX => Ok(number),
            Ok(_) => Err(self.wrong(column, TOO_LARGE)),
            Err(_) => Err(self.wrong(column, "is not a whole number, 0 or more")),
        }
    }

    fn small(&self, column: Column) -> Result<u32, TraceError> {
        u32::try_from(self.number(column)?).map_err(|_| self.wrong(column, TOO_LARGE))
    }

    fn optional(&self, column: Option<Column>) -> Result<Option<u64>, TraceError> {
        column.filter(|column| !self.text(*column).is_empty()).map(|c| self.number(c)).transpose()
    }

    fn or_zero(&self, column: Option<Column>) -> Result<u64, TraceError> {
        Ok(self.optional(column)?.unwrap_or(0))
    }

    fn small_or_zero(&self, column: Option<Column>) -> Result<u32, TraceError> {
        let wide = self.or_zero(column)?;
        u32::try_from(wide).map_err(|_| TraceError::Value {
            line: self.line,
            column: column.map_or("", |column| column.name),
            why: TOO_LARGE.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Trace, TraceError, hosts_of, nodes_csv, tasks_csv, tasks_of};

    const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\nb,64000,262144,2,T4\na,8000,1024,0,\n";
    const TASKS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,\
                         creation_time,deletion_time\n\
                         t0,12000,16384,1,1000,,LS,5,12\nt1,6000,12288,1,460,T4|A10,LS,,\n\
                         t2,1000,100,0,0,,BE,9,3\n";

    #[test]
    fn a_trace_is_read_and_written() {
        let trace = Trace::parse(NODES, TASKS).unwrap();
        assert_eq!(trace.capacity_milli(), 2000);
        assert_eq!(trace.hosts[0].cards[1].memory_mib, 15_109);
        assert_eq!((trace.tasks[0].runs_s, trace.tasks[1].runs_s), (Some(7), None));
        assert_eq!(trace.tasks[1].request.gpu.models, ["T4", "A10"]);
        assert_eq!(trace.tasks[1].request.gpu.memory_mib, 15_104 * 460 / 1000);
        // Ends before it began: how long it ran is not known.
        assert_eq!(trace.tasks[2].runs_s, None);
        let tasks = tasks_csv(trace.tasks.iter().map(|task| (3, task)));
        let again = Trace::parse(&nodes_csv(&trace.hosts), &tasks).unwrap();
        assert_eq!(again, trace);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let row = |row: &str| {
            format!("cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n1,1,0,0,\n{row}\n")
        };
        for (bad, said) in [
            ("x,1,0,0,", "line 3: cpu_milli is not a whole number, 0 or more"),
            ("-1,1,0,0,", "line 3: cpu_milli is not a whole number, 0 or more"),
            ("1,", "line 3: num_gpu is not a whole number, 0 or more"),
            ("1,99999999999999,0,0,", "line 3: memory_mib is too large"),
            ("1,1,1000000000,1000,", "line 3: heps:gpu_num is at most 64"),
            ("1,1,2,500,", "line 3: heps:gpu_share below 1000 is of one card only"),
            ("1,1,1,0,", "line 3: heps:gpu_share is 1 to 1000 thousandths of a card"),
            (
                "1,1,1,1000,T4||T4",
                "line 3: heps:gpu_model has at most 16 names of at most 64 characters",
            ),
        ] {
            assert_eq!(tasks_of(&row(bad)).unwrap_err().to_string(), said, "{bad}");
        }
        let long = row(&"1".repeat(5000));
        assert_eq!(tasks_of(&long), Err(TraceError::LongLine { line: 3 }));
        assert_eq!(tasks_of("cpu_milli\n"), Err(TraceError::NoColumn("memory_mib")));
        assert_eq!(tasks_of(""), Err(TraceError::Empty));
        assert_eq!(hosts_of("sn,cpu_milli,memory_mib,gpu,model\n"), Err(TraceError::Empty));
        let many = hosts_of("sn,cpu_milli,memory_mib,gpu,model\na,1,1,10000,T4\n").unwrap_err();
        assert_eq!(many.to_string(), "line 2: gpu is at most 256");
        hosts_of("sn,cpu_milli,memory_mib,gpu,model\n,1,1,1,T4\n").unwrap_err();
        let twice = hosts_of("sn,cpu_milli,memory_mib,gpu,model\na,1,1,0,\na,1,1,0,\n");
        assert_eq!(twice.unwrap_err().to_string(), "line 3: sn is the name of two nodes");
    }
}
