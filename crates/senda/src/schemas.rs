//! What a listener learns from HELLO, WELCOME and DECLARE: whose session it is, and what its rows hold.

use std::collections::HashMap;
use std::net::SocketAddr;

use senda_wire::{Data, Declare, Frame, Message, MessageType, Schema, crc32};

/// Descriptions that are remembered; beyond that rows of new schemas are shown as bytes.
const SCHEMAS_MAX: usize = 4096;
/// HELLOs that wait for their WELCOME, and sessions. Beyond that the older ones are forgotten, all at once.
const SESSIONS_MAX: usize = 65_536;

/// A collector's end of a transport, where several may be heard at once: sessions of different collectors may have the
/// same number.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Collector {
    /// Whether it is its TCP side or its UDP side.
    pub(crate) is_tcp: bool,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// Who speaks in a session. Spec §2.2, §2.3.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) stream: u64,
    pub(crate) device: String,
}

/// Schemas belong to the stream, and a later session of it declares nothing again (spec §5.4c). Where HELLO or WELCOME
/// was not heard, the session is all there is.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Owner {
    Stream(u64),
    Session(Option<Collector>, u32),
}

/// The parts of a description that have come. Spec §5.4.
struct Parts {
    crc: u32,
    bytes: Vec<Option<Vec<u8>>>,
}

/// Schema descriptions, as DECLARE messages told them: without them rows are only bytes. What was heard first stays,
/// as it does at a collector (spec §5.4a).
#[derive(Default)]
pub(crate) struct Schemas {
    /// By id, for whichever session: said by the user and not by the wire.
    given: HashMap<u32, Vec<u8>>,
    whole: HashMap<(Owner, u32), Vec<u8>>,
    parts: HashMap<(Owner, u32), Parts>,
    /// By the collector and the low half of the nonce, which WELCOME repeats.
    hellos: HashMap<(Option<Collector>, u32), Identity>,
    sessions: HashMap<(Option<Collector>, u32), Identity>,
}

impl Schemas {
    /// Remembers what a message tells, where there is one collector.
    pub(crate) fn learn(&mut self, frame: &Frame<'_>) {
        self.learn_at(frame, None);
    }

    /// Remembers what a message from or to this collector tells.
    pub(crate) fn learn_at(&mut self, frame: &Frame<'_>, collector: Option<Collector>) {
        match Message::decode(frame) {
            Ok(Message::Hello(hello)) => {
                let device = hello.device.as_str().to_owned();
                let identity = Identity { stream: hello.stream, device };
                let (_, low) = halves(hello.nonce);
                remember(&mut self.hellos, (collector, low), identity);
            }
            Ok(Message::Welcome(_)) => {
                if let Some(identity) = self.hellos.get(&(collector, frame.seq)).cloned() {
                    remember(&mut self.sessions, (collector, frame.session), identity);
                }
            }
            Ok(Message::Declare(declare)) => {
                self.declare((self.owner(frame.session, collector), frame.seq), &declare);
            }
            _ => {}
        }
    }

    /// Takes a description for every session that declares no schema with this id.
    pub(crate) fn give(&mut self, id: u32, description: Vec<u8>) {
        self.given.insert(id, description);
    }

    /// Whose session this is, if its HELLO and WELCOME were heard.
    pub(crate) fn identity(&self, session: u32, collector: Option<Collector>) -> Option<&Identity> {
        self.sessions.get(&(collector, session))
    }

    /// The schema that a data message refers to.
    pub(crate) fn of(&self, frame: &Frame<'_>, collector: Option<Collector>) -> Option<Schema<'_>> {
        let id = schema_id(frame)?;
        let owner = self.owner(frame.session, collector);
        // Its DECLARE may have been heard before we knew the stream.
        let session = Owner::Session(collector, frame.session);
        let known = self.whole.get(&(owner, id)).or_else(|| self.whole.get(&(session, id)));
        Schema::decode_accepted(known.or_else(|| self.given.get(&id))?).ok()
    }

    fn owner(&self, session: u32, collector: Option<Collector>) -> Owner {
        self.identity(session, collector)
            .map_or(Owner::Session(collector, session), |identity| Owner::Stream(identity.stream))
    }

    fn declare(&mut self, key: (Owner, u32), declare: &Declare<'_>) {
        let known = self.whole.contains_key(&key);
        if known || self.whole.len() + self.parts.len() >= SCHEMAS_MAX {
            return;
        }
        let count = usize::from(declare.parts);
        let anew = || Parts { crc: declare.crc, bytes: vec![None; count] };
        let parts = self.parts.entry(key).or_insert_with(anew);
        if (parts.crc, parts.bytes.len()) != (declare.crc, count) {
            *parts = anew();
        }
        if let Some(part) = parts.bytes.get_mut(usize::from(declare.part)) {
            *part = Some(declare.bytes.to_vec());
        }
        if parts.bytes.iter().all(Option::is_some) {
            let description: Vec<u8> = parts.bytes.drain(..).flatten().flatten().collect();
            self.parts.remove(&key);
            if crc32(&description) == declare.crc && Schema::decode(&description).is_ok() {
                self.whole.insert(key, description);
            }
        }
    }
}

/// The schema that a data message names; `None` for other messages.
pub(crate) fn schema_id(frame: &Frame<'_>) -> Option<u32> {
    let data = [
        MessageType::Rows,
        MessageType::Sparse,
        MessageType::Columns,
        MessageType::RowsU,
        MessageType::ColumnsU,
    ];
    let is_data = frame.message_type().is_some_and(|kind| data.contains(&kind));
    let id = frame.body.first_chunk().filter(|_| is_data && Data::count_of(frame.body).is_some());
    Some(u32::from(u16::from_be_bytes(*id?)))
}

fn remember<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Identity>, key: K, value: Identity) {
    if map.len() >= SESSIONS_MAX {
        map.clear();
    }
    map.insert(key, value);
}

