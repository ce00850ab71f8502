//! System packages: what is needed, why, and installing what is missing.
#![expect(clippy::print_stderr, reason = "talks to the person who runs it")]

use std::{
    io::{self, BufRead, IsTerminal},
    path::Path,
};

use anyhow::{Result, bail};

use crate::run::Step;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Running,
    Testing,
    /// The peers that benchmarks measure beside us.
    Benchmarks,
    /// `cargo xtask test --production`, beside the lab.
    Production,
    /// `cargo xtask openstack up`.
    Lab,
    /// With a host that boots real guests.
    LabWithGuests,
}

pub(crate) struct Package {
    name: &'static str,
    why: &'static str,
}

const fn package(name: &'static str, why: &'static str) -> Package {
    Package { name, why }
}

/// To build and run `beamdesk up`.
const RUNNING: &[Package] = &[
    package("gcc", "compiles the C parts (SQLite, zstd, TLS)"),
    package("libc6-dev", "compiles the C parts"),
    package("g++", "compiles the built-in video encoder"),
    package("nasm", "assembles the fast parts of the video encoders"),
    package("cmake", "builds the AV1 encoder"),
    package("ca-certificates", "lets cargo and npm reach their registries"),
    package("bubblewrap", "walls between desktops of the sandbox driver"),
    package("xvfb", "X server of a desktop"),
    package("xauth", "lets only the desktop's own programs reach its X server"),
    package("x11-xkb-utils", "keyboards of a desktop"),
    package("xkb-data", "keyboards of a desktop"),
    package("x11-xserver-utils", "screen settings of a desktop"),
    package("openbox", "window manager of a desktop"),
    package("tint2", "panel of a desktop"),
    package("pcmanfm", "file manager of a desktop"),
    package("lxterminal", "terminal of a desktop"),
    package("gpicview", "image viewer of a desktop"),
    package("mousepad", "text editor of a desktop"),
    package("galculator", "calculator of a desktop"),
    package("xarchiver", "archives in a desktop"),
    package("htop", "task list of a desktop"),
    package("dbus-x11", "message bus that programs of a desktop share"),
    package("adwaita-icon-theme", "icons of a desktop"),
    package("fonts-dejavu-core", "fonts of a desktop"),
    package("fonts-wqy-microhei", "Chinese fonts of a desktop"),
];

/// For the tests, beside the above.
const TESTING: &[Package] = &[
    package("libffmpeg-nvenc-dev", "header against which the use of NVIDIA's encoder is tested"),
    package("python3", "runs the tests of the Python packages"),
    package("libx264-dev", "builds the optional encoder in contrib/x264"),
    package("chromium", "the browser of the end-to-end tests"),
    package("postgresql", "second database of the store's tests"),
    package("prometheus", "its promtool checks what the portal tells of itself"),
    package("xterm", "terminal whose text the tests read back"),
    package("x11-apps", "programs that draw and listen, for the tests of capture and input"),
    package("x11-utils", "looks at the X server from outside"),
    package("xdotool", "draws and types in the tests"),
    package("tesseract-ocr", "reads what was typed off the canvas"),
];

/// For the benchmarks, beside all of the above.
const BENCHMARKS: &[Package] = &[
    package("tigervnc-standalone-server", "the peer's X server"),
    package("websockify", "the peer's gateway"),
    package("xpra", "a peer with its HTML5 page"),
    package("python3-pil", "pictures of Xpra"),
    package("python3-lz4", "compression of Xpra"),
    package("python3-venv", "holds Selkies, a peer from PyPI"),
    package("iproute2", "counts the bytes of connections"),
    package("libx11-dev", "compiles the latency probe"),
    package("libxext-dev", "compiles the latency probe"),
    package("python3", "runs the latency probe"),
];

/// For the installation of docs/production.md, on machines that begin as this one.
const PRODUCTION: &[Package] = &[
    package("dpkg-dev", "makes packages"),
    package("binutils", "takes symbols out of the programs"),
    package("haproxy", "before portals and gateways"),
    package("postgresql", "database of the portals"),
    package("openssl", "makes the trial's certificates"),
    package("curl", "asks whether portals are ready"),
    package("iproute2", "the network between the machines"),
    package("systemd", "makes users and folders; checks the units"),
    package("procps", "looks for processes"),
];

