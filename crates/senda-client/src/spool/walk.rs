//! Goes through the frames of a segment, in windows, past whatever is damaged.

use std::io;

use super::Storage;
use super::format::{FRAME_MAX, HEADER_LEN, Item, as_u64, check_frame, read_frame, read_header};

/// Bytes that are read at once; at least one frame has room.
const WINDOW: usize = 64 << 10;

/// A place in a segment.
#[derive(Debug)]
pub(super) struct Walk {
    number: u32,
    name: String,
    window: Vec<u8>,
    /// Offset of the window in the file.
    window_at: u64,
    /// Where the next frame is looked for, in the window.
    at: usize,
    /// Nothing follows the window.
    at_end: bool,
    /// Where the readable part of the file ends.
    end: u64,
    /// Bytes that belong to no frame, up to here.
    pub(super) ignored: u64,
    /// Of those, the ones since the last good frame.
    pub(super) ignored_since: u64,
    /// One of those bytes is not 0.
    pub(super) has_ignored_data: bool,
}

impl Walk {
    /// From `offset` of a segment up to `end`, or to the end of the file.
    pub(super) fn new(number: u32, name: String, offset: u64, end: u64) -> Self {
        Self {
            number,
            name,
            window: Vec::new(),
            window_at: offset,
            at: 0,
            at_end: false,
            end,
            ignored: 0,
            ignored_since: 0,
            has_ignored_data: false,
        }
    }

    /// Reads the header at the beginning of the file and goes behind it. `None`: it is not the one of this segment; whatever is
    /// there counts as damaged, and frames are looked for in it.
    pub(super) fn header(&mut self, storage: &mut impl Storage) -> io::Result<Option<u32>> {
        self.fill(storage)?;
        let boot = read_header(self.number, &self.window);
        if boot.is_some() {
            self.at = HEADER_LEN;
        }
        Ok(boot)
    }

    /// Where the next frame is looked for, in the file.
    pub(super) fn offset(&self) -> u64 {
        self.window_at + as_u64(self.at)
    }

    /// The next frame: where it begins, and what it says. `None` at the end.
    ///
    /// # Errors
    /// Those of the storage. The same call may be made again.
    pub(super) fn next(
        &mut self,
        storage: &mut impl Storage,
    ) -> io::Result<Option<(u64, Item<'_>)>> {
        let len = loop {
            self.fill(storage)?;
            let rest = &self.window[self.at..];
            if rest.is_empty() {
                return Ok(None);
            }
            if let Some(len) = check_frame(self.number, self.offset(), rest) {
                break len;
            }
            self.has_ignored_data |= rest[0] != 0;
            self.at += 1;
            self.ignored += 1;
            self.ignored_since += 1;
        };
        let begin = self.at;
        let offset = self.offset();
        self.at += len;
        self.ignored_since = 0;
        Ok(Some((offset, read_frame(&self.window[begin..self.at]))))
    }

    /// Sees to it that a whole frame is in the window, or the end of the file.
    fn fill(&mut self, storage: &mut impl Storage) -> io::Result<()> {
        if self.at_end || self.window.len() - self.at >= FRAME_MAX {
            return Ok(());
        }
        let offset = self.window_at + as_u64(self.window.len());
        let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = WINDOW.min(left);
        let more =
            if want == 0 { Vec::new() } else { storage.read_at(&self.name, offset, want)? };
        self.at_end = more.len() < want || want == left;
        self.window.drain(..self.at);
        self.window_at += as_u64(self.at);
        self.at = 0;
        self.window.extend_from_slice(&more);
        Ok(())
    }
}
