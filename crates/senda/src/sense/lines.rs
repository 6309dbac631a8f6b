//! Lines of text with their numbers, in bounded memory.

use std::io::{self, BufRead, Read};

use tokio::sync::mpsc;

/// The longest line; the rest of a longer one is skipped.
pub(super) const LINE_BYTES_MAX: usize = 65_536;
/// Lines that wait to be looked at.
const WAITING_MAX: usize = 1_024;

/// A line without its end, or why it is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    pub(super) text: Result<String, String>,
}

/// Reads line after line.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, number: 0 }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 2; // Its end may be two bytes.
        let read = self.input.by_ref().take(most).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let is_whole = bytes.last() == Some(&b'\n');
        if is_whole {
            bytes.pop();
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let text = if bytes.len() > LINE_BYTES_MAX {
            if !is_whole {
                self.skip_line()?;
            }
            Err(format!("it is longer than {LINE_BYTES_MAX} bytes"))
        } else {
            self.decode(bytes)
        };
        Ok(Some(Line { number: self.number, text }))
    }

    fn decode(&self, mut bytes: Vec<u8>) -> Result<String, String> {
        if self.number == 1 && bytes.starts_with(b"\xEF\xBB\xBF") {
            bytes.drain(..3); // The mark that some programs put before UTF-8.
        }
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to() + 1;
            format!("byte {at} of it is not UTF-8; iconv can convert the file")
        })
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let (skipped, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.input.consume(skipped);
            if is_end {
                return Ok(());
            }
        }
    }
}

/// Reads on a thread of its own, which nobody waits for: standard input may never end.
pub(super) fn spawn<R: BufRead + Send + 'static>(
    input: R,
) -> io::Result<mpsc::Receiver<io::Result<Line>>> {
    let (sender, lines) = mpsc::channel(WAITING_MAX);
    let read = move || {
        let mut input = Lines::new(input);
        while let Some(line) = input.next().transpose() {
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                return;
            }
        }
    };
    std::thread::Builder::new().name("senda-input".into()).spawn(read)?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(io::BufReader::with_capacity(7, bytes));
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn lines_have_their_numbers_whatever_ends_them() {
        let lines = read(b"\xEF\xBB\xBFa\r\n\nb\n\xFF\nc");
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_deref().unwrap_or("!")).collect();
        assert_eq!(texts, ["a", "", "b", "!", "c"]);
        assert_eq!(lines[4].number, 5);
        assert!(lines[3].text.as_ref().unwrap_err().contains("byte 1"));
    }

    #[test]
    fn a_line_without_end_is_one_bad_line_and_bounded_memory() {
        let mut input = vec![b'x'; 3 * LINE_BYTES_MAX];
        input.extend(b"\nshort\n");
        let longest = [vec![b'y'; LINE_BYTES_MAX], b"\r\n".to_vec()].concat();
        input.extend(&longest);
        input.extend(vec![b'z'; LINE_BYTES_MAX + 1]);
        let lines = read(&input);
        assert_eq!(lines.len(), 4);
        assert!(lines[0].text.is_err());
        assert_eq!(lines[1], Line { number: 2, text: Ok("short".into()) });
        assert_eq!(lines[2].text.as_ref().unwrap().len(), LINE_BYTES_MAX);
        assert!(lines[3].text.is_err());
    }
}
