//! The file of a recording: see docs/recording.md.

use std::io::{self, Read, Seek, SeekFrom};

use beamdesk_proto::{
    control::VERSION,
    wire::{self, DOWN_BYTES_MAX, HEADER_BYTES, Header, json_message, kind, message},
};
use beamdesk_types::{DesktopId, Grant, RecordingEnd, RecordingId, StreamId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// The last byte is the version of the format.
pub(super) const MAGIC: [u8; 8] = *b"BEAMREC\x01";
/// Names of desktops and users are short.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Time and message header.
const RECORD_HEAD_BYTES: usize = 8 + HEADER_BYTES;
/// What the last record is long: always the same, so that a player finds it from the end.
pub(super) const END_BYTES: usize = 128;

/// Says what the file is a recording of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Version of the protocol of the messages.
    pub(super) protocol: u16,
    pub(super) recording: RecordingId,
    pub(super) stream: StreamId,
    pub(super) desktop: DesktopId,
    pub(super) desktop_name: String,
    pub(super) user: UserId,
    pub(super) user_name: String,
    pub(super) started: Timestamp,
}

impl Head {
    pub(super) fn of(recording: RecordingId, grant: &Grant, started: Timestamp) -> Self {
        Self {
            protocol: VERSION,
            recording,
            stream: grant.stream,
            desktop: grant.desktop,
            desktop_name: grant.desktop_name.clone(),
            user: grant.user,
            user_name: grant.user_name.clone(),
            started,
        }
    }

    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let length = u32::try_from(json.len()).map_err(io::Error::other)?;
        Ok([&MAGIC, length.to_le_bytes().as_slice(), &json].concat())
    }
}

/// The gateway's own word in the file; the rest is the agent's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Mark {
    RecordingEnd { reason: RecordingEnd },
}

/// The last record of a file that was ended in order: its time is the recording's length.
pub(super) fn end_record(at_us: u64, reason: RecordingEnd) -> Vec<u8> {
    let json = json_message(kind::GATE, &Mark::RecordingEnd { reason });
    let mut payload = json.get(HEADER_BYTES..).unwrap_or_default().to_vec();
    payload.resize(END_BYTES - RECORD_HEAD_BYTES, b' ');
    [at_us.to_le_bytes().as_slice(), &message(kind::GATE, 0, &payload)].concat()
}

/// What a file holds, found without reading its payloads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) head: Head,
    /// Up to the end of the last whole record.
    pub(super) bytes: u64,
    pub(super) duration_us: u64,
    /// `None`: it was cut off.
    pub(super) end: Option<RecordingEnd>,
}

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error("not a recording")]
    Foreign,
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub(super) fn read_head(file: &mut impl Read) -> Result<(Head, u64), ScanError> {
    let mut start = [0; 12];
    file.read_exact(&mut start).map_err(short)?;
    let (magic, length) = start.split_at(MAGIC.len());
    let length = u32::from_le_bytes(length.try_into().map_err(|_| ScanError::Foreign)?);
    let length = usize::try_from(length).map_err(|_| ScanError::Foreign)?;
    if magic != MAGIC || length > HEAD_BYTES_MAX {
        return Err(ScanError::Foreign);
    }
    let mut json = vec![0; length];
    file.read_exact(&mut json).map_err(short)?;
    let head = serde_json::from_slice(&json).map_err(|_| ScanError::Foreign)?;
    Ok((head, u64_of(start.len() + length)))
}

