//! One program's connection.

use std::{sync::Arc, time::Duration};

use beamdesk_media::{SliceImage, SlicePlace, SliceRect, SliceSize};
use beamdesk_proto::local::{Answer, Refusal, Request, ScreenRect, VERSION};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};
use tracing::{debug, warn};

use super::{
    ROOM_UNIT,
    board::Change,
    protocol::{self, Head},
};
use crate::{
    AgentError,
    engine::{Command, Handle},
};

/// A program has its greeting ready when it connects.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Once a message has begun, the next piece of it comes within this.
const SILENCE: Duration = Duration::from_secs(10);
/// Wait for the memory of pictures that viewers are still being sent.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);
/// Grown by so much at a time: a claim alone costs nothing.
const PIECE_BYTES: usize = 256 << 10;

/// Memory for pictures, in units of [`ROOM_UNIT`].
#[derive(Debug, Clone)]
pub(super) struct Room {
    whole: usize,
    left: Arc<Semaphore>,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        let whole = bytes / ROOM_UNIT;
        Self { whole, left: Arc::new(Semaphore::new(whole)) }
    }
}

/// A picture of a program, packed; its memory counts for as long as anybody holds it.
#[derive(Debug)]
pub struct Slice {
    pub image: SliceImage,
    _room: Option<OwnedSemaphorePermit>,
}

impl Slice {
    /// One whose memory is not counted, for tests.
    pub fn uncounted(image: SliceImage) -> Self {
        Self { image, _room: None }
    }
}

/// Serves one program until it goes.
pub(super) async fn serve<S>(
    stream: S,
    client: u64,
    engine: &Handle,
    places: Arc<Semaphore>,
    room: &Room,
) -> Result<(), AgentError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut client = Client { stream, client, engine, room };
    let greeting = timeout(HELLO_TIMEOUT, client.next()).await;
    let Some(head) = greeting.map_err(|_| AgentError::Slow("a program's greeting"))?? else {
        return Ok(());
    };
    if head.data != 0 || head.request != Ok(Request::Hello { version: VERSION }) {
        return client.refuse(Refusal::Version).await;
    }
    let Ok(_place) = places.try_acquire_owned() else {
        warn!("Too many programs, one was turned away");
        return client.refuse(Refusal::TooMany).await;
    };
    let size = engine.seen().size;
    let (width, height) = (size.width(), size.height());
    client.answer(&Answer::Hello { version: VERSION, width, height }).await?;
    while let Some(head) = client.next().await? {
        let answer = match client.obey(head).await? {
            Ok(answer) => answer,
            Err(code) => Answer::Refused { code },
        };
        client.answer(&answer).await?;
    }
    Ok(())
}

/// Takes away what a program had on show.
pub(super) async fn gone(client: u64, engine: &Handle) {
    engine.tell(Command::Local { client, change: Change::Gone }).await;
}

