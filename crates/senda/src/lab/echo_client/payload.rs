//! What goes out, and whether that came back.

use crate::UsageError;

/// In front of a numbered message: the mark of this run (u32) and the message's number (u64), both in network order.
const STAMP_LEN: usize = 12;
const MARK_LEN: usize = 4;

/// Makes the messages of one run, and knows them again.
#[derive(Debug)]
pub(super) struct Payload {
    mark: Option<u32>,
    /// After the stamp, if there is one.
    filling: Vec<u8>,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// This message, as it was sent.
    Intact(u64),
    /// This message, but not as it was sent.
    Damaged(u64),
    /// No message of this run.
    Foreign,
}

impl Payload {
    /// Messages that can be told apart: of `filling`'s length if that was asked for, else longer by the stamp.
    pub(super) fn numbered(
        mut filling: Vec<u8>,
        exact: bool,
        mark: u32,
    ) -> Result<Self, UsageError> {
        if exact && filling.len() < STAMP_LEN {
            return Err(UsageError(format!(
                "a UDP ping numbers its datagrams with {STAMP_LEN} bytes: --size can't be {}",
                filling.len()
            )));
        }
        if exact {
            filling.truncate(filling.len() - STAMP_LEN);
        }
        Ok(Self { mark: Some(mark), filling })
    }

    /// Messages for a stream, which keeps their order: the text as it is, and numbered where a size leaves room for that.
    pub(super) fn of_stream(filling: Vec<u8>, exact: bool, mark: u32) -> Self {
        if exact && filling.len() >= STAMP_LEN {
            let filling = filling[..filling.len() - STAMP_LEN].to_vec();
            return Self { mark: Some(mark), filling };
        }
        Self { mark: None, filling }
    }

    /// Bytes of every message.
    pub(super) fn len(&self) -> usize {
        self.mark.map_or(0, |_| STAMP_LEN) + self.filling.len()
    }

    pub(super) fn message(&self, number: u64) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.len());
        if let Some(mark) = self.mark {
            message.extend(mark.to_be_bytes());
            message.extend(number.to_be_bytes());
        }
        message.extend(&self.filling);
        message
    }

    /// A datagram that came back.
    pub(super) fn read_datagram(&self, bytes: &[u8]) -> Answer {
        let stamp = bytes.split_at_checked(STAMP_LEN).and_then(|(stamp, rest)| {
            let (mark, number) = stamp.split_at(MARK_LEN);
            let number = u64::from_be_bytes(number.try_into().ok()?);
            (Some(u32::from_be_bytes(mark.try_into().ok()?)) == self.mark).then_some((number, rest))
        });
        match stamp {
            Some((number, rest)) if rest == self.filling => Answer::Intact(number),
            Some((number, _)) => Answer::Damaged(number),
            None => Answer::Foreign,
        }
    }

    /// What came back of a stream in the place of message `number`.
    pub(super) fn read_stream(&self, number: u64, bytes: &[u8]) -> Answer {
        if bytes == self.message(number) { Answer::Intact(number) } else { Answer::Damaged(number) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_known_again_by_mark_number_and_content() -> anyhow::Result<()> {
        let payload = Payload::numbered(b"hola".to_vec(), false, 0xfeed_f00d)?;
        let mut message = payload.message(0x0102);
        assert_eq!(message, b"\xfe\xed\xf0\x0d\0\0\0\0\0\0\x01\x02hola");
        assert_eq!(payload.len(), message.len());
        assert_eq!(payload.read_datagram(&message), Answer::Intact(0x0102));
        assert_eq!(payload.read_datagram(&message[..15]), Answer::Damaged(0x0102));
        assert_eq!(payload.read_datagram(&message[..11]), Answer::Foreign);
        assert_eq!(payload.read_datagram(b""), Answer::Foreign);
        message[0] = 0;
        assert_eq!(payload.read_datagram(&message), Answer::Foreign);
        Ok(())
    }

    #[test]
    fn a_size_is_that_of_the_whole_datagram() -> anyhow::Result<()> {
        let payload = Payload::numbered(vec![b'x'; 12], true, 1)?;
        assert_eq!((payload.len(), payload.message(0).len()), (12, 12));
        assert!(Payload::numbered(vec![b'x'; 11], true, 1).is_err());
        Ok(())
    }

    #[test]
    fn a_short_message_of_a_stream_is_the_text_alone() {
        let text = Payload::of_stream(b"Hola, mundo, y adios".to_vec(), false, 1);
        assert_eq!(text.message(7), b"Hola, mundo, y adios");
        let short = Payload::of_stream(vec![b'x'; 11], true, 1);
        assert_eq!(short.message(7), [b'x'; 11]);
        let long = Payload::of_stream(vec![b'x'; 13], true, 1);
        assert_eq!(long.message(7), b"\0\0\0\x01\0\0\0\0\0\0\0\x07x");
        assert_eq!(long.read_stream(7, &long.message(7)), Answer::Intact(7));
        assert_eq!(long.read_stream(8, &long.message(7)), Answer::Damaged(8));
    }
}