/// The upper and the lower 32 bits.
fn halves(nonce: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = nonce.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use senda_wire::registry::MESSAGE_MAX;
    use senda_wire::{ChannelSpec, Head, Identifier, Ping, ValueType};

    use super::*;

    const OTHER: Option<Collector> = Some(Collector {
        is_tcp: true,
        address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7363),
    });

    #[test]
    fn parts_in_any_order_make_a_description_and_another_crc_begins_anew() {
        let whole = description("greenhouse");
        let (first, second) = whole.split_at(9);
        let mut schemas = Schemas::default();
        schemas.learn(&frame(&declare(7, 3, 1, 2, 0xBAD, second)));
        schemas.learn(&frame(&declare(7, 3, 1, 2, crc32(&whole), second)));
        assert!(schemas.of(&frame(&rows(7, 3)), None).is_none());
        schemas.learn(&frame(&declare(7, 3, 0, 2, crc32(&whole), first)));
        assert_eq!(schemas.of(&frame(&rows(7, 3)), None).unwrap().bytes(), whole);
        assert!(schemas.of(&frame(&rows(8, 3)), None).is_none(), "another session");
        assert!(schemas.of(&frame(&rows(7, 2)), None).is_none(), "another id");
        assert!(schemas.of(&frame(&rows(7, 3)), OTHER).is_none(), "another collector");
        assert!(schemas.of(&frame(&ping()), None).is_none(), "no data");
    }

    #[test]
    fn a_description_whose_crc_is_not_the_announced_one_is_not_believed() {
        let whole = description("greenhouse");
        let mut schemas = Schemas::default();
        schemas.learn(&frame(&declare(7, 0, 0, 1, crc32(&whole) ^ 1, &whole)));
        assert!(schemas.of(&frame(&rows(7, 0)), None).is_none());
    }

    /// Spec §5.4a.
    #[test]
    fn what_an_id_meant_first_is_what_it_means() {
        let (first, second) = (description("first"), description("second"));
        let mut schemas = Schemas::default();
        for bytes in [&first, &second] {
            schemas.learn(&frame(&declare(7, 0, 0, 1, crc32(bytes), bytes)));
        }
        assert_eq!(schemas.of(&frame(&rows(7, 0)), None).unwrap().bytes(), first);
    }

    #[test]
    fn a_given_description_gives_way_to_one_from_the_wire() {
        let (given, told) = (description("given"), description("told"));
        let mut schemas = Schemas::default();
        schemas.give(0, given.clone());
        assert_eq!(schemas.of(&frame(&rows(7, 0)), None).unwrap().bytes(), given);
        schemas.learn(&frame(&declare(7, 0, 0, 1, crc32(&told), &told)));
        assert_eq!(schemas.of(&frame(&rows(7, 0)), None).unwrap().bytes(), told);
    }

    fn description(name: &str) -> Vec<u8> {
        let name = Identifier::new(name).unwrap();
        let channel = ChannelSpec::new(Identifier::new("c").unwrap(), ValueType::U8);
        Schema::encode(name, &[channel], &mut [0; 64]).unwrap().to_vec()
    }

    fn declare(session: u32, id: u32, part: u8, parts: u8, crc: u32, bytes: &[u8]) -> Vec<u8> {
        encode(session, id, Message::Declare(Declare { part, parts, crc, bytes }))
    }

    fn rows(session: u32, schema: u16) -> Vec<u8> {
        let clock = senda_wire::Clock::UtcSynced;
        let head = senda_wire::DataHead { schema, clock, count: 1, t0: 0 };
        encode(session, 0, Message::Rows(Data { head, rows: &[1] }))
    }

    fn ping() -> Vec<u8> {
        encode(7, 3, Message::Ping(Ping { token: 3 }))
    }

    fn encode(session: u32, seq: u32, message: Message<'_>) -> Vec<u8> {
        let mut buffer = [0; 512];
        let len = message.encode(Head { session, seq, flags: 0 }, &mut buffer).unwrap();
        buffer[..len].to_vec()
    }

    fn frame(bytes: &[u8]) -> Frame<'_> {
        Frame::decode(bytes, MESSAGE_MAX).unwrap()
    }
}
