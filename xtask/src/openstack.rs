//! The lab: a real OpenStack on this machine, from Debian's packages, on loopback, without systemd.
//!
//! docs/lab.md tells what it is and what it is for.

mod cloud;
mod config;
mod database;
mod guest;
mod image;
mod install;
mod lock;
mod network;
mod place;
mod process;
mod services;
mod test;
mod tool;
mod wait;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

pub(crate) use self::test::test;
use self::{lock::Lock, place::Place, wait::Progress};

/// Hosts of the lab unless told otherwise: enough for the tests, and up in seconds.
const HOSTS: u16 = 8;
/// More than two cores and 24 GiB carry; 250 take a good minute to start.
const HOSTS_MAX: u16 = 500;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Starts Keystone, Placement, Glance, Neutron and Nova with fake hosts; may be repeated
    Up {
        /// Install missing packages without asking
        #[arg(long)]
        yes: bool,
        /// Fake hosts, with four cards each [default: 8, or as many as there are]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(HOSTS_MAX)))]
        hosts: Option<u16>,
        /// Also a host with libvirt that boots real guests, and their image
        #[arg(long)]
        guest: bool,
    },
    /// Stops all of it and removes what it kept, but for the caches that make the next start quick
    Down {
        /// Remove the caches too
        #[arg(long)]
        caches: bool,
    },
    /// What runs, what does not, and where its files are
    Status,
    /// Builds the image of the guest, as `up --guest` does
    Image {
        /// Install missing packages without asking
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn openstack(arguments: &Arguments) -> Result<()> {
    match arguments.what {
        What::Up { yes, hosts, guest } => up(&Wanted { yes, hosts, guest }),
        What::Down { caches } => down(caches),
        What::Status => status(),
        What::Image { yes } => {
            tool::must_be_root()?;
            install::install(true, yes)?;
            image::ensure(&Place::new()?, &Progress::new()).map(drop)
        }
    }
}

/// What `up` is asked for.
pub(crate) struct Wanted {
    /// Install missing packages without asking.
    pub(crate) yes: bool,
    /// Fake hosts; `None`: the default, or as many as run.
    pub(crate) hosts: Option<u16>,
    /// Also a libvirt host with the image of a guest.
    pub(crate) guest: bool,
}

/// Brings the lab to what is wanted, from whatever state it is in.
pub(crate) fn up(wanted: &Wanted) -> Result<()> {
    tool::must_be_root()?;
    let progress = Progress::new();
    install::install(wanted.guest, wanted.yes)?;
    let place = Place::new()?;
    let lock = Lock::take(&place)?;
    let is_whole = database::is_whole(&place)
        && ["mariadbd", "rabbitmq"].iter().all(|name| process::runs(&place, name));
    if !is_whole {
        // Half a lab, or none: what is left of an earlier one is of no use.
        clear(&place, &progress)?;
    }
    services::ports_are_free(&place)?;
    lock.claim()?;
    // Long, and needs no cloud: so that a failure is told before anything runs.
    let guest_files = if wanted.guest {
        Some(image::ensure(&place, &progress)?)
    } else if process::known(&place).iter().any(|name| name == "nova-compute") {
        image::present(&place)? // It was asked for earlier, and stays.
    } else {
        None
    };
    config::write(&place)?;
    database::up(&place, &progress)?;
    services::control(&place, &progress)?;
    if guest_files.is_some() {
        guest::up(&place, &progress)?;
    }
    let hosts = services::fakes(&place, wanted.hosts, &progress)?;
    cloud::populate(&place, hosts, guest_files.as_ref(), &progress)?;
    progress.say(&format!("the lab is up: {}", place.lab_file().display()));
    Ok(())
}

/// Takes everything away.
pub(crate) fn down(caches: bool) -> Result<()> {
    tool::must_be_root()?;
    let progress = Progress::new();
    let place = Place::new()?;
    let lock = Lock::take(&place)?;
    clear(&place, &progress)?;
    if caches {
        place.remove_caches()?;
    }
    lock.release()?;
    progress.say("the lab is down");
    Ok(())
}

fn clear(place: &Place, progress: &Progress) -> Result<()> {
    guest::down();
    process::stop_all(place)?;
    network::down();
    place.remove_state()?;
    progress.say("nothing of an earlier lab is left");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer to the person who asked")]
fn status() -> Result<()> {
    let place = Place::new()?;
    let names = process::known(&place);
    if names.is_empty() {
        println!("The lab does not run. `cargo xtask openstack up` starts it.");
        return Ok(());
    }
    let dead: Vec<&String> = names.iter().filter(|name| !process::runs(&place, name)).collect();
    println!(
        "programs {}, ended: {}",
        names.len(),
        if dead.is_empty() { "none" } else { "see below" }
    );
    for name in &dead {
        println!("  {name}: {}", place.log(name).display());
    }
    print!("{}", cloud::status(&place)?);
    println!("lab      {}", place.lab_file().display());
    println!("logs     {}", place.logs().display());
    if dead.is_empty() {
        return Ok(());
    }
    bail!("a part of the lab has ended; `cargo xtask openstack up` starts it again")
}
