//! Programs that the machines of the test lack: this one, under their names.
#![expect(clippy::print_stderr, reason = "as the programs that it stands for")]

use std::{
    env, fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{
    machine::{PIDS, enter},
    systemctl::systemctl,
};

/// What this program does under another name; `None`: it was called by its own.
pub(crate) fn stand_in() -> Option<ExitCode> {
    let mut words = env::args();
    let name = words.next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match name.as_str() {
        "systemctl" => systemctl(&words),
        "ssh" => ssh(&words),
        "scp" => scp(&words),
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    })
}

/// `ssh HOST COMMAND…`, between machines of the test.
fn ssh(words: &[&str]) -> Result<()> {
    let [host, command @ ..] = words else { bail!("no host is given") };
    let status = on(host)?.args(["sh", "-c", &command.join(" ")]).status()?;
    if status.success() { Ok(()) } else { bail!("on {host}: {status}") }
}

/// `scp [-pr] FILE… HOST:PATH`; a path that ends with `/` is a folder.
fn scp(words: &[&str]) -> Result<()> {
    let files: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let Some((to, files)) = files.split_last() else { bail!("nothing to copy") };
    let (host, to) = to.split_once(':').context("the last word is not HOST:PATH")?;
    for file in files {
        copy(Path::new(file), host, to)?;
    }
    Ok(())
}

fn copy(from: &Path, host: &str, to: &str) -> Result<()> {
    let shown = from.display();
    let name = from.file_name().with_context(|| format!("{shown} has no name"))?.to_string_lossy();
    let target = if to.ends_with('/') { format!("{to}{name}") } else { to.to_owned() };
    let about = fs::metadata(from).with_context(|| shown.to_string())?;
    if about.is_dir() {
        let mode = format!("{:o}", about.permissions().mode() & 0o7777);
        let status = on(host)?.args(["install", "-d", "-m", &mode, &target]).status()?;
        if !status.success() {
            bail!("could not make {target} on {host}");
        }
        for entry in fs::read_dir(from)? {
            copy(&entry?.path(), host, &format!("{target}/"))?;
        }
        return Ok(());
    }
    let mut bytes = Vec::new();
    fs::File::open(from)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .with_context(|| shown.to_string())?;
    let mode = format!("{:o}", about.permissions().mode() & 0o7777);
    let mut child = on(host)?
        .args(["install", "-m", &mode, "/dev/stdin", &target])
        .stdin(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("asked for above")?.write_all(&bytes)?;
    if child.wait()?.success() { Ok(()) } else { bail!("could not write {target} on {host}") }
}

fn on(host: &str) -> Result<std::process::Command> {
    let pid = fs::read_to_string(Path::new(PIDS).join(host))
        .with_context(|| format!("no host {host}"))?;
    Ok(enter(pid.trim().parse()?, true))
}