/// For the lab, an OpenStack of Debian's packages; nothing of what is above.
const LAB: &[Package] = &[
    package("mariadb-server", "database of the lab's services"),
    package("rabbitmq-server", "messages between the lab's services"),
    package("uwsgi-plugin-python3", "serves Keystone and Placement"),
    package("keystone", "the lab's accounts"),
    package("placement-api", "the lab's inventories"),
    package("glance-api", "the lab's images"),
    package("neutron-server", "the lab's networks"),
    package("nova-api", "the lab's servers"),
    package("nova-conductor", "the lab's servers"),
    package("nova-scheduler", "the lab's servers"),
    package("nova-compute", "the lab's fake hosts"),
];

/// For the lab's host that boots guests, beside the above.
const LAB_GUESTS: &[Package] = &[
    package("nova-compute-kvm", "the lab's host that boots guests"),
    package("qemu-system-x86", "runs the guests"),
    package("neutron-linuxbridge-agent", "bridges of the guests"),
    package("neutron-dhcp-agent", "addresses of the guests"),
    package("neutron-metadata-agent", "metadata of the guests"),
    package("genisoimage", "config drives of the guests"),
    package("iproute2", "the cable to the guests"),
    package("mmdebstrap", "makes the guests' system"),
    package("e2fsprogs", "makes the guests' disk"),
    package("qemu-utils", "makes the guests' disk"),
    package("binutils", "takes symbols out of the agent"),
];

/// Installs what is missing: asks first unless `yes`.
pub(crate) fn install(purpose: For, yes: bool) -> Result<()> {
    if !Path::new("/usr/bin/dpkg-query").exists() {
        eprintln!("This is not a Debian system. These programs are needed (Debian's names):");
        for package in wanted(purpose) {
            eprintln!("  {:22} {}", package.name, package.why);
        }
        return Ok(());
    }
    let mut missing = missing(purpose);
    let npm = package("npm", "fetches the tools that build the web pages");
    if !Step::new("npm").args(["--version"]).succeeds() {
        missing.push(&npm);
    }
    if missing.is_empty() {
        return Ok(());
    }
    agree(&missing, yes)?;
    fetch(&missing, &[])
}

/// What is needed and not there.
pub(crate) fn missing(purpose: For) -> Vec<&'static Package> {
    wanted(purpose).into_iter().filter(|p| !is_installed(p.name)).collect()
}

fn wanted(purpose: For) -> Vec<&'static Package> {
    let lists: &[&[Package]] = match purpose {
        For::Running => &[RUNNING],
        For::Testing => &[RUNNING, TESTING],
        For::Benchmarks => &[RUNNING, TESTING, BENCHMARKS],
        For::Production => &[RUNNING, TESTING, PRODUCTION],
        For::Lab => &[LAB],
        For::LabWithGuests => &[LAB, LAB_GUESTS],
    };
    lists.iter().flat_map(|list| list.iter()).collect()
}

/// Says what is to be installed; fails if the person does not want it.
pub(crate) fn agree(missing: &[&Package], yes: bool) -> Result<()> {
    eprintln!("These system packages are missing:");
    for package in missing {
        eprintln!("  {:22} {}", package.name, package.why);
    }
    if !yes && !confirmed()? {
        bail!("nothing was installed; install them yourself, or say --yes");
    }
    Ok(())
}

/// Installs them, with further options for apt-get.
pub(crate) fn fetch(missing: &[&Package], options: &[&str]) -> Result<()> {
    as_root("apt-get").args(["update", "-qq"]).run()?;
    as_root("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(options)
        .args(missing.iter().map(|p| p.name))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}

fn is_installed(name: &str) -> bool {
    Step::new("dpkg-query")
        .args(["-W", "-f", "${Status}", name])
        .output_quiet()
        .is_some_and(|status| status.ends_with("ok installed"))
}

fn confirmed() -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    eprintln!("Install them now with apt-get? [Y/n]");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "" | "y" | "Y" | "yes"))
}

fn as_root(program: &str) -> Step {
    if Step::new("sh").args(["-c", "[ $(id -u) = 0 ]"]).succeeds() {
        Step::new(program)
    } else {
        Step::new("sudo").args([program])
    }
}
