//! The example `fault_proxy` in front of the lab, as a process of its own.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// Ends with it.
pub(crate) struct Proxy(Child);

impl Proxy {
    /// `clouds_out` becomes the way through it. The example belongs to this crate; building the tests
    /// builds it.
    pub(crate) fn start<S: AsRef<OsStr>>(
        clouds: &Path,
        clouds_out: &Path,
        arguments: &[S],
    ) -> Self {
        let tests = std::env::current_exe().unwrap();
        let program: PathBuf = tests.ancestors().nth(2).unwrap().join("examples/fault_proxy");
        let mut child = Command::new(program)
            .arg("--clouds")
            .arg(clouds)
            .arg("--clouds-out")
            .arg(clouds_out)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        assert!(told["auth_url"].is_string(), "{line}");
        Self(child)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