/// Walks over the records of a file of this length; stops at the mark, at the first record that is
/// not whole, and at anything that no gateway writes.
pub(super) fn scan(file: &mut (impl Read + Seek), length: u64) -> Result<Scan, ScanError> {
    let (head, mut bytes) = read_head(file)?;
    let mut scan = Scan { head, bytes, duration_us: 0, end: None };
    loop {
        let mut record = [0; RECORD_HEAD_BYTES];
        match file.read_exact(&mut record) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(scan),
            Err(error) => return Err(error.into()),
        }
        let (Some(at_us), Some(header)) = (record.first_chunk(), record.last_chunk()) else {
            return Ok(scan);
        };
        let at_us = u64::from_le_bytes(*at_us);
        let Ok(header) = Header::decode(*header, DOWN_BYTES_MAX) else { return Ok(scan) };
        let end = bytes + 8 + u64_of(header.message_len());
        if end > length {
            return Ok(scan);
        }
        if header.kind == kind::GATE {
            let mut mark = vec![0; header.message_len() - HEADER_BYTES];
            file.read_exact(&mut mark)?;
            if let Ok(Mark::RecordingEnd { reason }) = wire::json(&mark) {
                scan.end = Some(reason);
                scan.bytes = end;
                scan.duration_us = scan.duration_us.max(at_us);
                return Ok(scan);
            }
        }
        file.seek(SeekFrom::Start(end))?;
        bytes = end;
        scan.bytes = end;
        scan.duration_us = scan.duration_us.max(at_us);
    }
}

fn short(error: io::Error) -> ScanError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ScanError::Foreign,
        _ => ScanError::Io(error),
    }
}

pub(super) fn u64_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use beamdesk_proto::wire::{flag, kind, message};
    use beamdesk_types::{DesktopId, RecordingEnd, RecordingId, StreamId, Timestamp, UserId};

    use super::{END_BYTES, Head, Scan, end_record, scan, u64_of};

    pub(crate) fn head() -> Head {
        Head {
            protocol: 2,
            recording: RecordingId::from_u128(1),
            stream: StreamId::from_u128(2),
            desktop: DesktopId::from_u128(3),
            desktop_name: "光源".to_owned(),
            user: UserId::from_u128(4),
            user_name: "ada".to_owned(),
            started: Timestamp::UNIX_EPOCH,
        }
    }

    fn file(records: &[(u64, &[u8])], end: Option<RecordingEnd>) -> Vec<u8> {
        let mut bytes = head().encode().unwrap();
        for (at_us, payload) in records {
            bytes.extend_from_slice(&at_us.to_le_bytes());
            bytes.extend_from_slice(&message(kind::TILES, flag::LAST, payload));
        }
        if let Some(reason) = end {
            bytes.extend_from_slice(&end_record(9, reason));
        }
        bytes
    }

    fn scanned(bytes: &[u8]) -> Option<Scan> {
        scan(&mut Cursor::new(bytes), u64_of(bytes.len())).ok()
    }

    #[test]
    fn every_end_is_read_as_it_was_written() {
        for end in RecordingEnd::ALL {
            assert_eq!(end_record(u64::MAX, end).len(), END_BYTES);
            let bytes = file(&[(1, b"a"), (7, b"bc")], Some(end));
            let whole =
                Scan { head: head(), bytes: u64_of(bytes.len()), duration_us: 9, end: Some(end) };
            assert_eq!(scanned(&bytes), Some(whole));
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_read_up_to_its_last_whole_record() {
        let first = file(&[(5, b"first")], None).len();
        let second = file(&[(5, b"first"), (8, b"second")], None).len();
        let all = file(&[(5, b"first"), (8, b"second")], Some(RecordingEnd::Ended));
        let begin = head().encode().unwrap().len();
        for cut in 0..all.len() {
            let Some(scan) = scanned(&all[..cut]) else {
                assert!(cut < begin, "{cut}");
                continue;
            };
            let (bytes, duration_us) = match cut {
                _ if cut < first => (begin, 0),
                _ if cut < second => (first, 5),
                _ => (second, 8),
            };
            assert_eq!(
                (scan.bytes, scan.duration_us, scan.end),
                (u64_of(bytes), duration_us, None)
            );
        }
    }

    #[test]
    fn noise_is_no_recording_and_no_harm() {
        let good = file(&[(5, b"first")], Some(RecordingEnd::Full));
        for at in 0..good.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                let scan = scanned(&bad);
                assert!(scan.is_none_or(|scan| scan.bytes <= u64_of(bad.len())));
            }
        }
        assert_eq!(scanned(b""), None);
        assert_eq!(scanned(&[0xff; 4096]), None);
    }
}
