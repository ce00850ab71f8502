//! What the page's reader does in a browser, and what stands around the installation: the cloud, and
//! a server of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{
    browser::Browser,
    machine::{SERVER, Site},
    wait::{throughout, until},
};
use crate::run::{Step, root};

/// Words of the page's comments, in its order.
#[cfg(test)]
pub(super) const ACTS: &[&str] =
    &["cloud", "setup", "monitor", "desktop", "packages", "upgraded", "restored"];

/// Keystone, Nova, Placement, Glance, Neutron: on loopback in the lab, so also on each portal.
const CLOUD_PORTS: [u16; 5] = [5000, 8774, 8778, 9292, 9696];
const AGENT_PORT: u16 = 7443;
const PORTALS: [&str; 3] = ["portal-1", "portal-2", "portal-3"];
const GATEWAYS: [&str; 2] = ["gateway-1", "gateway-2"];
/// From the portal's choice to Nova's ACTIVE; two busy cores take their time.
const SERVER_MAX: Duration = Duration::from_secs(240);
/// A reconciler that deletes what it does not know would have done so by then.
const SPARED: Duration = Duration::from_secs(20);
/// Of `systemd-analyze security`, from 0 (walled in) to 100, for what faces the network.
const EXPOSURE_MAX: u32 = 20;

pub(super) struct World<'a> {
    site: &'a Site,
    clouds: PathBuf,
    newer: PathBuf,
    /// What the newest step printed.
    said: String,
    browser: Option<Browser>,
    helpers: Vec<Child>,
    desktop: String,
}

impl<'a> World<'a> {
    pub(super) fn new(site: &'a Site, lab: &Path, newer: PathBuf) -> Result<Self> {
        let lab: Value =
            serde_json::from_slice(&fs::read(lab).with_context(|| lab.display().to_string())?)?;
        let clouds = lab["clouds_file"].as_str().context("the lab names no clouds_file")?;
        let clouds = root().join(clouds);
        let (said, desktop) = (String::new(), String::new());
        Ok(Self { site, clouds, newer, said, browser: None, helpers: Vec::new(), desktop })
    }

    /// The newest step's output.
    pub(super) fn heard(&mut self, said: String) {
        self.said = said;
    }

    pub(super) fn act(&mut self, what: &str) -> Result<()> {
        match what {
            "cloud" => self.cloud(),
            "setup" => self.setup(),
            "monitor" => self.monitor(),
            "desktop" => self.desktop(),
            "packages" => self.packages(),
            "upgraded" => self.upgraded(),
            "restored" => self.restored(),
            other => bail!("nobody knows what {other:?} is"),
        }
    }

    pub(super) fn end(&mut self) {
        self.browser = None;
        for mut helper in self.helpers.drain(..) {
            drop(helper.kill());
            drop(helper.wait());
        }
    }

    /// The lab's credentials, and ways to its loopback addresses from the machines.
    fn cloud(&mut self) -> Result<()> {
        self.hardening()?;
        let this = std::env::current_exe()?;
        for port in CLOUD_PORTS {
            let address = format!("127.0.0.1:{port}");
            for name in PORTALS {
                let pid = self.site.machine(name)?.pid().to_string();
                let mut forward = std::process::Command::new(&this);
                forward.args(["forward", &address, &address, "--inside", &pid]);
                self.help(forward)?;
            }
        }
        // The lab gives its servers addresses of the loopback network.
        let server = self.site.machine(SERVER.name)?;
        let (any, agent) =
            (format!("0.0.0.0:{AGENT_PORT}"), format!("{}:{AGENT_PORT}", server.address));
        for name in PORTALS.iter().chain(&GATEWAYS) {
            let forward =
                self.site.machine(name)?.in_its_network(&this, &["forward", &any, &agent]);
            self.help(forward)?;
        }
        let clouds = fs::read(&self.clouds).with_context(|| self.clouds.display().to_string())?;
        self.site.machine("admin")?.put("/root/site/clouds.yaml", &clouds)
    }

    fn help(&mut self, mut command: std::process::Command) -> Result<()> {
        self.helpers.push(command.stdin(Stdio::null()).spawn()?);
        Ok(())
    }

