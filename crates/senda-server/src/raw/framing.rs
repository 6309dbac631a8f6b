//! Records in a stream of bytes: TCP keeps no boundaries, so the protocol has to.

use senda_struct::{Format, Value};

use super::misfit::Misfit;
use super::recipe::compile;
use super::{Framing, RawError};

/// Cuts what a connection brings into records.
#[derive(Clone, Debug)]
pub(super) struct Splitter {
    cut: Cut,
    /// Bytes that no record has been made of yet.
    waiting: Vec<u8>,
    /// Where the search for a delimiter goes on.
    searched: usize,
    bytes_max: usize,
}

#[derive(Clone, Debug)]
enum Cut {
    Fixed(usize),
    Length { format: Format, counts_itself: bool },
    Delimiter(Vec<u8>),
}

impl Splitter {
    /// `size` is that of a record.
    pub(super) fn new(framing: &Framing, size: usize, bytes_max: usize) -> Result<Self, RawError> {
        let wrong = |what: &str| RawError::Framing(what.to_owned());
        let cut = match framing {
            Framing::Fixed if size == 0 => {
                return Err(wrong("a record of a fixed size has at least one byte"));
            }
            Framing::Fixed => Cut::Fixed(size),
            Framing::Length { format, counts_itself } => {
                let format = compile("length", format)?;
                let one_integer = format.value_count() == 1
                    && format.pack(&[Value::Int(0)]).is_ok()
                    && matches!(
                        format.unpack(&vec![0; format.size()]).as_deref(),
                        Ok([Value::Int(_)])
                    );
                if !one_integer || format.size() > 8 {
                    return Err(wrong("length is a struct format of one integer, such as \">H\""));
                }
                Cut::Length { format, counts_itself: *counts_itself }
            }
            Framing::Delimiter(bytes) if bytes.is_empty() || bytes.len() > 16 => {
                return Err(wrong("a delimiter has 1 to 16 bytes"));
            }
            Framing::Delimiter(bytes) => Cut::Delimiter(bytes.clone()),
        };
        if size > bytes_max {
            return Err(wrong(&format!("max_bytes is {bytes_max}, and a record has {size}")));
        }
        Ok(Self { cut, waiting: Vec::new(), searched: 0, bytes_max })
    }

