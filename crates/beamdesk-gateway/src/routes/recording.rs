//! `GET /r/{recording}/file`, in ranges, and `/download`: as long as the portal says that it may be.

use std::io::SeekFrom;

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use beamdesk_http::HttpError;
use beamdesk_types::RecordingId;
use bytes::BytesMut;
use futures_util::stream;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    time::Instant,
};
use tracing::warn;

use super::cookie;
use crate::{
    portal::{self, PortalError},
    record::{Opened, Standing},
    state::Gateway,
};

/// Read at once; between two the portal may end it.
const CHUNK_BYTES: usize = 256 << 10;

pub(super) async fn file(
    State(gateway): State<Gateway>,
    Path(recording): Path<String>,
    request: HeaderMap,
) -> Result<Response, HttpError> {
    let (pass, opened) = open(&gateway, &recording, &request).await?;
    let length = opened.bytes;
    let range = request.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some(range) = range.and_then(|text| Range::parse(text, length)) else {
        return answer(gateway, pass, opened, Range { from: 0, to: length }).await;
    };
    if range.from >= range.to {
        let all = format!("bytes */{length}");
        let value = HeaderValue::from_str(&all).map_err(|_| HttpError::internal())?;
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        let error = HttpError::new(status, "no_such_range", "the recording has no such bytes");
        return Err(error.with_header(header::CONTENT_RANGE, value));
    }
    let (from, last) = (range.from, range.to - 1);
    let mut response = answer(gateway, pass, opened, range).await?;
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let said = HeaderValue::from_str(&format!("bytes {from}-{last}/{length}"));
    let said = said.map_err(|_| HttpError::internal())?;
    response.headers_mut().insert(header::CONTENT_RANGE, said);
    Ok(response)
}

pub(super) async fn download(
    State(gateway): State<Gateway>,
    Path(recording): Path<String>,
    request: HeaderMap,
) -> Result<Response, HttpError> {
    let (pass, opened) = open(&gateway, &recording, &request).await?;
    let all = Range { from: 0, to: opened.bytes };
    let started = opened.started.strftime("%Y%m%d-%H%M%S");
    let name = format!("attachment; filename=\"beamdesk-{started}Z.beamrec\"");
    let name = HeaderValue::from_str(&name).map_err(|_| HttpError::internal())?;
    let mut response = answer(gateway, pass, opened, all).await?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// What lets a browser read one recording.
struct Pass {
    recording: RecordingId,
    value: String,
}

/// Bytes `from..to` of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    from: u64,
    to: u64,
}

impl Range {
    /// RFC 9110, 14.1.2: one range with a beginning. Anything else is as if it were not asked for.
    fn parse(text: &str, length: u64) -> Option<Self> {
        let (from, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let is_number = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
        if from.is_empty() || !is_number(from) || !is_number(last) {
            return None;
        }
        let from = from.parse().ok()?;
        let to = match last {
            "" => length,
            last => last.parse::<u64>().ok()?.checked_add(1)?.min(length),
        };
        Some(Self { from, to })
    }
}

async fn open(
    gateway: &Gateway,
    recording: &str,
    request: &HeaderMap,
) -> Result<(Pass, Opened), HttpError> {
    let recording: RecordingId = recording.parse().map_err(|_| HttpError::not_found())?;
    let refused = || HttpError::forbidden("refused", "open it again from the portal");
    let value = cookie::play(request, recording).ok_or_else(refused)?.to_owned();
    let pass = Pass { recording, value };
    match may(gateway, &pass).await {
        Ok(true) => {}
        Ok(false) => return Err(refused()),
        Err(error) => {
            portal::note(&error, "play");
            return Err(HttpError::unavailable());
        }
    }
    let shelf = gateway.shelf.clone().ok_or_else(HttpError::not_found)?;
    let reading = gateway.streams.spawn_blocking(move || shelf.read(recording)).await;
    match reading {
        Ok(Ok(opened)) => Ok((pass, opened)),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(HttpError::not_found())
        }
        Ok(Err(error)) => {
            warn!(recording.id = %recording, %error, "Could not read a recording");
            Err(HttpError::internal())
        }
        Err(_) => Err(HttpError::internal()),
    }
}

async fn may(gateway: &Gateway, pass: &Pass) -> Result<bool, PortalError> {
    let now = Instant::now().into_std();
    let standing = gateway.plays(|plays| plays.standing(&pass.value, pass.recording, now));
    let check = match standing {
        Standing::Good(_) => return Ok(true),
        Standing::Unknown => return Ok(false),
        Standing::Ask(check) => check,
    };
    match gateway.portal.may_play(&check).await {
        Ok(_) => {
            gateway.plays(|plays| plays.checked(&pass.value, now));
            Ok(true)
        }
        Err(PortalError::Refused) => {
            gateway.plays(|plays| plays.end(&pass.value));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn answer(
    gateway: Gateway,
    pass: Pass,
    opened: Opened,
    range: Range,
) -> Result<Response, HttpError> {
    let mut file = File::from_std(opened.file);
    let sought = file.seek(SeekFrom::Start(range.from)).await;
    sought.map_err(|_| HttpError::internal())?;
    let reading = Reading { gateway, pass, file, left: range.to.saturating_sub(range.from) };
    let body = Body::from_stream(stream::try_unfold(reading, Reading::next));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, (range.to.saturating_sub(range.from)).into());
    Ok(response)
}

struct Reading {
    gateway: Gateway,
    pass: Pass,
    file: File,
    left: u64,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, std::io::Error> {
        if self.left == 0 {
            return Ok(None);
        }
        // A long download ends as a stream does, when its user may no longer have it.
        if !matches!(may(&self.gateway, &self.pass).await, Ok(true)) {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        let most = usize::try_from(self.left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let mut chunk = BytesMut::with_capacity(most);
        let mut part = (&mut self.file).take(self.left.min(u64::try_from(most).unwrap_or(0)));
        while chunk.len() < most {
            if part.read_buf(&mut chunk).await? == 0 {
                break;
            }
        }
        if chunk.is_empty() {
            // It was cut meanwhile: what was promised cannot be given.
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= u64::try_from(chunk.len()).unwrap_or(self.left).min(self.left);
        Ok(Some((chunk.freeze(), self)))
    }
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn ranges_are_cut_to_the_file_and_odd_ones_are_none() {
        for (text, range) in [
            ("bytes=0-9", Some((0, 10))),
            ("bytes=5-", Some((5, 100))),
            ("bytes=90-1000", Some((90, 100))),
            ("bytes=100-", Some((100, 100))),
            ("bytes=200-300", Some((200, 100))),
            ("bytes=9-5", Some((9, 6))),
            ("bytes=-5", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("bytes=1-2,5-6", None),
            ("bytes=0-18446744073709551615", None),
            ("bytes=99999999999999999999-", None),
            ("items=0-9", None),
            ("", None),
        ] {
            let range = range.map(|(from, to)| Range { from, to });
            assert_eq!(Range::parse(text, 100), range, "{text}");
        }
    }
}
