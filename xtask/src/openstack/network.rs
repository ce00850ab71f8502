//! The cable between this machine and the bridge of guests, and what Neutron's agents leave behind.

use anyhow::Result;

use super::{place::Place, tool};
use crate::run::Step;

/// Our end, with the address that guests know this machine by.
const HOST_END: &str = "lab-host";
/// The end that Neutron's agent puts into its bridge; etc/linuxbridge.ini names it.
const BRIDGE_END: &str = "lab-phys";
const HOST_ADDRESS: &str = "10.77.0.1/24";

pub(super) fn up(place: &Place) -> Result<()> {
    if !exists(HOST_END) {
        let words = ["ip", "link", "add", HOST_END, "type", "veth", "peer", "name", BRIDGE_END];
        tool::run(place, &words)?;
    }
    tool::run(place, &["ip", "address", "replace", HOST_ADDRESS, "dev", HOST_END])?;
    for end in [HOST_END, BRIDGE_END] {
        tool::run(place, &["ip", "link", "set", end, "up"])?;
    }
    Ok(())
}

/// Removes cable, bridges, taps, namespaces and packet filters, where there are any.
pub(super) fn down() {
    if !exists(HOST_END) {
        return;
    }
    tool::attempt(&["ip", "link", "delete", HOST_END]);
    for name in interfaces() {
        if is_neutrons(&name) {
            tool::attempt(&["ip", "link", "delete", &name]);
        }
    }
    let namespaces = Step::new("ip").args(["netns", "list"]).output_quiet().unwrap_or_default();
    for name in namespaces.lines().filter_map(|line| line.split_whitespace().next()) {
        if name.starts_with("qdhcp-") {
            tool::attempt(&["ip", "netns", "delete", name]);
        }
    }
    for program in ["iptables", "ip6tables"] {
        remove_chains(program);
    }
    for set in Step::new("ipset").args(["list", "-name"]).output_quiet().unwrap_or_default().lines()
    {
        if set.starts_with("NIPv") {
            tool::attempt(&["ipset", "destroy", set]);
        }
    }
}

/// Interfaces as Neutron's linuxbridge agent names them: a prefix and a part of an id.
fn is_neutrons(name: &str) -> bool {
    ["brq", "tap"].iter().any(|prefix| {
        name.strip_prefix(prefix).is_some_and(|id| {
            id.len() == "01234567-89".len() && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
        })
    })
}

/// Neutron's chains, and the jumps to them: every other rule of this machine stays.
fn remove_chains(program: &str) {
    for table in ["filter", "nat", "mangle", "raw"] {
        let save = format!("{program}-save");
        let saved = Step::new(&save).args(["-t", table]).output_quiet().unwrap_or_default();
        if !saved.contains("neutron-") {
            continue;
        }
        let rest = without_neutron(&saved);
        let restore = format!("printf '%s' \"$1\" | {program}-restore");
        tool::attempt(&["sh", "-c", &restore, "sh", &rest]);
    }
}

fn without_neutron(saved: &str) -> String {
    saved
        .lines()
        .filter(|line| !line.contains("neutron-"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn exists(interface: &str) -> bool {
    Step::new("ip").args(["link", "show", interface]).succeeds()
}

/// By `ip` and not by /sys, which may show those of another network namespace.
fn interfaces() -> Vec<String> {
    let listed = Step::new("ip").args(["-o", "link", "show"]).output_quiet().unwrap_or_default();
    names(&listed)
}

/// Lines as `3: lab-host@lab-phys: <BROADCAST,…`.
fn names(listed: &str) -> Vec<String> {
    let name = |line: &str| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned());
    listed.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::{is_neutrons, names, without_neutron};

    #[test]
    fn only_neutrons_interfaces_are_removed() {
        assert!(is_neutrons("brq01234567-89"));
        assert!(is_neutrons("tapabcdef01-2f"));
        for other in ["br0", "tap0", "brqueue", "eth0", "docker0", "lo", "tap-mine-1234"] {
            assert!(!is_neutrons(other), "{other}");
        }
    }

    #[test]
    fn interfaces_are_read_with_and_without_another_end() {
        let listed =
            "1: lo: <LOOPBACK,UP>\\    link/loopback 00:00\n3: lab-host@lab-phys: <UP> mtu\n";
        assert_eq!(names(listed), ["lo", "lab-host"]);
    }

    #[test]
    fn other_rules_stay() {
        let saved = "*filter\n:INPUT ACCEPT [0:0]\n:neutron-linuxbri-INPUT - [0:0]\n\
            -A INPUT -j neutron-linuxbri-INPUT\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";
        let rest = without_neutron(saved);
        assert_eq!(
            rest,
            "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n"
        );
    }
}
