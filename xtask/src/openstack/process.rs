//! Programs that go on when our command has ended: each in a session of its own, found again by its pid.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    place::{MARK, Place},
    tool, wait,
};

/// The services' own time for an orderly end; their state is thrown away right after.
const END: Duration = Duration::from_secs(8);
const END_KILLED: Duration = Duration::from_secs(10);
/// Last to go: many services wait for these for ever.
const GROUND: &[&str] = &["rabbitmq", "mariadbd"];

/// One program that stays.
pub(super) struct Daemon {
    pub(super) name: String,
    pub(super) words: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
}

impl Daemon {
    pub(super) fn new(name: &str, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { name: name.to_owned(), words, environment: Vec::new() }
    }

    pub(super) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Starts it, unless it runs.
    pub(super) fn start(&self, place: &Place) -> Result<()> {
        if runs(place, &self.name) {
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(place.log(&self.name))?;
        // `setsid` becomes the program: the pid stays, and no terminal's end reaches it.
        let mut words = vec!["setsid"];
        words.extend(self.words.iter().map(String::as_str));
        let child = tool::command(place, &words)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("could not start {}", self.name))?;
        let about =
            About::of(child.id()).with_context(|| format!("{} ended at once", self.name))?;
        let text = format!("{} {}", child.id(), about.started);
        Ok(fs::write(pid_file(place, &self.name), text)?)
    }
}

/// Whether it runs: the very process that was started, not another that got its number.
pub(super) fn runs(place: &Place, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(pid_file(place, name)) else { return false };
    let mut words = text.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(pid)), Some(Ok(started))) = (words.next(), words.next()) else { return false };
    let Ok(pid) = u32::try_from(pid) else { return false };
    About::of(pid).is_some_and(|about| about.started == started && !about.is_dead)
}

/// Fails with the program's last words once it has ended.
pub(super) fn must_run(place: &Place, name: &str) -> Result<()> {
    if runs(place, name) {
        return Ok(());
    }
    bail!("{name} ended; its last words:\n{}", tool::tail_of(&place.log(name)))
}

/// Waits until the program listens there.
pub(super) fn until_answers(place: &Place, name: &str, port: u16, limit: Duration) -> Result<()> {
    wait::until(&format!("{name} listens on port {port}"), limit, || {
        must_run(place, name)?;
        Ok(wait::answers(port))
    })
}

/// Names of all that was started, whether it runs or not.
pub(super) fn known(place: &Place) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(place.run())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".pid")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// Ends everything that this lab ever started, also what its services started and forgot.
pub(super) fn stop_all(place: &Place) -> Result<()> {
    let ground: Vec<u32> = GROUND.iter().filter_map(|name| pid(place, name)).collect();
    let upper = |place: &Place| -> Vec<u32> {
        marked(place)
            .into_iter()
            .filter(|pid| About::of(*pid).is_some_and(|about| !ground.contains(&about.session)))
            .collect()
    };
    end(&|| upper(place))?;
    end(&|| marked(place))
}

/// TERM, and KILL for those who stay.
fn end(members: &dyn Fn() -> Vec<u32>) -> Result<()> {
    let all_signal = |signal| {
        for pid in members() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // An error means that it went by itself meanwhile.
                let _ = kill_process(pid, signal);
            }
        }
    };
    all_signal(Signal::TERM);
    let gone = wait::until("services end", END, || Ok(members().is_empty()));
    if gone.is_ok() {
        return Ok(());
    }
    wait::until("services end when killed", END_KILLED, || {
        all_signal(Signal::KILL);
        Ok(members().is_empty())
    })
}

/// All processes of this lab but for ourselves: those with its mark in their environment, and those of a
/// session that was started by it, since some write their title over their environment.
fn marked(place: &Place) -> Vec<u32> {
    let mark = format!("{MARK}={}", place.state().display());
    let own = std::process::id();
    let sessions: Vec<u32> = known(place).iter().filter_map(|name| session(place, name)).collect();
    let is_marked = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let about = About::of(*pid).filter(|about| !about.is_dead);
            let is_ours = |about: About| sessions.contains(&about.session) || is_marked(*pid);
            *pid != own && about.is_some_and(is_ours)
        })
        .collect()
}

/// The session of a program that was started, unless its number has gone to another program since.
fn session(place: &Place, name: &str) -> Option<u32> {
    let text = fs::read_to_string(pid_file(place, name)).ok()?;
    let (pid, started) = text.split_once(' ')?;
    let pid = pid.parse().ok()?;
    let is_another = About::of(pid).is_some_and(|about| about.started.to_string() != started);
    (!is_another).then_some(pid)
}

fn pid(place: &Place, name: &str) -> Option<u32> {
    let text = fs::read_to_string(pid_file(place, name)).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn pid_file(place: &Place, name: &str) -> std::path::PathBuf {
    place.run().join(format!("{name}.pid"))
}

/// What the kernel says of a process.
#[derive(Debug, PartialEq, Eq)]
struct About {
    is_dead: bool,
    session: u32,
    /// Ticks since the machine's start: tells two processes of one number apart.
    started: u64,
}

impl About {
    fn of(pid: u32) -> Option<Self> {
        let path = format!("/proc/{pid}/stat");
        Self::parse(&fs::read_to_string(Path::new(&path)).ok()?)
    }

    /// proc(5): state is field 3, session 6, start time 22. A name may hold blanks and brackets.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Self {
            is_dead: matches!(*fields.first()?, "Z" | "X"),
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::About;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "42 (a) b (c) Z 1 2 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 9";
        assert_eq!(
            About::parse(stat),
            Some(About { is_dead: true, session: 77, started: 123_456 })
        );
        assert_eq!(About::parse("42 (a"), None);
    }

    #[test]
    fn we_are_alive() {
        let about = About::of(std::process::id()).unwrap();
        assert!(!about.is_dead);
        assert_eq!(About::of(std::process::id()).unwrap(), about);
    }
}
