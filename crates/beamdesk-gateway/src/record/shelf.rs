//! The folder of recordings, and what is known of each. SQL is the portal's; this is rebuilt at start.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use beamdesk_types::{
    RecordingAnswer, RecordingEnd, RecordingId, RecordingState, RecordingSync, Timestamp,
};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{
    Recordings,
    format::{self, Head, end_record, u64_of},
    tee::Live,
};

/// Each has a thread of its own.
const LIVE_MAX: usize = 128;
/// All are named in one call at the start.
const RECORDINGS_MAX: usize = 4096;
/// Until the portal has heard of the end; then [`DONE`].
const OPEN: &str = "open";
const DONE: &str = "rec";

#[derive(Debug)]
pub(crate) struct Shelf {
    bounds: Recordings,
    /// Bytes of all files.
    used: AtomicU64,
    table: Mutex<Table>,
    /// There is something to tell the portal.
    pub(super) news: Notify,
}

#[derive(Debug, Default)]
struct Table {
    kept: HashMap<RecordingId, Kept>,
    /// Gone, and the portal does not know. Bounded by what was kept.
    removed: VecDeque<RecordingId>,
}

#[derive(Debug)]
struct Kept {
    started: Timestamp,
    bytes: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Live(Arc<Live>),
    /// The portal is to be told.
    Ended {
        end: RecordingEnd,
        duration_ms: u64,
    },
    Done,
}

/// A file to be read, which may still grow.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) bytes: u64,
    pub(crate) started: Timestamp,
}

