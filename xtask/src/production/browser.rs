//! A person at a browser: `web/e2e/production.mjs`, told what to do line by line.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::web;

pub(super) struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Browser {
    /// In the network of that process.
    pub(super) fn start(pid: u32) -> Result<Self> {
        let node = web::node(&["e2e/production.mjs"])?.into_command();
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid.to_string(), "-n"]).arg(node.get_program()).args(node.get_args());
        command.envs(node.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = node.get_current_dir() {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("could not start node")?;
        let input = child.stdin.take().context("asked for above")?;
        let output = BufReader::new(child.stdout.take().context("asked for above")?);
        Ok(Self { child, input, output })
    }

    /// Has it do one thing; gives what came of it.
    pub(super) fn ask(&mut self, what: &Value) -> Result<Value> {
        writeln!(self.input, "{what}")?;
        self.input.flush()?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the browser's side ended");
        }
        let answer: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        match answer["error"].as_str() {
            None => Ok(answer),
            Some(error) => bail!("{error}"),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
