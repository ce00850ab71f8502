//! What is shown, frame by frame: every frame is told by its number, so that what a browser shows can be judged by it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::number::to_and_fro;
use crate::{counter, slices, surface, text};

/// Pixels that a document moves from frame to frame, and lines that a log does.
const DOCUMENT_STEP: usize = 12;
const LOG_STEP: usize = 2;
/// Above the lines of the log, where the counter has its place.
const LOG_HEAD: usize = 32;
/// Bytes of all pictures of the view or of the slices, at most: the X server reads them all the time.
const PICTURES_MAX: usize = 1 << 30;
/// Pictures when there is room: half a turn of the view, and more slices than any product could remember.
const VIEW_FRAMES_MAX: usize = 120;
const CT_FRAMES_MAX: usize = 240;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Terminal,
    Document,
    View3d,
    Ct,
    /// A document that stands still.
    Idle,
    /// Nothing but the counter: a small change.
    Mark,
}

impl Content {
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        Ok(match name {
            "terminal" => Self::Terminal,
            "document" => Self::Document,
            "view3d" => Self::View3d,
            "ct" => Self::Ct,
            "idle" => Self::Idle,
            "mark" => Self::Mark,
            _ => anyhow::bail!("no such content: {name}"),
        })
    }
}

/// What to do to come from one frame to the next.
pub(crate) enum Step {
    /// Show what is at this place of the file, as high as the window.
    Show {
        offset: usize,
    },
    /// Move what is between the two heights up, and show these lines of the file at these heights.
    Scroll {
        from: usize,
        to: usize,
        rows: usize,
        lines: Vec<(usize, usize)>,
        line: usize,
    },
    Nothing,
}

pub(crate) struct Reel {
    content: Content,
    width: usize,
    height: usize,
    scale: usize,
    file: File,
    bytes: usize,
}

/// Makes the file that the frames come from.
pub(crate) fn render(content: Content, width: usize, height: usize) -> anyhow::Result<Vec<u8>> {
    let scale = scale(width);
    let room = PICTURES_MAX / (width * height * 4);
    Ok(match content {
        Content::Terminal => text::log(width, scale)?,
        Content::Document | Content::Idle => text::article(width, height, scale)?,
        Content::View3d => surface::render(width, height, room.min(VIEW_FRAMES_MAX)),
        Content::Ct => slices::render(width, height, room.min(CT_FRAMES_MAX)),
        Content::Mark => counter::row(0),
    })
}

/// Screens with twice as many pixels show letters twice as large.
fn scale(width: usize) -> usize {
    if width > 2000 { 2 } else { 1 }
}

impl Reel {
    pub(crate) fn open(
        content: Content,
        width: usize,
        height: usize,
        file: &Path,
    ) -> anyhow::Result<Self> {
        let file =
            File::options().read(true).write(true).open(file).context("the rendered file")?;
        let bytes = usize::try_from(file.metadata()?.len())?;
        Ok(Self { content, width, height, scale: scale(width), file, bytes })
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Where the counter stands: in the view on what moves, for beside it it would be a change of its own.
    pub(crate) fn row(&self) -> (usize, usize) {
        match self.content {
            Content::View3d => ((self.width - counter::WIDTH) / 2, self.height / 2),
            Content::Terminal | Content::Document | Content::Ct | Content::Idle | Content::Mark => {
                (0, 0)
            }
        }
    }

    /// The file, for the X server to read from.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// What changes with frame `number`; a frame that comes first is drawn whole.
    pub(crate) fn step(&self, number: usize, first: bool) -> Step {
        match self.content {
            Content::Terminal if first => {
                let lines = (0..self.log_rows()).map(|row| self.log_line(number, row)).collect();
                Step::Scroll { from: 0, to: 0, rows: 0, lines, line: text::log_line(self.scale) }
            }
            Content::Terminal => {
                let line = text::log_line(self.scale);
                let kept = self.log_rows() - LOG_STEP;
                let to = self.log_head();
                let lines = (kept..self.log_rows()).map(|row| self.log_line(number, row)).collect();
                Step::Scroll { from: to + LOG_STEP * line, to, rows: kept * line, lines, line }
            }
            Content::Document | Content::Idle | Content::View3d | Content::Ct => {
                Step::Show { offset: self.offset(number) }
            }
            Content::Mark => Step::Nothing,
        }
    }

    /// The whole of frame `number` as it is to look, BGRX.
    pub(crate) fn frame(&self, number: usize) -> anyhow::Result<Vec<u8>> {
        let mut picture = Vec::new();
        match self.step(number, true) {
            Step::Show { offset } => picture = self.read(offset, self.width * self.height * 4)?,
            Step::Scroll { lines, line, .. } => {
                picture = [16, 16, 16, 0].repeat(self.width * self.height);
                let length = line * self.width * 4;
                for (offset, y) in lines {
                    let from = self.read(offset, length)?;
                    picture[y * self.width * 4..][..length].copy_from_slice(&from);
                }
            }
            Step::Nothing => picture.resize(self.width * self.height * 4, 0),
        }
        counter::stamp(&mut picture, self.width, self.row(), u16::try_from(number % 65_536)?);
        Ok(picture)
    }

    /// Where in the file the picture begins.
    fn offset(&self, number: usize) -> usize {
        let line = self.width * 4;
        let picture = self.height * line;
        match self.content {
            Content::Document => {
                let step = DOCUMENT_STEP * self.scale * line;
                let steps = (self.bytes - picture) / step + 1;
                to_and_fro(number, steps) * step
            }
            Content::View3d => to_and_fro(number, self.bytes / picture) * picture,
            Content::Ct => number % (self.bytes / picture) * picture,
            Content::Idle | Content::Terminal | Content::Mark => 0,
        }
    }

    fn log_head(&self) -> usize {
        LOG_HEAD * self.scale
    }

    fn log_rows(&self) -> usize {
        (self.height - self.log_head()) / text::log_line(self.scale)
    }

    /// Place in the file, and height in the window, of a row of the log.
    fn log_line(&self, number: usize, row: usize) -> (usize, usize) {
        let line = text::log_line(self.scale);
        let in_file = (number * LOG_STEP + row) % text::LOG_LINES;
        (in_file * line * self.width * 4, self.log_head() + row * line)
    }

    fn read(&self, offset: usize, length: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, u64::try_from(offset)?)?;
        Ok(bytes)
    }
}
