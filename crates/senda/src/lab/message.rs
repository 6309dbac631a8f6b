//! What the lab's clients send.

use super::language::Language;
use crate::UsageError;

/// Payload of the longest datagram over IPv4: 65,535 less the headers of IP (20) and UDP (8).
pub(super) const DATAGRAM_MAX: usize = 65_507;

/// A text in UTF-8, repeated or cut to `size` bytes if one is given.
pub(super) fn of_size(text: &str, size: Option<u32>) -> Result<Vec<u8>, UsageError> {
    let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
        return Ok(text.as_bytes().to_vec());
    };
    if text.is_empty() && size > 0 {
        return Err(UsageError("an empty message can't be repeated to --size".into()));
    }
    Ok(text.bytes().cycle().take(size).collect())
}

/// Whether it fits into one datagram.
pub(super) fn check_datagram(len: usize, language: Language) -> Result<(), UsageError> {
    if len <= DATAGRAM_MAX {
        return Ok(());
    }
    Err(UsageError(match language {
        Language::Es => format!(
            "el mensaje tiene {len} bytes y en un datagrama caben {DATAGRAM_MAX}: en UDP lo que no cabe no se envía"
        ),
        Language::En => format!(
            "the message has {len} bytes and a datagram holds {DATAGRAM_MAX}: over UDP, what does not fit is not sent"
        ),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_repeated_or_cut_to_its_size() {
        let of = |text, size| of_size(text, size).map_err(|error| error.0);
        assert_eq!(of("año", None), Ok(b"a\xc3\xb1o".to_vec()));
        assert_eq!(of("año", Some(2)), Ok(b"a\xc3".to_vec()));
        assert_eq!(of("ab", Some(5)), Ok(b"ababa".to_vec()));
        assert_eq!(of("", Some(0)), Ok(vec![]));
        assert!(of("", Some(1)).is_err());
    }

    #[test]
    fn the_longest_datagram_is_allowed_and_not_a_byte_more() {
        for language in [Language::Es, Language::En] {
            assert!(check_datagram(65_507, language).is_ok());
            assert!(check_datagram(65_508, language).is_err());
        }
    }
}
