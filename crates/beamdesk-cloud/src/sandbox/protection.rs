//! Which walls stand, in words for an administrator.

use beamdesk_types::Protection;

use super::{
    cgroup::{Controller, Groups},
    homes::Homes,
};

pub(super) fn protections(homes: &Homes, groups: &Groups) -> Vec<Protection> {
    let namespace = |code, what: &str| protection(code, Ok(format!("bubblewrap: {what}")));
    let user_id = match homes.ids() {
        Some(ids) => Ok(format!(
            "each owner has a user id of one's own, {} to {}, in a user namespace",
            ids.start,
            ids.end - 1
        )),
        None => Err("Beamdesk does not run as root, so all desktops have its own user id; only \
                     their namespaces part them"
            .to_owned()),
    };
    let disk = "home folders share the host's disk; a size's disk is not enforced".to_owned();
    vec![
        protection("user_id", user_id),
        namespace("mount_namespace", "sees /usr read-only and its own home, nothing else"),
        namespace("pid_namespace", "sees and signals its own processes only"),
        namespace("ipc_namespace", "shared memory of its own"),
        namespace("network_namespace", "no network but its own loopback"),
        protection("memory_limit", groups.detail(Controller::Memory)),
        protection("cpu_limit", groups.detail(Controller::Cpu)),
        protection("task_limit", groups.detail(Controller::Pids)),
        protection("disk_limit", Err(disk)),
    ]
}

fn protection(code: &str, detail: Result<String, String>) -> Protection {
    let in_force = detail.is_ok();
    Protection { code: code.to_owned(), in_force, detail: detail.unwrap_or_else(|why| why) }
}
