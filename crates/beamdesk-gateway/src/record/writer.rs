//! Writes one recording, on a thread of its own, until it ends.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
};

use beamdesk_types::RecordingEnd;
use bytes::Bytes;
use tokio::sync::mpsc::error::TryRecvError;
use tracing::warn;

use super::{
    Shelf,
    format::{END_BYTES, end_record, u64_of},
    tee::{Item, Live, Queue},
};

/// Gathered before the disk is asked; also when nothing more is there to gather.
const BUFFER_BYTES: usize = 256 << 10;

/// Returns when the file is on the disk, with its end mark if the disk takes one.
pub(super) fn run(file: File, mut queue: Queue, live: &Live, shelf: &Shelf) -> RecordingEnd {
    let begun = file.metadata().map_or(0, |about| about.len());
    let mut out = Out { file, buffer: Vec::new(), bytes: begun, at_us: 0 };
    live.wrote(out.bytes, 0);
    let end = loop {
        let item = match queue.try_recv() {
            Ok(item) => Some(item),
            Err(TryRecvError::Empty) => {
                if let Err(end) = out.flush(shelf) {
                    break end;
                }
                live.wrote(out.bytes, out.at_us);
                queue.blocking_recv()
            }
            Err(TryRecvError::Disconnected) => None,
        };
        match item {
            Some(Item::Message { at_us, bytes }) => {
                live.taken(bytes.len());
                if let Err(end) = out.message(at_us, &bytes, shelf) {
                    break end;
                }
            }
            Some(Item::End { at_us, reason }) => {
                out.at_us = out.at_us.max(at_us);
                break out.flush(shelf).err().unwrap_or(reason);
            }
            None => break out.flush(shelf).err().unwrap_or(RecordingEnd::Ended),
        }
    };
    out.finish(end, shelf);
    live.wrote(out.bytes, out.at_us);
    end
}

struct Out {
    file: File,
    /// Whole records that the file has not got yet.
    buffer: Vec<u8>,
    /// What the file has, all of it whole records.
    bytes: u64,
    at_us: u64,
}

impl Out {
    fn message(&mut self, at_us: u64, message: &Bytes, shelf: &Shelf) -> Result<(), RecordingEnd> {
        let more = u64_of(self.buffer.len() + 8 + message.len());
        if self.bytes + more + u64_of(END_BYTES) > shelf.bytes_max() {
            self.flush(shelf)?;
            return Err(RecordingEnd::TooLong);
        }
        self.buffer.extend_from_slice(&at_us.to_le_bytes());
        self.buffer.extend_from_slice(message);
        self.at_us = at_us;
        if self.buffer.len() >= BUFFER_BYTES { self.flush(shelf) } else { Ok(()) }
    }

