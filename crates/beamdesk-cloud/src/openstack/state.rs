//! What Nova's three states of a server are in ours.
//!
//! `vm_state` is what it settled on, `task_state` what is being done to it, `power_state` what the
//! hypervisor says (nova/compute/vm_states.py, task_states.py, power_state.py).

use crate::{PowerState, ServerNote};

/// What Nova says of one server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told<'a> {
    pub(super) vm_state: &'a str,
    pub(super) task_state: Option<&'a str>,
    pub(super) power_state: u8,
    pub(super) locked: bool,
    /// Whether our own metadata say that we put it away.
    pub(super) put_away: bool,
    /// Why it broke, if it did.
    pub(super) fault: Option<&'a str>,
}

/// nova/compute/power_state.py: the hypervisor knows it and it is not running.
const SHUTDOWN: u8 = 4;
const CRASHED: u8 = 6;

/// What it is for us. A state that we have not is a note, and the power beside it says only whether
/// it takes room: nothing follows from it.
pub(super) fn state(told: Told<'_>) -> (PowerState, Option<ServerNote>) {
    let (power, note) = settled(told);
    let (power, note) = match told.task_state {
        None => (power, note),
        Some(_) if power == PowerState::Deleting => (power, note),
        Some(task) => under_way(task, power, note),
    };
    let locked = told.locked && !matches!(power, PowerState::Deleting | PowerState::Error(_));
    (power, note.or(locked.then_some(ServerNote::Locked)))
}

/// While nothing is being done to it.
fn settled(told: Told<'_>) -> (PowerState, Option<ServerNote>) {
    match told.vm_state {
        // An operator of the host may have switched it off behind Nova's back, or it did itself:
        // Nova sees to vm_state within minutes.
        "active" if matches!(told.power_state, SHUTDOWN | CRASHED) => (PowerState::Off, None),
        "active" => (PowerState::Active, None),
        "building" => (PowerState::Building, None),
        "stopped" => (PowerState::Off, None),
        "shelved" | "shelved_offloaded" => {
            (PowerState::Off, (!told.put_away).then_some(ServerNote::Shelved))
        }
        "paused" => (PowerState::Active, Some(ServerNote::Paused)),
        "suspended" => (PowerState::Active, Some(ServerNote::Suspended)),
        "rescued" => (PowerState::Active, Some(ServerNote::Rescued)),
        "resized" => (PowerState::Active, Some(ServerNote::Resizing)),
        "soft-delete" => (PowerState::Off, Some(ServerNote::SoftDeleted)),
        "deleted" => (PowerState::Deleting, None),
        "error" => {
            let fault = told.fault.filter(|fault| !fault.is_empty());
            let why = fault.unwrap_or("the cloud does not say why");
            (PowerState::Error(clipped(why)), None)
        }
        other => (PowerState::Active, Some(ServerNote::Unknown(clipped(other)))),
    }
}

/// While something is being done to it.
fn under_way(
    task: &str,
    settled: PowerState,
    note: Option<ServerNote>,
) -> (PowerState, Option<ServerNote>) {
    match task {
        "deleting" => (PowerState::Deleting, None),
        "soft-deleting" => (PowerState::Off, Some(ServerNote::SoftDeleted)),
        // As long as it is not off it takes room, so that is what it is.
        "powering-off"
        | "shelving"
        | "shelving_image_pending_upload"
        | "shelving_image_uploading"
        | "shelving_offloading" => match settled {
            // It is put away already, and still on its host's disk.
            PowerState::Off => (PowerState::Active, note),
            other => (other, note),
        },
        "powering-on"
        | "unshelving"
        | "spawning"
        | "scheduling"
        | "networking"
        | "block_device_mapping"
        | "restoring" => match settled {
            // Whoever put it away, it comes back.
            PowerState::Off => (PowerState::Building, None),
            other => (other, note),
        },
        "migrating" => (settled, Some(ServerNote::Migrating)),
        "resize_prep" | "resize_migrating" | "resize_migrated" | "resize_finish"
        | "resize_reverting" | "resize_confirming" => (settled, Some(ServerNote::Resizing)),
        "rebuilding" | "rebuild_block_device_mapping" | "rebuild_spawning" => {
            (PowerState::Building, None)
        }
        "pausing" => (settled, Some(ServerNote::Paused)),
        "suspending" => (settled, Some(ServerNote::Suspended)),
        "rescuing" => (settled, Some(ServerNote::Rescued)),
        // On its way back to what it was: the note stays until it is.
        "unpausing" | "resuming" | "unrescuing" => (settled, note),
        // It runs, as before and after.
        "image_snapshot"
        | "image_snapshot_pending"
        | "image_pending_upload"
        | "image_uploading"
        | "image_backup"
        | "updating_password"
        | "rebooting"
        | "reboot_pending"
        | "reboot_started"
        | "rebooting_hard"
        | "reboot_pending_hard"
        | "reboot_started_hard" => (still_on(settled), note),
        other => (settled, Some(ServerNote::Unknown(clipped(other)))),
    }
}

