//! A log file that never grows beyond its bound.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Appends to `log`; what is older than the bound goes to `log.1`, what is older still is dropped.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: fs::File,
    bytes: u64,
}

impl Log {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = append(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes })
    }

    /// A full disk loses log lines, never the desktop.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        drop(self.try_write(bytes));
    }

    pub(super) fn line(&mut self, text: &str) {
        self.write(format!("beamdesk: {text}\n").as_bytes());
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.bytes >= LOG_BYTES_MAX {
            fs::rename(&self.path, self.path.with_extension("1"))?;
            self.file = append(&self.path)?;
            self.bytes = 0;
        }
        self.file.write_all(bytes)?;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// The last line, for an error message.
pub(super) fn last_line(path: &Path) -> Option<String> {
    let text = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.chars().take(LINE_CHARS_MAX).collect())
}

fn append(path: &Path) -> io::Result<fs::File> {
    fs::File::options().append(true).create(true).mode(0o600).open(path)
}

/// Enough for a session's complaints; two such files per desktop at most.
const LOG_BYTES_MAX: u64 = 1024 * 1024;
const LINE_CHARS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::{LOG_BYTES_MAX, Log, last_line};

    #[test]
    fn a_flood_stays_within_two_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Log::open(&path).unwrap();
        for _ in 0..100 {
            log.write(&[b'\n'; 64 * 1024]);
        }
        log.line("the end");
        let bytes: u64 = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= 2 * (LOG_BYTES_MAX + 64 * 1024), "{bytes}");
        assert!(last_line(&path).unwrap().ends_with("the end"));
    }
}