struct Client<'a, S> {
    stream: S,
    client: u64,
    engine: &'a Handle,
    room: &'a Room,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Client<'_, S> {
    /// The next message's header, whenever it comes; `None`: the program has gone.
    async fn next(&mut self) -> Result<Option<Head>, AgentError> {
        let mut first = 0;
        if !protocol::begins(&mut self.stream, &mut first).await? {
            return Ok(None);
        }
        let head = timeout(SILENCE, protocol::head(&mut self.stream, first)).await;
        head.map_err(|_| AgentError::Slow("a program's header"))?.map(Some)
    }

    async fn answer(&mut self, answer: &Answer) -> Result<(), AgentError> {
        timeout(SILENCE, protocol::answer(&mut self.stream, answer))
            .await
            .map_err(|_| AgentError::Slow("reading an answer"))?
    }

    async fn refuse(&mut self, code: Refusal) -> Result<(), AgentError> {
        self.answer(&Answer::Refused { code }).await
    }

    async fn obey(&mut self, head: Head) -> Result<Result<Answer, Refusal>, AgentError> {
        let Head { request, data } = head;
        let request = match request {
            Ok(Request::Slice { rect, columns, rows, window, level, offset }) => {
                let at = SlicePlace {
                    rect: on_screen(rect),
                    window: window.unwrap_or(1.0),
                    level: level.unwrap_or(0.0),
                    offset,
                };
                let is_whole = window.is_none() || level.is_none();
                return self.slice((columns, rows), at, is_whole, data).await;
            }
            Ok(_) if data != 0 => Err(Refusal::Bounds),
            request => request,
        };
        let change = match request {
            Err(code) => {
                self.skip(data).await?;
                return Ok(Err(code));
            }
            Ok(Request::Hello { .. }) => return Ok(Err(Refusal::Version)),
            Ok(Request::Move { rect, window, level }) => {
                let rect = rect.map(on_screen);
                let moved = self.asked(|told| Change::Move { rect, window, level, told }).await?;
                return Ok(moved.map(|()| Answer::Done));
            }
            Ok(Request::Hide) => Change::Hide,
            Ok(Request::Mark { rect }) => {
                if rect.width == 0 || rect.height == 0 {
                    return Ok(Err(Refusal::Bounds));
                }
                Change::Mark(on_screen(rect))
            }
            Ok(Request::Unmark) => Change::Unmark,
            Ok(Request::State) => {
                let state = self.asked(Change::Ask).await?;
                return Ok(Ok(Answer::State { viewers: state.viewers, exact: state.exact }));
            }
            Ok(Request::Slice { .. } | Request::Unknown) => return Ok(Err(Refusal::Malformed)),
        };
        self.tell(change).await?;
        Ok(Ok(Answer::Done))
    }

    /// Takes in a picture and hands it on.
    async fn slice(
        &mut self,
        (columns, rows): (u16, u16),
        mut at: SlicePlace,
        is_whole: bool,
        data: usize,
    ) -> Result<Result<Answer, Refusal>, AgentError> {
        let size = SliceSize::new(columns, rows).filter(|size| size.bytes() == data);
        let Some(size) = size.filter(|_| at.is_valid()) else {
            self.skip(data).await?;
            return Ok(Err(Refusal::Bounds));
        };
        let Some(room) = self.room_for(data).await else {
            self.skip(data).await?;
            return Ok(Err(Refusal::NoRoom));
        };
        let values = self.values(data).await?;
        let image = tokio::task::spawn_blocking(move || SliceImage::encode(size, &values))
            .await
            .ok()
            .flatten();
        let Some(image) = image else { return Ok(Err(Refusal::Bounds)) };
        if is_whole {
            (at.window, at.level) = whole_range(image.range(), at.offset);
        }
        debug!(
            client = self.client,
            columns,
            rows,
            packed = image.packed_bytes(),
            "Slice taken in"
        );
        let slice = Arc::new(Slice { image, _room: Some(room) });
        self.tell(Change::Show(slice, at)).await?;
        Ok(Ok(Answer::Done))
    }

    async fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(ROOM_UNIT);
        if units > self.room.whole {
            return None;
        }
        let permits = Arc::clone(&self.room.left).acquire_many_owned(u32::try_from(units).ok()?);
        timeout(ROOM_TIMEOUT, permits).await.ok()?.ok()
    }

    async fn values(&mut self, length: usize) -> Result<Vec<u8>, AgentError> {
        let mut values = Vec::new();
        while values.len() < length {
            let piece = PIECE_BYTES.min(length - values.len());
            values.reserve(piece);
            let limit = u64::try_from(piece).unwrap_or(u64::MAX);
            let mut stream = (&mut self.stream).take(limit);
            piece_read(timeout(SILENCE, stream.read_buf(&mut values)).await)?;
        }
        Ok(values)
    }

    /// Reads past data that nobody wants.
    async fn skip(&mut self, length: usize) -> Result<(), AgentError> {
        let mut left = length;
        let mut piece = vec![0; PIECE_BYTES.min(length)];
        while left > 0 {
            let most = left.min(piece.len());
            left -= piece_read(timeout(SILENCE, self.stream.read(&mut piece[..most])).await)?;
        }
        Ok(())
    }

    async fn tell(&self, change: Change) -> Result<(), AgentError> {
        let told = self.engine.tell(Command::Local { client: self.client, change }).await;
        if told { Ok(()) } else { Err(ended()) }
    }

    /// Tells the engine something that it answers.
    async fn asked<T>(
        &self,
        change: impl FnOnce(oneshot::Sender<T>) -> Change,
    ) -> Result<T, AgentError> {
        let (told, answer) = oneshot::channel();
        self.tell(change(told)).await?;
        answer.await.map_err(|_| ended())
    }
}

fn on_screen(rect: ScreenRect) -> SliceRect {
    let ScreenRect { x, y, width, height } = rect;
    SliceRect { x, y, width, height }
}

/// Window and level that show the smallest value black and the largest white.
fn whole_range((lowest, highest): (u16, u16), offset: i32) -> (f64, f64) {
    let (lowest, highest) = (f64::from(lowest), f64::from(highest));
    (highest - lowest + 1.0, f64::midpoint(lowest, highest) + 0.5 + f64::from(offset))
}

type Timed<T> = Result<std::io::Result<T>, tokio::time::error::Elapsed>;

fn piece_read(read: Timed<usize>) -> Result<usize, AgentError> {
    match read.map_err(|_| AgentError::Slow("a program's data"))? {
        Ok(0) => Err(AgentError::Connection(std::io::ErrorKind::UnexpectedEof.into())),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(AgentError::Connection(error)),
    }
}

fn ended() -> AgentError {
    AgentError::Connection(std::io::ErrorKind::ConnectionAborted.into())
}

#[cfg(test)]
mod tests {
    use super::whole_range;

    #[test]
    fn the_whole_range_reaches_from_black_to_white() {
        // DICOM PS3.3 C.11.2.1.2.1: black at and below c − 0.5 − (w − 1) / 2, white above
        // c − 0.5 + (w − 1) / 2.
        for (range, offset) in [((0, 65_535), 0), ((1000, 3000), -1024), ((7, 7), 0)] {
            let (window, level) = whole_range(range, offset);
            let black = level - 0.5 - (window - 1.0) / 2.0;
            let white = level - 0.5 + (window - 1.0) / 2.0;
            assert!((black - f64::from(range.0) - f64::from(offset)).abs() < 1e-9);
            assert!((white - f64::from(range.1) - f64::from(offset)).abs() < 1e-9);
        }
    }
}
