//! The services themselves: what each is started with, in which order, and when it is there.

use std::{fs, time::Duration};

use anyhow::{Result, bail};

use super::{
    cloud,
    database::RABBIT_PORT,
    place::{self, Place},
    process::{self, Daemon},
    wait::{self, Progress},
};

/// A start on a machine that is busy with other things; quiet ones need 20 s for all.
const START: Duration = Duration::from_secs(180);
/// A hundred fake hosts take half a minute on two quiet cores.
const FAKES_START: Duration = Duration::from_secs(400);
/// One Python process, one core: more hosts go into another.
const FAKES_PER_PROCESS: u16 = 125;

const KEYSTONE: u16 = 5000;
const PLACEMENT: u16 = 8778;
const GLANCE: u16 = 9292;
const NOVA: u16 = 8774;
const NOVA_METADATA: u16 = 8775;
const NEUTRON: u16 = 9696;

/// Who listens where.
const PORTS: &[(&str, u16)] = &[
    ("keystone", KEYSTONE),
    ("placement", PLACEMENT),
    ("glance-api", GLANCE),
    ("nova-api", NOVA),
    ("nova-api", NOVA_METADATA),
    ("neutron-server", NEUTRON),
    ("rabbitmq", RABBIT_PORT),
];

/// Fails if somebody else's program listens where one of ours has to.
pub(super) fn ports_are_free(place: &Place) -> Result<()> {
    for (name, port) in PORTS {
        if !process::runs(place, name) && wait::answers(*port) {
            bail!(
                "port {port} is taken: {name} of the lab needs it. Is there another OpenStack, \
                 RabbitMQ or web server on this machine?"
            );
        }
    }
    Ok(())
}

/// Keystone, Placement, Glance, Nova and Neutron, until they answer.
pub(super) fn control(place: &Place, progress: &Progress) -> Result<()> {
    let config = |name: &str| place.etc().join(name).display().to_string();
    let first = [
        uwsgi(place, "keystone", KEYSTONE, "/usr/bin/keystone-wsgi-public"),
        uwsgi(place, "placement", PLACEMENT, "/usr/bin/placement-api"),
        Daemon::new("glance-api", &["glance-api", "--config-file", &config("glance-api.conf")]),
    ];
    for daemon in &first {
        daemon.start(place)?;
    }
    process::until_answers(place, "keystone", KEYSTONE, START)?;
    // Nova's conductor and scheduler end at once if they find no account and no endpoint.
    cloud::catalog(place)?;
    progress.say("Keystone answers and has its catalog");
    process::until_answers(place, "rabbitmq", RABBIT_PORT, START)?;
    let mut second: Vec<Daemon> = ["nova-conductor", "nova-scheduler", "nova-api"]
        .iter()
        .map(|name| nova(place, name, name, "nova-control.conf"))
        .collect();
    let neutron = ["neutron-server", "--config-file", &config("neutron.conf"), "--config-file"];
    second.push(Daemon::new("neutron-server", &[&neutron[..], &[&config("ml2.ini")]].concat()));
    for daemon in &second {
        daemon.start(place)?;
    }
    for (name, port) in PORTS {
        process::until_answers(place, name, *port, START)?;
    }
    progress.say("Placement, Glance, Nova and Neutron answer");
    Ok(())
}

/// One of Nova's programs, with the shared configuration and its own.
pub(super) fn nova(place: &Place, name: &str, program: &str, own: &str) -> Daemon {
    let config = |name: &str| place.etc().join(name).display().to_string();
    let words = [program, "--config-file", &config("nova.conf"), "--config-file", &config(own)];
    Daemon::new(name, &words)
}