impl Shelf {
    /// Makes the folder, or finds what an earlier run left: files that were cut off are cut to
    /// their last whole record. Blocking; call it at the start.
    pub(crate) fn open(bounds: &Recordings) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&bounds.folder)?;
        let mut kept = HashMap::new();
        for entry in fs::read_dir(&bounds.folder)? {
            let path = entry?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()?.parse::<RecordingId>().ok());
            let extension = path.extension().and_then(|extension| extension.to_str());
            let (Some(id), Some(extension @ (OPEN | DONE))) = (id, extension) else { continue };
            match found(&path, extension == OPEN) {
                Ok(found) => {
                    kept.insert(id, found);
                }
                // Left alone: somebody may want to look at it.
                Err(error) => warn!(recording.id = %id, %error, "Cannot use a recording's file"),
            }
        }
        let used: u64 = kept.values().map(|kept| kept.bytes).sum();
        info!(count = kept.len(), bytes = used, "Found recordings");
        Ok(Self {
            bounds: bounds.clone(),
            used: AtomicU64::new(used),
            table: Mutex::new(Table { kept, removed: VecDeque::new() }),
            news: Notify::new(),
        })
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.bounds.bytes_max
    }

    /// Whether another may begin.
    pub(super) fn has_room(&self) -> bool {
        let live = |table: &Table| {
            table.kept.values().filter(|kept| matches!(kept.stage, Stage::Live(_))).count()
        };
        self.used.load(Ordering::Relaxed) < self.bounds.total_bytes_max
            && self.table(|table| table.kept.len() < RECORDINGS_MAX && live(table) < LIVE_MAX)
    }

    /// Before bytes are written; `false`: they must not be.
    pub(super) fn take_room(&self, bytes: u64) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = used.saturating_add(bytes) <= self.bounds.total_bytes_max;
        if !fits {
            self.give_room(bytes);
        }
        fits
    }

    pub(super) fn give_room(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// For heads and marks, which are always written.
    pub(super) fn add_room_taken(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add(&self, id: RecordingId, started: Timestamp, live: Arc<Live>) {
        self.table(|table| {
            table.kept.insert(id, Kept { started, bytes: 0, stage: Stage::Live(live) });
        });
        self.news.notify_one();
    }

    /// One that never began; the portal is told why.
    pub(super) fn refused(&self, id: RecordingId, started: Timestamp, end: RecordingEnd) {
        self.table(|table| {
            if table.kept.len() < RECORDINGS_MAX {
                let stage = Stage::Ended { end, duration_ms: 0 };
                table.kept.insert(id, Kept { started, bytes: 0, stage });
            }
        });
        self.news.notify_one();
    }

    /// Makes the file with its head. Blocking.
    pub(super) fn create(&self, id: RecordingId, head: &Head) -> io::Result<File> {
        let head = head.encode()?;
        let path = self.path(id, OPEN);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&head)?;
        self.add_room_taken(u64_of(head.len()));
        Ok(file)
    }

    /// Its writer is done.
    pub(super) fn ended(&self, id: RecordingId, end: RecordingEnd, bytes: u64, duration_ms: u64) {
        self.table(|table| {
            if let Some(kept) = table.kept.get_mut(&id) {
                kept.bytes = bytes;
                kept.stage = Stage::Ended { end, duration_ms };
            }
        });
        self.news.notify_one();
    }

    /// For a player. Blocking.
    pub(crate) fn read(&self, id: RecordingId) -> io::Result<Opened> {
        let known = self.table(|table| table.kept.get(&id).map(|kept| kept.started));
        let started = known.ok_or(io::ErrorKind::NotFound)?;
        // The portal may hear of the end just now.
        let opened = File::open(self.path(id, OPEN)).or_else(|_| File::open(self.path(id, DONE)));
        let file = opened?;
        let bytes = file.metadata()?.len();
        Ok(Opened { file, bytes, started })
    }

    /// What the portal should know; with all names when it was not told since the start.
    pub(super) fn sync(&self, names_all: bool) -> RecordingSync {
        self.table(|table| {
            let states = table.kept.iter().filter_map(|(&recording, kept)| match &kept.stage {
                Stage::Live(live) => {
                    let (bytes, duration_ms) = live.progress();
                    Some(RecordingState { recording, bytes, duration_ms, end: None })
                }
                Stage::Ended { end, duration_ms } => Some(RecordingState {
                    recording,
                    bytes: kept.bytes,
                    duration_ms: *duration_ms,
                    end: Some(*end),
                }),
                Stage::Done => None,
            });
            RecordingSync {
                states: states.collect(),
                removed: table.removed.iter().copied().collect(),
                held: names_all.then(|| table.kept.keys().copied().collect()),
            }
        })
    }

    /// The portal has heard this, and says what to do. Blocking.
    pub(super) fn answered(&self, said: &RecordingSync, answer: &RecordingAnswer) {
        let told = said.states.iter().filter(|state| state.end.is_some());
        for state in told {
            let is_told = self.table(|table| {
                let kept = table.kept.get_mut(&state.recording)?;
                let is_ended = matches!(kept.stage, Stage::Ended { .. });
                is_ended.then(|| kept.stage = Stage::Done)
            });
            if is_told.is_some() {
                let (from, to) =
                    (self.path(state.recording, OPEN), self.path(state.recording, DONE));
                if let Err(error) = fs::rename(from, to) {
                    warn!(recording.id = %state.recording, %error, "Could not rename a recording");
                }
            }
        }
        self.table(|table| {
            table.removed.drain(..said.removed.len().min(table.removed.len()));
        });
        for id in &answer.end {
            self.end(*id);
        }
        let age_max = self.bounds.age_max;
        let aged = self.table(|table| {
            let is_old = |kept: &Kept| {
                let age = answer.now.duration_since(kept.started);
                std::time::Duration::try_from(age).is_ok_and(|age| age > age_max)
            };
            let all = table.kept.iter().filter(|(_, kept)| is_old(kept));
            all.map(|(&id, _)| id).collect::<Vec<_>>()
        });
        for id in answer.remove.iter().copied().chain(aged) {
            self.remove(id);
        }
    }

    /// Whether the portal should be asked again soon: for orders, or to tell it something.
    pub(super) fn urgency(&self) -> Urgency {
        self.table(|table| {
            let is_open = |kept: &Kept| !matches!(kept.stage, Stage::Done);
            if !table.removed.is_empty() || table.kept.values().any(is_open) {
                Urgency::Soon
            } else if table.kept.is_empty() {
                Urgency::None
            } else {
                Urgency::Later
            }
        })
    }

    fn end(&self, id: RecordingId) {
        self.table(|table| {
            if let Some(Kept { stage: Stage::Live(live), .. }) = table.kept.get(&id) {
                live.ask_end(RecordingEnd::NotAllowed);
            }
        });
    }

    /// One that goes on is ended now, and removed when it has; the portal says it again.
    fn remove(&self, id: RecordingId) {
        let gone = self.table(|table| match &table.kept.get(&id)?.stage {
            Stage::Live(live) => {
                live.ask_end(RecordingEnd::NotAllowed);
                None
            }
            Stage::Ended { .. } | Stage::Done => table.kept.remove(&id),
        });
        let Some(gone) = gone else { return };
        for extension in [OPEN, DONE] {
            match fs::remove_file(self.path(id, extension)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn!(recording.id = %id, %error, "Could not remove a recording");
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.give_room(gone.bytes);
        self.table(|table| table.removed.push_back(id));
        info!(recording.id = %id, "Removed a recording");
    }

    fn path(&self, id: RecordingId, extension: &str) -> PathBuf {
        self.bounds.folder.join(format!("{id}.{extension}"))
    }

    fn table<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        change(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Something goes on or waits to be told.
    Soon,
    /// Only orders may come.
    Later,
    /// There is nothing.
    None,
}

fn found(path: &std::path::Path, is_open: bool) -> Result<Kept, format::ScanError> {
    let mut file = OpenOptions::new().read(true).write(is_open).open(path)?;
    let length = file.metadata()?.len();
    if !is_open {
        let (head, _) = format::read_head(&mut file)?;
        return Ok(Kept { started: head.started, bytes: length, stage: Stage::Done });
    }
    let mut scan = format::scan(&mut io::BufReader::new(&file), length)?;
    if scan.bytes < length {
        file.set_len(scan.bytes)?;
    }
    let end = scan.end.unwrap_or(RecordingEnd::Interrupted);
    if scan.end.is_none() {
        let mark = end_record(scan.duration_us, end);
        file.seek(SeekFrom::Start(scan.bytes))?;
        // On a full disk it stays without a mark, and can be played all the same.
        match file.write_all(&mark) {
            Ok(()) => scan.bytes += u64_of(mark.len()),
            Err(_) => file.set_len(scan.bytes)?,
        }
    }
    let duration_ms = scan.duration_us / 1000;
    let stage = Stage::Ended { end, duration_ms };
    Ok(Kept { started: scan.head.started, bytes: scan.bytes, stage })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

    use beamdesk_proto::wire::{kind, message};
    use beamdesk_types::{RecordingAnswer, RecordingEnd, RecordingId, RecordingSync, Timestamp};

    use super::{Shelf, Urgency};
    use crate::record::{
        Recordings,
        format::{self, tests::head},
        tee::Live,
        writer,
    };

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn shelf(folder: &Path) -> Shelf {
        let bounds = Recordings {
            folder: folder.join("recordings"),
            bytes_max: 1 << 20,
            total_bytes_max: 1 << 20,
            age_max: 30 * DAY,
        };
        Shelf::open(&bounds).unwrap()
    }

    fn at(days: u32) -> Timestamp {
        Timestamp::UNIX_EPOCH + days * DAY
    }

    /// One that was recorded, and its end is not told.
    fn recorded(shelf: &Shelf, n: u128) -> RecordingId {
        let id = RecordingId::from_u128(n);
        let (live, tee, queue) = Live::start();
        shelf.add(id, at(0), Arc::clone(&live));
        let file = shelf.create(id, &head()).unwrap();
        tee.push(&message(kind::TILES, 0, &[7; 100]));
        drop(tee);
        let end = writer::run(file, queue, &live, shelf);
        let (bytes, ms) = live.progress();
        shelf.ended(id, end, bytes, ms);
        id
    }

    fn answer(now: Timestamp) -> RecordingAnswer {
        RecordingAnswer { end: Vec::new(), remove: Vec::new(), now }
    }

    fn names(folder: &Path) -> Vec<String> {
        let all = fs::read_dir(folder.join("recordings")).unwrap();
        let mut all: Vec<_> =
            all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn an_end_is_told_until_it_is_heard_also_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let id = recorded(&shelf(folder.path()), 1);
        let again = shelf(folder.path());
        let said = again.sync(true);
        assert_eq!(said.held, Some(vec![id]));
        assert_eq!(said.states[0].end, Some(RecordingEnd::Ended));
        assert_eq!(again.urgency(), Urgency::Soon);
        again.answered(&said, &answer(at(1)));
        assert_eq!(again.urgency(), Urgency::Later);
        assert_eq!(names(folder.path()), [format!("{id}.rec")]);
        let third = shelf(folder.path());
        assert!(third.sync(false).states.is_empty());
        assert_eq!(third.sync(true).held, Some(vec![id]));
    }

    #[test]
    fn a_file_that_was_cut_off_is_kept_to_its_last_whole_record() {
        let folder = tempfile::tempdir().unwrap();
        let id = recorded(&shelf(folder.path()), 1);
        let path = folder.path().join(format!("recordings/{id}.open"));
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 10]).unwrap();
        let again = shelf(folder.path());
        let said = again.sync(true);
        assert_eq!(said.states[0].end, Some(RecordingEnd::Interrupted));
        let length = fs::metadata(&path).unwrap().len();
        assert_eq!(said.states[0].bytes, length);
        assert_eq!(again.read(id).unwrap().bytes, length);
        let scan = format::scan(&mut fs::File::open(&path).unwrap(), length).unwrap();
        assert_eq!(scan.end, Some(RecordingEnd::Interrupted));
        let (kept, end) = whole.split_at(whole.len() - format::END_BYTES);
        let now = fs::read(&path).unwrap();
        assert_eq!(now.split_at(kept.len()).0, kept);
        assert_eq!(now.len(), kept.len() + end.len());
    }

    #[test]
    fn orders_and_age_remove_files_and_the_portal_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(folder.path());
        let (one, two) = (recorded(&shelf, 1), recorded(&shelf, 2));
        let orders = RecordingAnswer { remove: vec![one], ..answer(at(30)) };
        shelf.answered(&shelf.sync(false), &orders);
        assert_eq!(names(folder.path()), [format!("{two}.rec")], "not a day too early");
        assert_eq!(shelf.sync(false).removed, [one]);
        shelf.read(one).unwrap_err();
        shelf.answered(&shelf.sync(false), &answer(at(31)));
        assert!(names(folder.path()).is_empty());
        assert_eq!(shelf.sync(false).removed, [two]);
        shelf.answered(&shelf.sync(false), &answer(at(31)));
        assert_eq!(shelf.urgency(), Urgency::None);
        assert_eq!(shelf.used.load(std::sync::atomic::Ordering::Relaxed), 0, "all room is back");
    }

    #[tokio::test]
    async fn one_that_goes_on_is_ended_before_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(folder.path());
        let id = RecordingId::from_u128(1);
        let (live, tee, queue) = Live::start();
        shelf.add(id, at(0), Arc::clone(&live));
        let file = shelf.create(id, &head()).unwrap();
        let orders = RecordingAnswer { remove: vec![id], ..answer(at(0)) };
        shelf.answered(&RecordingSync::default(), &orders);
        shelf.read(id).unwrap();
        let end = writer::run(file, queue, &live, &shelf);
        assert_eq!(end, RecordingEnd::NotAllowed);
        shelf.ended(id, end, live.progress().0, 0);
        shelf.answered(&RecordingSync::default(), &orders);
        shelf.read(id).unwrap_err();
        drop(tee);
    }

    #[test]
    fn nobody_else_can_read_them_and_foreign_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let id = recorded(&shelf(folder.path()), 1);
        let mode = |path: &str| {
            fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode("recordings"), 0o700);
        assert_eq!(mode(&format!("recordings/{id}.open")), 0o600);
        for name in ["notes.txt", "x.rec", &format!("{}.rec", RecordingId::from_u128(9))] {
            fs::write(folder.path().join("recordings").join(name), "noise").unwrap();
        }
        assert_eq!(shelf(folder.path()).sync(true).held, Some(vec![id]));
        assert_eq!(names(folder.path()).len(), 4);
    }

    #[test]
    fn without_room_none_begins() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(folder.path());
        assert!(shelf.has_room());
        assert!(shelf.take_room(1 << 20));
        assert!(!shelf.has_room() && !shelf.take_room(1));
        shelf.give_room(1);
        assert!(shelf.has_room() && shelf.take_room(1));
    }
}
