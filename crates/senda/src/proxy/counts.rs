//! What the proxy did, as text and as JSON.

use std::fmt::Write as _;

use super::output::Way;

/// Everything that is counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// UDP clients that were new.
    pub(super) flows: u64,
    /// Datagrams of clients for whom there was no room.
    pub(super) turned_away: u64,
    pub(super) datagrams: BothWays<Datagrams>,
    pub(super) connections: u64,
    /// Connections for which the collector could not be reached.
    pub(super) failed: u64,
    /// Connections that the proxy reset.
    pub(super) cut: u64,
    /// Connections that one side reset; the other was told so.
    pub(super) reset: u64,
    pub(super) streams: BothWays<Streams>,
    /// Lines that were not printed.
    pub(super) left_out: u64,
}

/// One of each for each direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BothWays<T> {
    up: T,
    down: T,
}

impl<T> BothWays<T> {
    pub(super) const fn of(&mut self, way: Way) -> &mut T {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

/// UDP, one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Datagrams {
    pub(super) received: u64,
    /// Bytes of those that were received.
    pub(super) bytes: u64,
    pub(super) lost: u64,
    pub(super) overflowed: u64,
    pub(super) duplicated: u64,
    pub(super) held_back: u64,
    pub(super) forwarded: u64,
    /// The system did not take them.
    pub(super) unsent: u64,
}

impl Datagrams {
    /// Neither gone nor forwarded when the proxy ended.
    const fn under_way(&self) -> u64 {
        let gone = self.lost + self.overflowed + self.forwarded + self.unsent;
        (self.received + self.duplicated).saturating_sub(gone)
    }
}

/// TCP, one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streams {
    pub(super) received_bytes: u64,
    pub(super) forwarded_bytes: u64,
    /// Whole messages of Senda among what was received.
    pub(super) messages: u64,
}

type Row<T> = (&'static str, fn(&T) -> u64, &'static str);

const DATAGRAMS: [Row<Datagrams>; 9] = [
    ("received", |d| d.received, ""),
    ("bytes", |d| d.bytes, "of those"),
    ("lost", |d| d.lost, "by --loss"),
    ("overflowed", |d| d.overflowed, "found the queue full, as --rate makes it"),
    ("duplicated", |d| d.duplicated, "by --dup"),
    ("held back", |d| d.held_back, "by --reorder"),
    ("forwarded", |d| d.forwarded, "copies included"),
    ("unsent", |d| d.unsent, "the system did not take them"),
    ("under way", Datagrams::under_way, "when it ended"),
];

const STREAMS: [Row<Streams>; 3] = [
    ("bytes received", |s| s.received_bytes, ""),
    ("bytes forwarded", |s| s.forwarded_bytes, ""),
    ("messages", |s| s.messages, "among the received"),
];

impl Counts {
    /// A table for each transport.
    pub(super) fn table(&self, tcp: bool, udp: bool) -> String {
        let mut text = String::new();
        if udp {
            rows(&mut text, "udp", &DATAGRAMS, &self.datagrams);
            let clients = [
                ("clients", self.flows, ""),
                ("turned away", self.turned_away, "datagrams of clients beyond --clients"),
            ];
            singles(&mut text, &clients);
        }
        if tcp {
            rows(&mut text, "tcp", &STREAMS, &self.streams);
            let connections = [
                ("connections", self.connections, ""),
                ("failed", self.failed, "could not reach the collector"),
                ("cut", self.cut, "by --cut"),
                ("reset", self.reset, "by one side"),
            ];
            singles(&mut text, &connections);
        }
        if self.left_out > 0 {
            singles(&mut text, &[("lines left out", self.left_out, "nobody read them in time")]);
        }
        text
    }

    /// The same for programs.
    pub(super) fn json(&self, tcp: bool, udp: bool) -> serde_json::Value {
        let mut counts = serde_json::json!({ "lines_left_out": self.left_out });
        if udp {
            counts["udp"] = serde_json::json!({
                "clients": self.flows, "turned_away": self.turned_away,
                "up": object(&DATAGRAMS, &self.datagrams.up),
                "down": object(&DATAGRAMS, &self.datagrams.down),
            });
        }
        if tcp {
            counts["tcp"] = serde_json::json!({
                "connections": self.connections, "failed": self.failed, "cut": self.cut, "reset": self.reset,
                "up": object(&STREAMS, &self.streams.up),
                "down": object(&STREAMS, &self.streams.down),
            });
        }
        serde_json::json!({ "counts": counts })
    }
}

fn rows<T>(text: &mut String, title: &str, rows: &[Row<T>], counts: &BothWays<T>) {
    let _ = writeln!(text, "  {title:<18} {:>12} {:>12}", "up", "down");
    for (name, of, remark) in rows {
        let (up, down) = (of(&counts.up), of(&counts.down));
        push_line(text, &format!("  {name:<18} {up:>12} {down:>12}  {remark}"));
    }
}

fn singles(text: &mut String, rows: &[(&str, u64, &str)]) {
    for (name, count, remark) in rows {
        push_line(text, &format!("  {name:<18} {count:>12} {:>12}  {remark}", ""));
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn object<T>(rows: &[Row<T>], counts: &T) -> serde_json::Value {
    let pair =
        |(name, of, _): &Row<T>| (name.replace(' ', "_"), serde_json::Value::from(of(counts)));
    rows.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_datagram_is_in_one_place() {
        let mut counts = Counts::default();
        let up = counts.datagrams.of(Way::Up);
        (up.received, up.lost, up.overflowed, up.duplicated) = (10, 2, 1, 3);
        (up.forwarded, up.unsent) = (7, 1);
        assert_eq!(up.under_way(), 2);
        let json = counts.json(false, true);
        assert_eq!(json["counts"]["udp"]["up"]["under_way"], 2);
        assert_eq!(json["counts"]["udp"]["down"]["held_back"], 0);
        assert!(json["counts"]["tcp"].is_null());
        let table = counts.table(false, true);
        assert!(table.lines().any(|line| line.starts_with("  under way")), "{table}");
        assert!(table.lines().all(|line| line == line.trim_end()), "{table}");
    }
}
