//! Named places where a test may kill the process, as kill -9 would.

/// Dies here when `BEAMDESK_DIE_AT` names this place. Does nothing in a release build.
pub(super) fn fail_point(name: &str) {
    if cfg!(debug_assertions) && std::env::var_os(DIE_AT).is_some_and(|at| at == name) {
        let own = rustix::process::getpid();
        // It cannot fail: a process may always signal itself.
        let _always = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    }
}

/// Passed on to supervisors, so that a test reaches their places too.
pub(super) const DIE_AT: &str = "BEAMDESK_DIE_AT";