    fn flush(&mut self, shelf: &Shelf) -> Result<(), RecordingEnd> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let more = u64_of(self.buffer.len());
        if !shelf.take_room(more) {
            self.buffer.clear();
            return Err(RecordingEnd::Full);
        }
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES);
        match written {
            Ok(()) => {
                self.bytes += more;
                Ok(())
            }
            Err(error) => {
                shelf.give_room(more);
                warn!(%error, "Could not write a recording");
                Err(if is_full(&error) { RecordingEnd::Full } else { RecordingEnd::Failed })
            }
        }
    }

    /// A part of a record must not stay; the mark then has the room that it took.
    fn finish(&mut self, end: RecordingEnd, shelf: &Shelf) {
        let mark = end_record(self.at_us, end);
        let written = self
            .file
            .set_len(self.bytes)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)))
            .and_then(|_| self.file.write_all(&mark));
        match written {
            Ok(()) => {
                self.bytes += u64_of(mark.len());
                shelf.add_room_taken(u64_of(mark.len()));
            }
            // Whoever reads the file sees that it was cut off, and the portal is told why.
            Err(error) => warn!(%error, "Could not mark the end of a recording"),
        }
        if let Err(error) = self.file.sync_all() {
            warn!(%error, "Could not bring a recording to the disk");
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, OpenOptions},
        io::Write as _,
        path::Path,
        sync::Arc,
        time::Duration,
    };

    use beamdesk_proto::wire::{kind, message};
    use beamdesk_types::RecordingEnd;
    use bytes::Bytes;

    use super::run;
    use crate::record::{
        Recordings, Shelf,
        format::{self, tests::head, u64_of},
        tee::{Live, Tee},
    };

    fn shelf(folder: &Path, bytes_max: u64, total_bytes_max: u64) -> Arc<Shelf> {
        let bounds = Recordings {
            folder: folder.to_owned(),
            bytes_max,
            total_bytes_max,
            age_max: Duration::from_secs(1),
        };
        Arc::new(Shelf::open(&bounds).unwrap())
    }

    fn tiles(bytes: usize) -> Bytes {
        message(kind::TILES, 0, &vec![7; bytes])
    }

    /// Records what `tell` pushes; the end, and the file's scan.
    fn record(
        bytes_max: u64,
        total_bytes_max: u64,
        tell: impl FnOnce(Tee),
    ) -> (RecordingEnd, format::Scan, u64) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(folder.path(), bytes_max, total_bytes_max);
        let path = folder.path().join("one");
        let mut file = File::create(&path).unwrap();
        file.write_all(&head().encode().unwrap()).unwrap();
        let (live, tee, queue) = Live::start();
        tell(tee);
        let end = run(file, queue, &live, &shelf);
        let length = fs::metadata(&path).unwrap().len();
        let scan = format::scan(&mut File::open(&path).unwrap(), length).unwrap();
        assert_eq!(live.progress().0, length, "what is said is what is there");
        (end, scan, length)
    }

    #[test]
    fn what_is_pushed_is_in_the_file_in_order() {
        let (end, scan, length) = record(u64::MAX, u64::MAX, |tee| {
            for n in 0..300 {
                tee.push(&tiles(n * 10));
            }
        });
        assert_eq!((end, scan.end), (RecordingEnd::Ended, Some(RecordingEnd::Ended)));
        assert_eq!(scan.bytes, length);
    }

    #[test]
    fn a_recording_ends_at_its_bound_with_a_mark() {
        let max = 100_000;
        let (end, scan, length) = record(max, u64::MAX, |tee| {
            for _ in 0..100 {
                tee.push(&tiles(5_000));
            }
        });
        assert_eq!((end, scan.end), (RecordingEnd::TooLong, Some(RecordingEnd::TooLong)));
        assert!(length <= max && length > max - 6_000, "{length}");
    }

    #[test]
    fn a_recording_ends_when_the_room_for_all_is_full() {
        let (end, scan, length) = record(u64::MAX, 1_000_000, |tee| {
            for _ in 0..100 {
                tee.push(&tiles(50_000));
            }
        });
        assert_eq!((end, scan.end), (RecordingEnd::Full, Some(RecordingEnd::Full)));
        assert!(length < 1_001_000, "{length}");
    }

    #[test]
    fn a_full_disk_ends_the_recording_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(folder.path(), u64::MAX, u64::MAX);
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (live, tee, queue) = Live::start();
        tee.push(&tiles(10));
        drop(tee);
        assert_eq!(run(file, queue, &live, &shelf), RecordingEnd::Full);
    }

    #[test]
    fn a_record_that_came_half_onto_the_disk_is_taken_back() {
        // The largest a file of this process may become stands for the end of the disk.
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(folder.path(), u64::MAX, u64::MAX);
        let path = folder.path().join("one");
        let mut file = File::create(&path).unwrap();
        file.write_all(&head().encode().unwrap()).unwrap();
        file.write_all(b"half a rec").unwrap();
        let whole = u64_of(head().encode().unwrap().len());
        let mut out = super::Out { file, buffer: Vec::new(), bytes: whole, at_us: 3 };
        out.finish(RecordingEnd::Full, &shelf);
        let length = fs::metadata(&path).unwrap().len();
        let scan = format::scan(&mut File::open(&path).unwrap(), length).unwrap();
        assert_eq!((scan.end, scan.bytes), (Some(RecordingEnd::Full), length));
    }
}