/// Every call has its own connection: a thread is not held by a caller who keeps it open.
fn uwsgi(place: &Place, name: &str, port: u16, application: &str) -> Daemon {
    let listen = format!("127.0.0.1:{port}");
    let mut words: Vec<&str> = "uwsgi --plugin python3 --need-app --die-on-term --lazy-apps \
        --enable-threads --buffer-size 65535 --listen 100 --master --processes 1 --threads 8"
        .split_whitespace()
        .collect();
    words.extend(["--add-header", "Connection: close", "--http-socket", &listen]);
    words.extend(["--wsgi-file", application]);
    let arguments = format!("--config-file {}", place.etc().join("keystone.conf").display());
    if name == "keystone" {
        words.extend(["--pyargv", &arguments]);
    }
    Daemon::new(name, &words).env("OS_PLACEMENT_CONFIG_DIR", &place.etc().display().to_string())
}

/// Fake hosts, as many as wanted; those that are there stay. Gives how many there are then.
pub(super) fn fakes(place: &Place, wanted: Option<u16>, progress: &Progress) -> Result<u16> {
    let mut groups: Vec<Group> =
        process::known(place).iter().filter_map(|name| Group::named(name)).collect();
    let there = groups.iter().map(Group::last).max().unwrap_or(0);
    let hosts = wanted.unwrap_or(if there > 0 { there } else { super::HOSTS }).max(there);
    if wanted.is_some_and(|wanted| wanted < there) {
        progress.say(&format!("{there} hosts are there already, and stay"));
    }
    groups.extend(further(there, hosts));
    for group in &groups {
        let name = group.name();
        if !process::runs(place, &name) {
            // An earlier run's word is not this one's.
            drop(fs::remove_file(place.log(&name)));
        }
        group.daemon(place).start(place)?;
    }
    for group in &groups {
        let name = group.name();
        wait::until(&format!("hosts {name} start"), FAKES_START, || {
            process::must_run(place, &name)?;
            let log = fs::read_to_string(place.log(&name)).unwrap_or_default();
            Ok(log.lines().any(|line| line.starts_with("READY")))
        })?;
    }
    progress.say(&format!("{hosts} fake hosts run"));
    Ok(hosts)
}

/// Fake hosts of one process.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    first: u16,
    count: u16,
}

impl Group {
    fn named(name: &str) -> Option<Self> {
        let (first, count) = name.strip_prefix("fakes-")?.split_once('-')?;
        Some(Self { first: first.parse().ok()?, count: count.parse().ok()? })
    }

    fn name(&self) -> String {
        format!("fakes-{}-{}", self.first, self.count)
    }

    fn last(&self) -> u16 {
        self.first + self.count - 1
    }

    fn daemon(&self, place: &Place) -> Daemon {
        let script = place::python().join("fakecomputes.py").display().to_string();
        let config = |name: &str| place.etc().join(name).display().to_string();
        let (first, count) = (self.first.to_string(), self.count.to_string());
        let words = ["/usr/bin/python3", &script, &first, &count, "--config-file"];
        let files = [&config("nova.conf"), "--config-file", &config("nova-fake.conf")];
        Daemon::new(&self.name(), &[&words[..], &files[..]].concat())
    }
}

/// The groups that are missing after the first `there` hosts.
fn further(there: u16, hosts: u16) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut first = there + 1;
    while first <= hosts {
        let count = (hosts - first + 1).min(FAKES_PER_PROCESS);
        groups.push(Group { first, count });
        first += count;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::{Group, further};

    #[test]
    fn hosts_are_numbered_without_a_gap_or_an_overlap() {
        assert_eq!(further(0, 8), [Group { first: 1, count: 8 }]);
        assert_eq!(
            further(8, 250),
            [Group { first: 9, count: 125 }, Group { first: 134, count: 117 }]
        );
        assert_eq!(further(8, 250).last().map(Group::last), Some(250));
        assert!(further(8, 8).is_empty());
        assert!(further(8, 4).is_empty());
    }

    #[test]
    fn a_group_is_found_again_by_its_name() {
        let group = Group { first: 9, count: 125 };
        assert_eq!(Group::named(&group.name()), Some(group));
        assert_eq!(Group::named("nova-api"), None);
    }
}
