//! What a desktop sees of the host, as bubblewrap's arguments.

use std::{
    ffi::OsString,
    fs, io,
    os::{fd::RawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use beamdesk_types::CardAddress;

use super::{devices::Devices, launch::Stage};

/// Everything the argument list depends on.
#[derive(Debug)]
pub(super) struct Walls<'a> {
    pub(super) home: &'a Path,
    pub(super) etc: &'a Path,
    pub(super) agent: Option<&'a Path>,
    /// For the agent to start, where it looks for it.
    pub(super) encoder: Option<&'a Path>,
    pub(super) read_only: &'a [PathBuf],
    pub(super) hostname: &'a str,
    /// By which the sandbox's processes are known: see [`super::clear::strays`].
    pub(super) mark: &'a str,
    pub(super) tmp_bytes: u64,
    pub(super) devices: &'a Devices,
    pub(super) cards: &'a [CardAddress],
    pub(super) status: Option<RawFd>,
}

/// bubblewrap's arguments, up to the program to run; puts what they name on the stage.
pub(super) fn arguments(walls: &Walls<'_>, stage: &mut Stage) -> io::Result<Vec<OsString>> {
    let mut list = Arguments(Vec::new());
    // `--unshare-user` and not the `-try` that `--unshare-all` has: without it, do not start.
    list.add(["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net"]);
    list.add(["--unshare-uts", "--unshare-cgroup-try", "--disable-userns"]);
    list.add(["--die-with-parent", "--new-session", "--clearenv"]);
    list.add(["--uid", INSIDE_ID, "--gid", INSIDE_ID, "--hostname", walls.hostname]);
    if let Some(status) = walls.status {
        list.add(["--json-status-fd", &status.to_string()]);
    }

    list.bind("--ro-bind", Path::new("/usr"), Path::new("/usr"));
    for path in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
        match fs::read_link(path) {
            Ok(target) => list.bind("--symlink", &target, Path::new(path)),
            Err(_) => list.bind("--ro-bind-try", Path::new(path), Path::new(path)),
        }
    }
    list.add(["--proc", "/proc", "--dev", "/dev"]);
    for node in &walls.devices.nodes {
        list.bind("--dev-bind", node, node);
    }
    for (target, link) in &walls.devices.links {
        list.bind("--symlink", target, link);
    }
    list.add(["--size", &walls.tmp_bytes.to_string(), "--perms", "1777", "--tmpfs", "/tmp"]);
    list.add(["--size", RUN_BYTES, "--tmpfs", "/run"]);
    list.add(["--dir", "/var", "--symlink", "/tmp", "/var/tmp", "--symlink", "/run", "/var/run"]);
    list.bind("--ro-bind-try", Path::new(FONT_CACHE), Path::new(FONT_CACHE));

    for name in HOST_ETC {
        let path = Path::new("/etc").join(name);
        list.bind("--ro-bind-try", &path, &path);
    }
    let etc = stage.put(walls.etc)?;
    for (name, _) in own_etc(walls.hostname) {
        list.bind("--ro-bind", &etc.join(name), &Path::new("/etc").join(name));
    }
    for path in walls.read_only {
        list.bind("--ro-bind", &stage.put(path)?, path);
    }

    list.bind("--bind", &stage.put(walls.home)?, Path::new(HOME));
    list.add(["--perms", "0700", "--dir", RUNTIME_DIR, "--chdir", HOME]);
    if let Some(agent) = walls.agent {
        list.bind("--ro-bind", &stage.put(agent)?, Path::new(AGENT));
    }
    if let Some(encoder) = walls.encoder {
        let inside = Path::new(AGENT).with_file_name(ENCODER);
        list.bind("--ro-bind", &stage.put(encoder)?, &inside);
    }
    // The root itself is a tmpfs; nothing more may be written to it.
    list.add(["--remount-ro", "/"]);
    list.add(["--setenv", MARK, walls.mark]);
    if !walls.cards.is_empty() {
        let cards: Vec<&str> = walls.cards.iter().map(CardAddress::as_str).collect();
        list.add(["--setenv", CARDS, &cards.join(",")]);
    }
    for (name, value) in ENVIRONMENT {
        list.add(["--setenv", name, value]);
    }
    Ok(list.0)
}

