//! Whom each requirement binds, and what of it can be seen from outside.

/// What a requirement asks of one side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// Nothing: it binds the other side.
    NotBound,
    /// A scenario of this kit can judge it.
    Judged,
    /// It binds this side, but no conversation shows whether it holds; why.
    Unseen(&'static str),
}

/// A requirement's two parts.
pub(crate) struct Binding {
    pub(crate) label: &'static str,
    pub(crate) collector: Part,
    pub(crate) device: Part,
}

const fn both(label: &'static str) -> Binding {
    Binding { label, collector: Part::Judged, device: Part::Judged }
}

const fn collector(label: &'static str) -> Binding {
    Binding { label, collector: Part::Judged, device: Part::NotBound }
}

const fn device(label: &'static str) -> Binding {
    Binding { label, collector: Part::NotBound, device: Part::Judged }
}

const fn unseen_collector(label: &'static str, why: &'static str) -> Binding {
    Binding { label, collector: Part::Unseen(why), device: Part::NotBound }
}

const fn unseen_device(label: &'static str, why: &'static str) -> Binding {
    Binding { label, collector: Part::NotBound, device: Part::Unseen(why) }
}

const fn unseen(label: &'static str, why: &'static str) -> Binding {
    Binding { label, collector: Part::Unseen(why), device: Part::Unseen(why) }
}

const VALUES: &str = "what was stored can't be read back through the protocol";
const SPOOL: &str = "only a device with a spool has old streams, and nobody can ask for one";
const MINUTES: &str = "a device may take minutes before it tells its ledger, or never do so";
const ONE_ADDRESS: &str = "this kit is at one address, on one transport";
const KEYS: &str = "this kit has no keys: it speaks suite OPEN only";

/// In the order of the specification; a test compares the labels.
pub(crate) const BINDINGS: &[Binding] = &[
    collector("1a"),
    collector("2.1a"),
    both("2.2a"),
    device("2.3a"),
    device("2.3b"),
    unseen_device("2.3c", "nobody waits for 4,294,967,295 rows"),
    collector("2.4a"),
    both("3.2a"),
    both("3.3a"),
    both("3.4a"),
    both("3.4b"),
    collector("3.5a"),
    both("3.6a"),
    unseen_collector("3.6b", "what a collector reserves does not show on the wire"),
    collector("3.6c"),
    both("3.7a"),
    both("4.1a"),
    both("4.2a"),
    both("4.2b"),
    unseen("4.3a", VALUES),
    both("4.3b"),
    both("5a"),
    collector("5.1a"),
    collector("5.1b"),
    device("5.2a"),
    collector("5.2c"),
    device("5.2b"),
    collector("5.3a"),
    collector("5.4a"),
    both("5.4b"),
    device("5.4d"),
    collector("5.4c"),
    collector("5.5a"),
    both("5.6a"),
    collector("5.7a"),
    collector("5.7b"),
    collector("5.7c"),
    unseen("5.8a", VALUES),
    collector("5.9a"),
    both("5.11a"),
    unseen_device("5.11b", MINUTES),
    both("5.12a"),
    collector("5.13a"),
    device("5.13b"),
    device("5.16a"),
    both("5.23a"),
    Binding {
        label: "5.25a",
        collector: Part::Judged,
        device: Part::Unseen(
            "a device that sends ROWS alone has no other encoding to fall back to",
        ),
    },
    both("5.25b"),
    both("5.25c"),
    collector("5.26a"),
    device("6.3a"),
    device("6.3c"),
    unseen_device("6.3b", "a random wait that may be 0 shows nothing in one run"),
    device("6.4a"),
    device("6.4b"),
    collector("6.4c"),
    collector("6.5a"),
    collector("6.5b"),
    unseen_device("6.5c", SPOOL),
    unseen_device("6.5d", SPOOL),
    unseen_device("6.5e", SPOOL),
    both("6.6a"),
    collector("6.6b"),
    collector("6.6c"),
    device("6.6d"),
    device("6.7a"),
    device("6.7b"),
    unseen_device("6.8a", ONE_ADDRESS),
    unseen_device("6.8b", ONE_ADDRESS),
    unseen_device("6.8c", ONE_ADDRESS),
    collector("7.1a"),
    collector("7.1b"),
    unseen_collector(
        "7.1c",
        "on a disk that works, what is on its way there is there a moment later",
    ),
    unseen_collector("7.1d", "this kit can't make a disk fail"),
    collector("7.2a"),
    collector("7.3a"),
    device("7.5a"),
    device("7.6a"),
    device("7.6b"),
    device("7.6d"),
    collector("7.6c"),
    collector("7.7a"),
    device("7.7b"),
    collector("7.7c"),
    unseen_collector("7.7d", "what is durable before a command leaves does not show on the wire"),
    unseen_collector("7.7e", "this kit can't ask a collector to send a command"),
    collector("7.8a"),
    both("8.1a"),
    device("8.1b"),
    device("8.2a"),
    device("8.3a"),
    collector("9.1a"),
    collector("9.1b"),
    collector("9.2a"),
    collector("9.3a"),
    collector("9.3b"),
    unseen_collector("9.4a", "this kit reaches a collector by one address only"),
    unseen_collector("10.1a", KEYS),
    collector("10.2a"),
    unseen("10.3a", KEYS),
    unseen_collector("10.3b", KEYS),
    unseen_device("10.3c", KEYS),
    unseen("10.4a", KEYS),
    both("12.1a"),
    unseen_collector("13.2a", VALUES),
    unseen_device("13.3a", SPOOL),
];
