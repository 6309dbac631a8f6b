//! What changed between two looks. Pure: it knows sockets, not the kernel and not the time.

use std::collections::HashMap;

use super::diag::{Protocol, Socket, State};

/// What happened to a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    /// It was there at the first look.
    Present,
    Appeared,
    /// Its state is another one, or (UDP) its addresses are.
    Changed {
        from: State,
    },
    /// The last state that was seen is that of the socket.
    Gone,
    /// It came and went between two looks; the kernel told of its end only.
    Missed,
}

impl Event {
    /// For programs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Appeared => "appeared",
            Self::Changed { .. } => "changed",
            Self::Gone => "gone",
            Self::Missed => "missed",
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    pub(super) event: Event,
    /// As it is now; of one that is gone, as it was.
    pub(super) socket: Socket,
}

/// The kernel's number of a socket, the same from SYN-RECEIVED to TIME-WAIT: the cookie is handed on.
pub(super) type Key = (Protocol, u64);

pub(super) const fn key(socket: &Socket) -> Key {
    (socket.protocol, socket.cookie)
}

/// Remembers the sockets of the last look, and nothing older.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    known: HashMap<Key, Socket>,
    started: bool,
}

impl Timeline {
    /// Takes the next look, and `ended`: sockets whose end the kernel told of since the last. In the order of a life:
    /// what is gone makes room for what comes.
    pub(super) fn advance(&mut self, look: Vec<Socket>, ended: Vec<Socket>) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.known);
        let mut changes = Vec::new();
        for socket in ended {
            // Most have been seen. A connection's socket ends when TIME-WAIT begins, which goes on with its addresses.
            let same = |other: &Socket| {
                (other.protocol, other.local, other.peer)
                    == (socket.protocol, socket.local, socket.peer)
            };
            let is_known = before.contains_key(&key(&socket))
                || look.iter().any(|other| key(other) == key(&socket) || same(other));
            if !is_known {
                changes.push(Change { event: Event::Missed, socket });
            }
        }
        let first = !std::mem::replace(&mut self.started, true);
        let mut came = Vec::new();
        for socket in look {
            let event = match before.remove(&key(&socket)) {
                None if first => Some(Event::Present),
                None => Some(Event::Appeared),
                Some(old) if is_as_it_was(&old, &socket) => None,
                Some(old) => Some(Event::Changed { from: old.state }),
            };
            came.extend(event.map(|event| Change { event, socket: socket.clone() }));
            self.known.insert(key(&socket), socket);
        }
        let gone = before.into_values().map(|socket| Change { event: Event::Gone, socket });
        changes.extend(gone);
        changes.sort_by_key(|change| (change.socket.protocol, change.socket.local));
        changes.extend(came);
        changes
    }

    /// Those of the last look.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.known.values()
    }

    pub(super) fn knows(&self, key: &Key) -> bool {
        self.known.contains_key(key)
    }
}

/// Queues come and go with every segment; a timeline is of states.
fn is_as_it_was(old: &Socket, new: &Socket) -> bool {
    (old.state, old.local, old.peer) == (new.state, new.local, new.peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_told_in_its_order_and_nothing_is_said_of_what_stays() {
        let mut timeline = Timeline::default();
        let listener = socket(1, State::Listen);
        let at = |state| vec![listener.clone(), socket(2, state)];
        let mut told = Vec::new();
        let looks = [
            vec![listener.clone()],
            at(State::SynSent),
            at(State::Established),
            at(State::Established),
            at(State::TimeWait),
            vec![listener.clone()],
        ];
        for look in looks {
            told.push(events(&timeline.advance(look, Vec::new())));
        }
        assert_eq!(
            told,
            [
                vec![(1, Event::Present)],
                vec![(2, Event::Appeared)],
                vec![(2, Event::Changed { from: State::SynSent })],
                vec![],
                vec![(2, Event::Changed { from: State::Established })],
                vec![(2, Event::Gone)],
            ]
        );
        assert!(timeline.knows(&key(&listener)) && timeline.known.len() == 1, "no more is kept");
    }

    #[test]
    fn addresses_that_are_used_again_are_another_socket() {
        let mut timeline = Timeline::default();
        timeline.advance(vec![socket(1, State::TimeWait)], Vec::new());
        let mut next = socket(2, State::SynSent);
        next.local = socket(1, State::Listen).local;
        let told = timeline.advance(vec![next], Vec::new());
        assert_eq!(events(&told), [(1, Event::Gone), (2, Event::Appeared)]);
    }

    #[test]
    fn an_end_is_news_only_of_a_socket_that_was_never_seen() {
        let mut timeline = Timeline::default();
        timeline.advance(vec![socket(1, State::Established)], Vec::new());
        let ended = [1, 2, 3, 4].map(|cookie| socket(cookie, State::Closed));
        // 2 goes on as TIME-WAIT with a number of its own, 3 was opened after the last look and is still in this one.
        let mut time_wait = socket(9, State::TimeWait);
        time_wait.local = ended[1].local;
        let look = vec![time_wait, socket(3, State::LastAck)];
        let told = timeline.advance(look, ended.to_vec());
        let expected =
            [(1, Event::Gone), (4, Event::Missed), (9, Event::Appeared), (3, Event::Appeared)];
        assert_eq!(events(&told), expected);
    }

    fn events(changes: &[Change]) -> Vec<(u64, Event)> {
        changes.iter().map(|change| (change.socket.cookie, change.event)).collect()
    }

    fn socket(cookie: u16, state: State) -> Socket {
        Socket {
            protocol: Protocol::Tcp,
            state,
            local: ([127, 0, 0, 1], 1000 + cookie).into(),
            peer: (state != State::Listen).then(|| ([127, 0, 0, 1], 80).into()),
            interface: None,
            takes_ipv4: false,
            receive_queue: 0,
            send_queue: 0,
            uid: 0,
            inode: 0,
            cookie: cookie.into(),
            drops: None,
        }
    }
}
