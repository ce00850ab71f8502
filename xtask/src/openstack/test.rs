//! The tests that need a real cloud, with the lab around them.

use anyhow::Result;

use super::{Wanted, down, place::Place, process, up};
use crate::{checks, run::cargo};

/// The variable by which tests find the lab; without it they do nothing, and nextest leaves them out.
const LAB: &str = "BEAMDESK_LAB";

/// Brings the lab up, runs the tests, and takes the lab down again unless it was up before.
pub(crate) fn test(wanted: &Wanted) -> Result<()> {
    let was_up = process::runs(&Place::new()?, "mariadbd");
    let done = up(wanted).and_then(|()| tests(wanted.guest));
    if was_up {
        return done;
    }
    let ended = down(false);
    done.and(ended)
}

fn tests(guest: bool) -> Result<()> {
    let lab = Place::new()?.lab_file();
    if cargo().args(["nextest", "--version"]).succeeds() {
        cargo()
            .args(["nextest", "run", "--package", "beamdesk-cloud", "openstack"])
            // By itself nextest leaves out what needs the lab.
            .args(["--ignore-default-filter"])
            .env(LAB, &lab)
            .run()?;
    } else {
        cargo().args(["test", "--package", "beamdesk-cloud", "openstack"]).env(LAB, &lab).run()?;
    }
    let environment = [(LAB, lab.as_os_str())];
    checks::e2e_with(Some("cloud"), &environment)?;
    if guest { checks::e2e_with(Some("openstack"), &environment) } else { Ok(()) }
}