    /// What the stand-in for systemd does not build, said by systemd itself.
    fn hardening(&self) -> Result<()> {
        let portal = self.site.machine("portal-1")?;
        for unit in ["beamdesk-portal", "beamdesk-gateway"] {
            let path = format!("/lib/systemd/system/{unit}.service");
            portal.run(&format!("systemd-analyze verify --man=no {path}"))?;
            portal.run(&format!(
                "systemd-analyze security --offline=true --threshold={EXPOSURE_MAX} {path}"
            ))?;
        }
        Ok(())
    }

    fn browser(&mut self) -> Result<&mut Browser> {
        self.browser.as_mut().context("nobody is at the browser yet")
    }

    fn setup(&mut self) -> Result<()> {
        let link = self.said.split_whitespace().find(|word| word.contains("/setup#"));
        let link = link.with_context(|| format!("no link is in {:?}", self.said))?.to_owned();
        let mut browser = Browser::start(self.site.machine("admin")?.pid())?;
        browser.ask(&json!({ "do": "setup", "link": link }))?;
        self.browser = Some(browser);
        Ok(())
    }

    fn monitor(&mut self) -> Result<()> {
        let answer = self.browser()?.ask(&json!({ "do": "monitor" }))?;
        let secret = answer["secret"].as_str().context("no secret was shown")?;
        self.site.machine("compute-1")?.put("/root/monitor.secret", secret.as_bytes())
    }

    fn desktop(&mut self) -> Result<()> {
        let answer = self.browser()?.ask(&json!({ "do": "create" }))?;
        self.desktop = answer["id"].as_str().context("no desktop was made")?.to_owned();
        let server = self.site.machine(SERVER.name)?;
        server.run("apt-get install -y /root/packages/beamdesk-agent_*.deb")?;
        let seed = self.seed()?;
        server.put("/etc/beamdesk/seed.json", seed.as_bytes())?;
        server.run("systemctl start beamdesk-agent")?;
        let id = self.desktop.clone();
        let answer = self.browser()?.ask(&json!({ "do": "connect", "id": id }))?;
        if answer["exact"] != json!(true) {
            bail!("the picture is not exact: {answer}");
        }
        server.run(
            "test ! -e /etc/beamdesk/seed.json && test ! -e /var/lib/beamdesk-agent/seed.json",
        )?;
        server.run("pgrep -u desktop -x Xvfb")?;
        Ok(())
    }

    /// What the server would find on its config drive.
    fn seed(&self) -> Result<String> {
        let words = ["seed", self.desktop.as_str()];
        // Its own words say what is missing, each time.
        until("Nova's server of the desktop", SERVER_MAX, || Ok(self.nova(&words).ok()))
    }

    /// Asks the cloud as its administrator.
    fn nova(&self, words: &[&str]) -> Result<String> {
        Step::new("/usr/bin/python3")
            .args(["xtask/src/production/nova.py"])
            .args([Path::new(&self.clouds)])
            .args(words)
            .output()
    }

    fn packages(&self) -> Result<()> {
        for machine in self.site.all() {
            machine.run("rm /root/packages/*")?;
            machine.put_packages(&self.newer)?;
        }
        Ok(())
    }

    fn upgraded(&mut self) -> Result<()> {
        for name in PORTALS.iter().chain(&GATEWAYS) {
            let version = self.site.machine(name)?.run("dpkg-query -W -f '${Version}' beamdesk")?;
            if !version.ends_with("-2") {
                bail!("{name} has version {version}");
            }
        }
        // The same page, never reloaded: its stream went from gateway to gateway.
        self.browser()?.ask(&json!({ "do": "still" })).map(drop)
    }

    fn restored(&mut self) -> Result<()> {
        let id = self.desktop.clone();
        self.browser()?.ask(&json!({ "do": "again" }))?;
        throughout(SPARED, || {
            let servers = self.nova(&["servers"])?;
            if servers.lines().any(|line| line.contains(&id)) {
                Ok(())
            } else {
                bail!("a server that the restored database does not know was deleted")
            }
        })?;
        self.browser()?.ask(&json!({ "do": "unclaimed", "id": id }))?;
        self.browser()?.ask(&json!({ "do": "remove", "id": id }))?;
        until("the end of the desktop's server", SERVER_MAX, || {
            let servers = self.nova(&["servers"])?;
            Ok((!servers.lines().any(|line| line.contains(&id))).then_some(()))
        })
    }
}