    /// Takes what came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next record, without prefix and delimiter; `None` until more comes.
    ///
    /// # Errors
    /// [`Misfit::TooLong`] or, of a length that can't be, [`Misfit::Value`]: where the next record begins is not known.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Misfit> {
        let found = match &self.cut {
            Cut::Fixed(size) => (self.waiting.len() >= *size).then_some((0, *size, *size)),
            Cut::Length { format, counts_itself } => self.by_length(format, *counts_itself)?,
            Cut::Delimiter(delimiter) => self.by_delimiter(delimiter)?,
        };
        let Some((begin, end, next)) = found else {
            self.searched = self.waiting.len();
            return Ok(None);
        };
        let record = self.waiting[begin..end].to_vec();
        self.waiting.drain(..next);
        self.searched = 0;
        Ok(Some(record))
    }

    /// What no record has been made of yet.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.waiting
    }

    /// What the connection ended with: a part of a record, or nothing.
    pub(super) fn rest(self) -> Vec<u8> {
        self.waiting
    }

    fn by_length(
        &self,
        format: &Format,
        counts_itself: bool,
    ) -> Result<Option<(usize, usize, usize)>, Misfit> {
        let begin = format.size();
        let Some(prefix) = self.waiting.get(..begin) else { return Ok(None) };
        let values = format.unpack(prefix).unwrap_or_default();
        let Some(Value::Int(said)) = values.first() else { return Ok(None) };
        let len = if counts_itself { said - begin as i128 } else { *said };
        let len = usize::try_from(len).map_err(|_| Misfit::Value {
            field: "length".into(),
            what: format!("{said} is no length of a record"),
        })?;
        if len > self.bytes_max {
            return Err(Misfit::TooLong { len, most: self.bytes_max });
        }
        let end = begin + len;
        Ok((self.waiting.len() >= end).then_some((begin, end, end)))
    }

    fn by_delimiter(&self, delimiter: &[u8]) -> Result<Option<(usize, usize, usize)>, Misfit> {
        // A delimiter may have come in two pieces.
        let from = self.searched.saturating_sub(delimiter.len() - 1);
        let unseen = &self.waiting[from.min(self.waiting.len())..];
        let found = unseen.windows(delimiter.len()).position(|window| window == delimiter);
        let end = found.map_or(self.waiting.len(), |at| from + at);
        // Of what has no end yet, the last bytes may be the delimiter's first.
        let open = if found.is_some() { 0 } else { delimiter.len() - 1 };
        if end > self.bytes_max + open {
            return Err(Misfit::TooLong { len: end, most: self.bytes_max });
        }
        Ok(found.map(|_| (0, end, end + delimiter.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn length(format: &str, counts_itself: bool) -> Framing {
        Framing::Length { format: format.into(), counts_itself }
    }

    fn splitter(framing: &Framing) -> Splitter {
        Splitter::new(framing, 3, 100).unwrap()
    }

    /// All records of `bytes`, which come in pieces of these lengths over and over.
    fn split(framing: &Framing, bytes: &[u8], pieces: &[usize]) -> Result<Vec<Vec<u8>>, Misfit> {
        let mut splitter = splitter(framing);
        let (mut records, mut rest) = (Vec::new(), bytes);
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).clamp(1, rest.len().max(1)).min(rest.len()));
            splitter.push(now);
            while let Some(record) = splitter.next()? {
                records.push(record);
            }
            if later.is_empty() {
                break;
            }
            rest = later;
        }
        assert_eq!(splitter.rest(), b"", "all of it is records");
        Ok(records)
    }

    proptest! {
        #[test]
        fn records_do_not_depend_on_how_the_bytes_come(
            records in proptest::collection::vec(proptest::collection::vec(0u8..10, 3), 1..20),
            pieces in proptest::collection::vec(1usize..20, 1..10),
        ) {
            let fixed: Vec<u8> = records.concat();
            prop_assert_eq!(split(&Framing::Fixed, &fixed, &pieces), Ok(records.clone()));
            let prefixed = |extra: u16| -> Vec<u8> {
                records.iter().flat_map(|record| {
                    let len = u16::try_from(record.len()).unwrap() + extra;
                    [&len.to_be_bytes()[..], record].concat()
                }).collect()
            };
            prop_assert_eq!(split(&length(">H", false), &prefixed(0), &pieces), Ok(records.clone()));
            prop_assert_eq!(split(&length(">H", true), &prefixed(2), &pieces), Ok(records.clone()));
            let delimited: Vec<u8> = records.iter().flat_map(|record| [record, &b"\r\n"[..]].concat()).collect();
            prop_assert_eq!(split(&Framing::Delimiter(b"\r\n".to_vec()), &delimited, &pieces), Ok(records.clone()));
        }

        #[test]
        fn no_bytes_make_it_panic_or_keep_more_than_it_may(
            bytes in proptest::collection::vec(any::<u8>(), 0..1_000),
            framing in prop_oneof![
                Just(Framing::Fixed), Just(length("b", true)), Just(length("<q", false)), Just(length(">I", true)),
                Just(Framing::Delimiter(vec![0, 0])),
            ],
        ) {
            let mut splitter = splitter(&framing);
            'pieces: for piece in bytes.chunks(50) {
                splitter.push(piece);
                loop {
                    match splitter.next() {
                        Ok(Some(record)) => prop_assert!(record.len() <= 100),
                        Ok(None) => break,
                        Err(_) => break 'pieces,
                    }
                }
                prop_assert!(splitter.waiting.len() <= 100 + 16, "{}", splitter.waiting.len());
            }
        }
    }

    #[test]
    fn a_record_that_never_ends_is_an_error_before_it_fills_the_memory() {
        let mut lines = splitter(&Framing::Delimiter(b"\n".to_vec()));
        lines.push(&[b'x'; 101]);
        assert_eq!(lines.next(), Err(Misfit::TooLong { len: 101, most: 100 }));
        let mut prefixed = splitter(&length("<I", false));
        prefixed.push(&u32::MAX.to_le_bytes());
        assert_eq!(prefixed.next(), Err(Misfit::TooLong { len: 0xFFFF_FFFF, most: 100 }));
        let mut negative = splitter(&length("b", false));
        negative.push(&[0xFF]);
        assert!(matches!(negative.next(), Err(Misfit::Value { .. })));
    }

    #[test]
    fn an_empty_record_between_two_delimiters_is_a_record() {
        let records = split(&Framing::Delimiter(b";".to_vec()), b"abc;;def;", &[4]).unwrap();
        assert_eq!(records, [&b"abc"[..], b"", b"def"]);
    }

    #[test]
    fn a_framing_that_can_not_work_is_refused() {
        let refused =
            |framing: &Framing, size| Splitter::new(framing, size, 100).unwrap_err().to_string();
        assert!(refused(&Framing::Fixed, 0).contains("at least one byte"));
        assert!(refused(&Framing::Fixed, 101).contains("max_bytes is 100"));
        for format in [">HH", "f", "4s", "", "?"] {
            assert!(refused(&length(format, false), 3).contains("one integer"), "{format}");
        }
        assert!(refused(&length("K", false), 3).contains("no struct format"));
        assert!(refused(&Framing::Delimiter(vec![]), 3).contains("1 to 16"));
    }
}
