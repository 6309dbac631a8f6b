//! The body of an ALERT. Spec §5.19.

use senda_store::AlertRecord;
use senda_wire::registry::{CRC_LEN, HEADER_LEN, MESSAGE_MAX, TEXT_MAX};
use senda_wire::{Alert, Head, List, Message};

/// The body of the ALERT that tells a device. A text of more than [`TEXT_MAX`] bytes is cut; the body always fits a
/// datagram, but not always a device that takes short messages only: what exceeds `body_max` goes, the text last.
///
/// Returns `None` where even that does not fit.
pub fn alert_body(alert: &AlertRecord, body_max: usize) -> Option<Vec<u8>> {
    let text = cut(&alert.text, TEXT_MAX);
    let values = List::decode(&alert.values).ok()?;
    let whole = encode(alert, &text, values)?;
    if whole.len() <= body_max {
        return Some(whole);
    }
    let bare = encode(alert, &text, List::default())?;
    let excess = bare.len().saturating_sub(body_max);
    let shorter = cut(&text, text.len().saturating_sub(excess));
    encode(alert, &shorter, List::default()).filter(|body| body.len() <= body_max)
}

/// The text, or as much of its beginning as fits `max` bytes, with an ellipsis.
pub fn cut(text: &str, max: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= max {
        return text.to_owned();
    }
    let Some(room) = max.checked_sub(ELLIPSIS.len()) else {
        return String::new();
    };
    format!("{}{ELLIPSIS}", &text[..text.floor_char_boundary(room)])
}

fn encode(alert: &AlertRecord, text: &str, values: List<'_>) -> Option<Vec<u8>> {
    let alert = Alert {
        id: alert.id,
        time: alert.cleared_at.unwrap_or(alert.raised_at),
        raised: alert.raised,
        severity: alert.severity,
        schema: &alert.schema,
        channel: &alert.channel,
        text,
        values,
    };
    let mut message = vec![0; MESSAGE_MAX];
    // Session and number are not part of the body.
    let head = Head { session: 1, seq: 1, flags: 0 };
    let len = Message::Alert(alert).encode(head, &mut message).ok()?;
    Some(message[HEADER_LEN..len - CRC_LEN].to_vec())
}
