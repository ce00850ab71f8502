//! What the cloud is filled with: `lab/cloud.py` does it by the cloud's own API.

use std::fs;

use anyhow::{Result, anyhow};
use serde_json::json;

use super::{
    guest,
    image::GuestFiles,
    place::{self, Place},
    tool,
    wait::Progress,
};

/// Accounts and endpoints of the services.
pub(super) fn catalog(place: &Place) -> Result<()> {
    fs::write(place.etc().join("wanted.json"), "{}")?;
    python(place, "catalog").map(drop)
}

/// People, networks, flavors, images and hosts; writes `clouds.yaml` and `lab.json`.
pub(super) fn populate(
    place: &Place,
    hosts: u16,
    files: Option<&GuestFiles>,
    progress: &Progress,
) -> Result<()> {
    let wanted = json!({
        "hosts": hosts,
        "guest": files.is_some(),
        "host": guest::host(),
        "guest_files": files.map(GuestFiles::to_json),
        "clouds_file": place.state().join("clouds.yaml"),
        "lab_file": place.lab_file(),
    });
    fs::write(place.etc().join("wanted.json"), wanted.to_string())?;
    python(place, "populate")?;
    progress.say("people, networks, flavors and images are there");
    python(place, "hosts")?;
    progress.say("all hosts take servers");
    Ok(())
}

pub(super) fn status(place: &Place) -> Result<String> {
    python(place, "status")
}

fn python(place: &Place, what: &str) -> Result<String> {
    let script = place::python().join("cloud.py").display().to_string();
    let wanted = place.etc().join("wanted.json").display().to_string();
    let mut command = tool::command(place, &["/usr/bin/python3", &script, what, &wanted]);
    let output = command.env("LAB_PASSWORD", place.password()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(anyhow!("cloud.py {what} failed ({}):\n{}", output.status, tool::tail(&said)))
}
