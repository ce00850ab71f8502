//! The installation of docs/production.md, followed step by step on machines of its own:
//! `cargo xtask test --production`.
//!
//! A machine is a network namespace with a file system of its own, which begins as this one; see
//! [`machine`]. Where the page says what a person does in a browser, or what stands outside it (the
//! cloud), it has a comment `<!-- test: WORD -->`, and [`acts`] does that.
#![expect(clippy::print_stderr, reason = "tells the person who waits how far it is")]

mod acts;
mod browser;
mod forward;
mod machine;
mod page;
mod shell;
mod systemctl;
mod unit;
mod wait;

use std::{fs, io, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use self::{
    acts::World,
    machine::Site,
    page::{Step, steps},
    wait::Since,
};
pub(crate) use self::{forward::forward, shell::stand_in};
use crate::{
    dist, openstack, packages,
    run::{Step as Command, root},
    web,
};

const PAGE: &str = "docs/production.md";
/// Packages are made twice, the second time as the newer version of the upgrade.
const REVISIONS: [u32; 2] = [1, 2];

/// What `cargo xtask test --production` may be told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Install missing packages without asking.
    pub(crate) yes: bool,
    /// With programs of the development profile, which are quicker to build.
    pub(crate) debug: bool,
    /// With the packages of the run before.
    pub(crate) no_build: bool,
    /// Lets the machines stand when a step fails, until Enter is pressed.
    pub(crate) keep: bool,
}

/// Installs the whole of it from packages, uses it, upgrades it, restores it, and takes it away.
pub(crate) fn test(options: Options) -> Result<()> {
    if !Command::new("sh").args(["-c", "[ $(id -u) = 0 ]"]).succeeds() {
        bail!("machines of its own can only be made by root");
    }
    let begun = Since::now();
    let text = fs::read_to_string(root().join(PAGE)).context(PAGE)?;
    let steps = steps(&text)?;
    packages::install(packages::For::Production, options.yes)?;
    web::install()?;
    let packages =
        REVISIONS.map(|revision| root().join(format!("target/production/packages-{revision}")));
    if !options.no_build {
        for (revision, out) in REVISIONS.into_iter().zip(&packages) {
            clear(out)?;
            let no_build = revision != REVISIONS[0];
            let debug = options.debug;
            dist::dist(&dist::Arguments { debug, revision, out: out.clone(), no_build })?;
        }
    }
    let lab = Lab::up(options.yes)?;
    let site = Site::start(&packages[0])?;
    let mut world = World::new(&site, &lab.file()?, packages[1].clone())?;
    let followed = follow(&steps, &site, &mut world, begun);
    if let (Err(error), true) = (&followed, options.keep) {
        eprintln!("{error:#}");
        for machine in site.all() {
            eprintln!("  {:10} {}", machine.name, machine.way_in());
        }
        eprintln!("Press Enter to take the machines away");
        io::stdin().read_line(&mut String::new())?;
    }
    world.end();
    if followed.is_err() {
        let logs = site.keep_logs();
        eprintln!("What the machines logged is in {}", logs.display());
    }
    drop(site);
    followed?;
    lab.down()?;
    eprintln!("{PAGE} works, in {} s", begun.seconds());
    Ok(())
}

fn follow(steps: &[Step], site: &Site, world: &mut World<'_>, begun: Since) -> Result<()> {
    for step in steps {
        let shown = format!("[{:4} s] {PAGE}:{}", begun.seconds(), step.line());
        match step {
            Step::Run { on, script, line } => {
                for name in on {
                    eprintln!("{shown}: on {name}");
                    let said = site
                        .machine(name)?
                        .run(script)
                        .with_context(|| format!("{PAGE}:{line}, on {name}"))?;
                    world.heard(said);
                }
            }
            Step::Act { what, line } => {
                eprintln!("{shown}: {what}");
                world.act(what).with_context(|| format!("{PAGE}:{line}, {what}"))?;
            }
        }
    }
    Ok(())
}

/// An empty folder.
fn clear(folder: &PathBuf) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("could not clear {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))
}

/// The cloud: one that somebody else brought up, or our own for the time of the test.
enum Lab {
    Given(PathBuf),
    Own,
}

/// Where the lab says what it is, unless a variable says otherwise.
const LAB_FILE: &str = "target/openstack/lab.json";
const LAB_VARIABLE: &str = "BEAMDESK_LAB";

impl Lab {
    fn up(yes: bool) -> Result<Self> {
        if let Some(file) = std::env::var_os(LAB_VARIABLE) {
            return Ok(Self::Given(PathBuf::from(file)));
        }
        openstack::up(&openstack::Wanted { yes, hosts: None, guest: false })?;
        Ok(Self::Own)
    }

    fn file(&self) -> Result<PathBuf> {
        let file = match self {
            Self::Given(file) => file.clone(),
            Self::Own => root().join(LAB_FILE),
        };
        if file.exists() { Ok(file) } else { bail!("{} is missing", file.display()) }
    }

    fn down(self) -> Result<()> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Own => openstack::down(false),
        }
    }
}