/// In the middle of a reboot the hypervisor says that it is off.
fn still_on(settled: PowerState) -> PowerState {
    match settled {
        PowerState::Off => PowerState::Active,
        other => other,
    }
}

/// Faults have whole tracebacks sometimes.
const TEXT_CHARS_MAX: usize = 400;

pub(super) fn clipped(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{Told, state};
    use crate::{PowerState, ServerNote};

    use PowerState::{Active, Building, Deleting, Off};
    use ServerNote::{
        Locked, Migrating, Paused, Rescued, Resizing, Shelved, SoftDeleted, Suspended, Unknown,
    };

    /// All that Nova has (nova/compute/vm_states.py).
    const VM_STATES: [&str; 12] = [
        "active",
        "building",
        "paused",
        "suspended",
        "stopped",
        "rescued",
        "resized",
        "soft-delete",
        "deleted",
        "error",
        "shelved",
        "shelved_offloaded",
    ];
    /// All that Nova has (nova/compute/task_states.py).
    const TASK_STATES: [&str; 42] = [
        "scheduling",
        "block_device_mapping",
        "networking",
        "spawning",
        "image_snapshot",
        "image_snapshot_pending",
        "image_pending_upload",
        "image_uploading",
        "image_backup",
        "updating_password",
        "resize_prep",
        "resize_migrating",
        "resize_migrated",
        "resize_finish",
        "resize_reverting",
        "resize_confirming",
        "rebooting",
        "reboot_pending",
        "reboot_started",
        "rebooting_hard",
        "reboot_pending_hard",
        "reboot_started_hard",
        "pausing",
        "unpausing",
        "suspending",
        "resuming",
        "powering-off",
        "powering-on",
        "rescuing",
        "unrescuing",
        "rebuilding",
        "rebuild_block_device_mapping",
        "rebuild_spawning",
        "migrating",
        "deleting",
        "soft-deleting",
        "restoring",
        "shelving",
        "shelving_image_pending_upload",
        "shelving_image_uploading",
        "shelving_offloading",
        "unshelving",
    ];

    fn told(vm_state: &'static str, task: Option<&'static str>) -> Told<'static> {
        Told { vm_state, task_state: task, power_state: 1, ..Told::default() }
    }

    #[test]
    fn each_settled_state_has_its_meaning() {
        for (vm_state, power, note) in [
            ("active", Active, None),
            ("building", Building, None),
            ("stopped", Off, None),
            ("paused", Active, Some(Paused)),
            ("suspended", Active, Some(Suspended)),
            ("rescued", Active, Some(Rescued)),
            ("resized", Active, Some(Resizing)),
            ("soft-delete", Off, Some(SoftDeleted)),
            ("deleted", Deleting, None),
            ("shelved", Off, Some(Shelved)),
            ("shelved_offloaded", Off, Some(Shelved)),
            ("never heard of", Active, Some(Unknown("never heard of".to_owned()))),
            ("", Active, Some(Unknown(String::new()))),
        ] {
            assert_eq!(state(told(vm_state, None)), (power, note), "{vm_state}");
        }
    }

    #[test]
    fn each_task_has_its_meaning() {
        for (vm_state, task, power, note) in [
            ("building", "scheduling", Building, None),
            ("building", "networking", Building, None),
            ("building", "block_device_mapping", Building, None),
            ("building", "spawning", Building, None),
            ("building", "deleting", Deleting, None),
            ("active", "deleting", Deleting, None),
            ("error", "deleting", Deleting, None),
            ("active", "soft-deleting", Off, Some(SoftDeleted)),
            ("soft-delete", "restoring", Building, None),
            ("active", "powering-off", Active, None),
            ("stopped", "powering-on", Building, None),
            ("active", "shelving", Active, None),
            ("active", "shelving_image_pending_upload", Active, None),
            ("active", "shelving_image_uploading", Active, None),
            ("shelved", "shelving_offloading", Active, Some(Shelved)),
            ("shelved_offloaded", "unshelving", Building, None),
            ("shelved_offloaded", "spawning", Building, None),
            ("active", "migrating", Active, Some(Migrating)),
            ("active", "resize_prep", Active, Some(Resizing)),
            ("active", "resize_migrating", Active, Some(Resizing)),
            ("active", "resize_migrated", Active, Some(Resizing)),
            ("active", "resize_finish", Active, Some(Resizing)),
            ("resized", "resize_reverting", Active, Some(Resizing)),
            ("resized", "resize_confirming", Active, Some(Resizing)),
            ("active", "rebuilding", Building, None),
            ("active", "rebuild_block_device_mapping", Building, None),
            ("active", "rebuild_spawning", Building, None),
            ("active", "pausing", Active, Some(Paused)),
            ("paused", "unpausing", Active, Some(Paused)),
            ("active", "suspending", Active, Some(Suspended)),
            ("suspended", "resuming", Active, Some(Suspended)),
            ("active", "rescuing", Active, Some(Rescued)),
            ("rescued", "unrescuing", Active, Some(Rescued)),
            ("active", "rebooting", Active, None),
            ("active", "reboot_pending", Active, None),
            ("active", "reboot_started", Active, None),
            ("active", "rebooting_hard", Active, None),
            ("active", "reboot_pending_hard", Active, None),
            ("active", "reboot_started_hard", Active, None),
            ("active", "image_snapshot", Active, None),
            ("active", "image_snapshot_pending", Active, None),
            ("active", "image_pending_upload", Active, None),
            ("active", "image_uploading", Active, None),
            ("active", "image_backup", Active, None),
            ("active", "updating_password", Active, None),
            ("active", "dancing", Active, Some(Unknown("dancing".to_owned()))),
        ] {
            assert_eq!(state(told(vm_state, Some(task))), (power, note), "{vm_state} {task}");
        }
    }

    #[test]
    fn only_what_nova_deletes_is_being_deleted_and_only_what_broke_is_broken() {
        for vm_state in VM_STATES {
            for task in TASK_STATES {
                let (power, note) = state(told(vm_state, Some(task)));
                let gone = task == "deleting" || vm_state == "deleted";
                assert_eq!(power == Deleting, gone, "{vm_state} {task}");
                let broken = matches!(power, PowerState::Error(_));
                assert!(!broken || vm_state == "error", "{vm_state} {task}");
                assert!(!matches!(note, Some(Unknown(_))), "{vm_state} {task} is not known");
            }
        }
    }

    #[test]
    fn a_server_that_switched_itself_off_is_off_before_nova_says_so() {
        for power_state in [4, 6] {
            assert_eq!(state(Told { power_state, ..told("active", None) }), (Off, None));
            let rebooting = Told { power_state, ..told("active", Some("rebooting_hard")) };
            assert_eq!(state(rebooting), (Active, None));
        }
        assert_eq!(state(Told { power_state: 0, ..told("active", None) }), (Active, None));
    }

    #[test]
    fn what_we_put_away_needs_no_note() {
        let ours = Told { put_away: true, ..told("shelved_offloaded", None) };
        assert_eq!(state(ours), (Off, None));
        let going = Told { put_away: true, ..told("shelved", Some("shelving_offloading")) };
        assert_eq!(state(going), (Active, None));
    }

    #[test]
    fn a_lock_is_noted_unless_there_is_more_to_say() {
        let locked = |vm_state| state(Told { locked: true, ..told(vm_state, None) });
        assert_eq!(locked("active"), (Active, Some(Locked)));
        assert_eq!(locked("stopped"), (Off, Some(Locked)));
        assert_eq!(locked("paused"), (Active, Some(Paused)));
        assert_eq!(locked("deleted"), (Deleting, None));
    }

    #[test]
    fn a_broken_one_says_why_within_bounds() {
        let fault = "x".repeat(5000);
        let (power, _) = state(Told { fault: Some(&fault), ..told("error", None) });
        assert_eq!(power, PowerState::Error("x".repeat(400)));
        let (power, _) = state(told("error", None));
        assert_eq!(power, PowerState::Error("the cloud does not say why".to_owned()));
    }
}