/// Writes the files of `/etc` that are the desktop's own.
pub(super) fn write_etc(etc: &Path, hostname: &str) -> io::Result<()> {
    fs::create_dir_all(etc)?;
    fs::set_permissions(etc, fs::Permissions::from_mode(0o755))?;
    for (name, text) in own_etc(hostname) {
        let path = etc.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// A desktop's name as a host name: RFC 1123, 2.1.
pub(super) fn hostname(name: &str) -> String {
    let mut label = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c.to_ascii_lowercase());
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(HOSTNAME_BYTES_MAX);
    let label = label.trim_end_matches('-');
    if label.is_empty() { "desktop".to_owned() } else { label.to_owned() }
}

fn own_etc(hostname: &str) -> [(&'static str, String); 6] {
    [
        (
            "passwd",
            "root:x:0:0:root:/root:/usr/sbin/nologin\n\
             user:x:1000:1000:User:/home/user:/bin/bash\n\
             nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
                .to_owned(),
        ),
        ("group", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n".to_owned()),
        ("hosts", format!("127.0.0.1 localhost {hostname}\n::1 localhost\n")),
        ("hostname", format!("{hostname}\n")),
        ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n".to_owned()),
        ("shells", "/bin/sh\n/bin/bash\n".to_owned()),
    ]
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn add<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(OsString::from));
    }

    fn bind(&mut self, option: &str, from: &Path, to: &Path) {
        self.0.extend([OsString::from(option), from.into(), to.into()]);
    }
}

/// Environment variable that holds the mark.
pub(super) const MARK: &str = "BEAMDESK_SANDBOX";
/// Environment variable with the addresses of the desktop's own cards, comma between.
const CARDS: &str = "BEAMDESK_CARDS";
/// Where the agent is found inside.
pub(super) const AGENT: &str = "/run/beamdesk/agent";
/// The optional video encoder, beside the agent on the host as inside.
pub(super) const ENCODER: &str = "beamdesk-x264";

const HOME: &str = "/home/user";
/// One user per sandbox; the usual first id of a Linux machine.
const INSIDE_ID: &str = "1000";
const RUNTIME_DIR: &str = "/run/user/1000";
const RUN_BYTES: &str = "67108864";
const FONT_CACHE: &str = "/var/cache/fontconfig";
const HOSTNAME_BYTES_MAX: usize = 63;

const ENVIRONMENT: [(&str, &str); 9] = [
    ("HOME", HOME),
    ("USER", "user"),
    ("LOGNAME", "user"),
    ("SHELL", "/bin/bash"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"),
    ("LANG", "C.UTF-8"),
    ("XDG_RUNTIME_DIR", RUNTIME_DIR),
    // systemd's way (sd_listen_fds); without LISTEN_PID, which only the inside knows.
    ("LISTEN_FDS", "1"),
    ("container", "beamdesk"),
];

/// Parts of the host's `/etc` that programs need and that hold no secrets.
const HOST_ETC: [&str; 27] = [
    "X11",
    "alternatives",
    "bash.bashrc",
    "ca-certificates.conf",
    "debian_version",
    "dconf",
    "fonts",
    "glvnd",
    "gtk-2.0",
    "gtk-3.0",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "magic",
    "mailcap",
    "mime.types",
    "os-release",
    "profile",
    "profile.d",
    "protocols",
    "services",
    "ssl/certs",
    "timezone",
    "xdg",
];

#[cfg(test)]
mod tests {
    use super::hostname;

    #[test]
    fn any_desktop_name_gives_a_host_name() {
        assert_eq!(hostname("My Desktop #2"), "my-desktop-2");
        assert_eq!(hostname("显微镜"), "desktop");
        assert_eq!(hostname("--a--"), "a");
        assert_eq!(hostname(&"x".repeat(100)).len(), 63);
        assert_eq!(hostname(&format!("{}-b", "x".repeat(62))), "x".repeat(62));
        assert_eq!(hostname("a\nb\0c"), "a-b-c");
    }
}
