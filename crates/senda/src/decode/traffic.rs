//! All conversations of a capture: which of them are Senda, and what is said in them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::net::SocketAddr;

use pcap_parser::Linktype;
use senda_wire::registry::MESSAGE_MAX;
use senda_wire::{Frame, FrameError, Sender};

use super::capture::Packet;
use super::packet::{self, Content, Segment, Skipped};
use super::print::{Moment, Place, Printer};
use super::reassembly::{Piece, Reassembly};
use super::stream::{Heard, Messages};
use crate::schemas::Collector;

/// The port of Senda, unless told otherwise.
const PORT: u16 = 7363;
/// Connections that are followed at once; beyond that the one heard from least recently is let go.
const CONNECTIONS_MAX: usize = 1024;
/// Bytes that may wait in all connections together for what is before them.
const HELD_MAX: usize = 1 << 26;
/// Collectors that are remembered. Beyond that they are forgotten, all at once.
const COLLECTORS_MAX: usize = 65_536;

/// Takes the packets of a capture, and shows what is in them.
pub(super) struct Traffic<'p, W> {
    listener: Listener<'p, W>,
    /// Both directions of each, by its ends: the lower one first.
    connections: HashMap<(SocketAddr, SocketAddr), Connection>,
    held: usize,
    /// The user named ports, so nothing else is looked at.
    ports_alone: bool,
}

/// What was found and what was not looked at.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) messages: u64,
    packets: u64,
    fragments: u64,
    damaged: u64,
    links: BTreeMap<i32, u64>,
}

impl<'p, W: Write> Traffic<'p, W> {
    /// `ports`: those to look at; none for 7363 and whatever looks like Senda.
    pub(super) fn new(ports: &[u16], printer: &'p mut Printer<W>) -> Self {
        let ports_alone = !ports.is_empty();
        let ports = if ports_alone { ports.to_vec() } else { vec![PORT] };
        let (collectors, summary) = (HashSet::new(), Summary::default());
        let listener = Listener { printer, ports, collectors, summary };
        Self { listener, connections: HashMap::new(), held: 0, ports_alone }
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> anyhow::Result<()> {
        let summary = &mut self.listener.summary;
        summary.packets += 1;
        match packet::parse(packet.link, packet.data) {
            Content::Udp { src, dst, payload, missing } => {
                let way = Way { is_tcp: false, src, dst };
                self.datagram(packet.moment, way, payload, missing)?;
            }
            Content::Tcp { src, dst, segment } => {
                self.segment(packet.moment, Way { is_tcp: true, src, dst }, &segment)?;
            }
            Content::Skipped(Skipped::Fragment) => summary.fragments += 1,
            Content::Skipped(Skipped::Damaged) => summary.damaged += 1,
            Content::Skipped(Skipped::Link(Linktype(link))) => {
                *summary.links.entry(link).or_default() += 1;
            }
            Content::Skipped(Skipped::Other) => {}
        }
        Ok(())
    }

    /// The end of the capture.
    pub(super) fn finish(mut self) -> io::Result<Summary> {
        let mut connections: Vec<_> = self.connections.drain().collect();
        connections.sort_unstable_by_key(|(_, connection)| connection.last);
        for (ends, mut connection) in connections {
            connection.finish(ends, "the capture", &mut self.listener)?;
        }
        Ok(self.listener.summary)
    }

    fn datagram(
        &mut self,
        moment: Moment,
        way: Way,
        payload: &[u8],
        missing: usize,
    ) -> io::Result<()> {
        let is_ours = self.listener.is_port_of(way);
        let first = Frame::decode_datagram(payload).ok().and_then(|frame| frame.message_type());
        if !is_ours && (self.ports_alone || first.is_none()) {
            return Ok(());
        }
        let mut rest = payload;
        while !rest.is_empty() {
            let at = (payload.len() - rest.len()) as u64;
            match Frame::decode_datagram(rest) {
                Ok(frame) => {
                    self.listener.heard(way, moment, Heard::Message(at, frame))?;
                    rest = &rest[frame.bytes.len()..];
                }
                Err(_) if missing > 0 && is_cut(rest) => {
                    let all = payload.len() + missing;
                    let note = format!(
                        "only {} of the datagram's {all} bytes were captured: no whole message from {at} on",
                        payload.len()
                    );
                    return self.listener.note(way, moment, &note);
                }
                // Spec §3.4b: the rest of the datagram is dropped.
                Err(error) => {
                    return self.listener.heard(way, moment, Heard::Failure(at, rest.len(), error));
                }
            }
        }
        Ok(())
    }

    fn segment(&mut self, moment: Moment, way: Way, segment: &Segment<'_>) -> io::Result<()> {
        let is_ours = self.listener.is_port_of(way);
        if !is_ours && self.ports_alone {
            return Ok(());
        }
        let ends = way.ends();
        if segment.syn && self.connections.get(&ends).is_some_and(|old| old.is_other(way, segment))
        {
            self.forget(ends, "the connection")?;
        }
        if !self.connections.contains_key(&ends) {
            if segment.payload.is_empty() && !segment.syn {
                return Ok(()); // Nothing to follow.
            }
            if self.connections.len() >= CONNECTIONS_MAX {
                let oldest = self.connections.iter().min_by_key(|(_, connection)| connection.last);
                if let Some((&oldest, _)) = oldest {
                    self.forget(oldest, "what is followed of the connection")?;
                }
            }
        }
        let connection = self.connections.entry(ends).or_default();
        let before = connection.held();
        connection.segment(way, moment, segment, is_ours, &mut self.listener)?;
        if self.held + connection.held() > HELD_MAX + before {
            connection.release(ends, &mut self.listener)?;
        }
        self.held = self.held + connection.held() - before;
        Ok(())
    }

    fn forget(&mut self, ends: (SocketAddr, SocketAddr), what_ends: &str) -> io::Result<()> {
        if let Some(mut connection) = self.connections.remove(&ends) {
            self.held -= connection.held();
            connection.finish(ends, what_ends, &mut self.listener)?;
        }
        Ok(())
    }
}

impl Summary {
    /// For a capture without a message.
    pub(super) fn nothing(&self, ports: &[u16]) -> String {
        let packets = self.packets;
        if ports.is_empty() {
            return format!(
                "no Senda in {packets} packets: neither on port {PORT} nor anything that looks like it"
            );
        }
        format!("no Senda in {packets} packets on the ports {ports:?}")
    }

    /// What was not looked at.
    pub(super) fn skipped(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (link, packets) in &self.links {
            lines.push(format!(
                "skipped {packets} packets of link type {link}, whose headers are not known here"
            ));
        }
        if self.fragments > 0 {
            lines.push(format!("skipped {} fragments of IP packets", self.fragments));
        }
        if self.damaged > 0 {
            lines.push(format!("skipped {} packets with damaged or cut headers", self.damaged));
        }
        lines
    }
}

/// From where to where.
#[derive(Clone, Copy, Debug)]
struct Way {
    is_tcp: bool,
    src: SocketAddr,
    dst: SocketAddr,
}

impl Way {
    /// What both directions have in common.
    fn ends(self) -> (SocketAddr, SocketAddr) {
        (self.src.min(self.dst), self.src.max(self.dst))
    }

    /// 0 for what the lower end sends.
    fn index(self) -> usize {
        usize::from(self.src > self.dst)
    }
}

#[derive(Default)]
struct Connection {
    directions: [Direction; 2],
    /// The last packet of it.
    last: u64,
}

#[derive(Default)]
struct Direction {
    reassembly: Reassembly,
    messages: Option<Messages>,
    moment: Option<Moment>,
    /// Where FIN said that it ends.
    fin: Option<u64>,
    is_over: bool,
}

impl Connection {
    fn held(&self) -> usize {
        self.directions.iter().map(Direction::held).sum()
    }

    /// Whether a SYN opens another connection between the same ends.
    fn is_other(&self, way: Way, segment: &Segment<'_>) -> bool {
        let Direction { reassembly, is_over, .. } = &self.directions[way.index()];
        let begins = segment.seq.wrapping_add(1);
        *is_over || reassembly.start().is_some_and(|start| start != begins)
    }

    fn segment(
        &mut self,
        way: Way,
        moment: Moment,
        segment: &Segment<'_>,
        is_ours: bool,
        listener: &mut Listener<'_, impl Write>,
    ) -> io::Result<()> {
        self.last = moment.frame;
        let direction = &mut self.directions[way.index()];
        direction.segment(way, moment, segment, is_ours, listener)?;
        if segment.rst {
            self.finish(way.ends(), "the connection", listener)?;
        }
        Ok(())
    }

    /// Lets go of what waits: it is too much.
    fn release(
        &mut self,
        ends: (SocketAddr, SocketAddr),
        listener: &mut Listener<'_, impl Write>,
    ) -> io::Result<()> {
        let ways = [(ends.0, ends.1), (ends.1, ends.0)];
        for (direction, (src, dst)) in self.directions.iter_mut().zip(ways) {
            direction.release(Way { is_tcp: true, src, dst }, listener)?;
        }
        Ok(())
    }

    fn finish(
        &mut self,
        ends: (SocketAddr, SocketAddr),
        what_ends: &str,
        listener: &mut Listener<'_, impl Write>,
    ) -> io::Result<()> {
        self.release(ends, listener)?;
        let ways = [(ends.0, ends.1), (ends.1, ends.0)];
        for (direction, (src, dst)) in self.directions.iter_mut().zip(ways) {
            direction.end(Way { is_tcp: true, src, dst }, what_ends, listener)?;
        }
        Ok(())
    }
}

impl Direction {
    fn held(&self) -> usize {
        self.reassembly.held() + self.messages.as_ref().map_or(0, Messages::held)
    }

    fn segment(
        &mut self,
        way: Way,
        moment: Moment,
        segment: &Segment<'_>,
        is_ours: bool,
        listener: &mut Listener<'_, impl Write>,
    ) -> io::Result<()> {
        if self.is_over {
            return Ok(()); // Its last segment, sent again.
        }
        let seq = segment.seq.wrapping_add(u32::from(segment.syn));
        if segment.syn {
            self.reassembly.begin(seq);
            self.messages.get_or_insert_with(|| Messages::new(true, !is_ours));
        }
        self.moment = Some(moment);
        if segment.fin
            && let Some(position) = self.reassembly.position(seq)
        {
            self.fin = Some(position + segment.payload.len() as u64);
        }
        if !segment.payload.is_empty() {
            if self.messages.is_none() && is_ours {
                let note = "the beginning of this direction is not in the capture: \
                            looking for the first whole message";
                listener.note(way, moment, note)?;
            }
            let messages = self.messages.get_or_insert_with(|| Messages::new(false, !is_ours));
            let each = &mut |piece: Piece<'_>| listener.piece(way, messages, piece);
            self.reassembly.segment(seq, segment.payload, moment, each)?;
        }
        if self.fin.is_some_and(|fin| self.reassembly.next() >= fin) {
            self.end(way, "the connection", listener)?;
        }
        Ok(())
    }

    fn release(&mut self, way: Way, listener: &mut Listener<'_, impl Write>) -> io::Result<()> {
        let Some(messages) = &mut self.messages else {
            return Ok(());
        };
        self.reassembly.finish(&mut |piece| listener.piece(way, messages, piece))
    }

    fn end(
        &mut self,
        way: Way,
        what_ends: &str,
        listener: &mut Listener<'_, impl Write>,
    ) -> io::Result<()> {
        let (Some(messages), Some(moment), false) = (&mut self.messages, self.moment, self.is_over)
        else {
            return Ok(());
        };
        self.is_over = true;
        messages.end(&mut |heard| match heard {
            Heard::Unfinished(at, len) => {
                let note = format!("{what_ends} ends within a message, {len} bytes after {at}");
                listener.note(way, moment, &note)
            }
            heard => listener.heard(way, moment, heard),
        })
    }
}

/// Shows what is heard, and remembers who the collectors are.
struct Listener<'p, W> {
    printer: &'p mut Printer<W>,
    ports: Vec<u16>,
    collectors: HashSet<Collector>,
    summary: Summary,
}

impl<W: Write> Listener<'_, W> {
    fn is_port_of(&self, way: Way) -> bool {
        [way.src, way.dst].iter().any(|end| self.ports.contains(&end.port()))
    }

    fn piece(&mut self, way: Way, messages: &mut Messages, piece: Piece<'_>) -> io::Result<()> {
        match piece {
            Piece::Bytes(moment, bytes) => {
                messages.bytes(bytes, &mut |heard| self.heard(way, moment, heard))
            }
            Piece::Lost(moment, lost) => {
                if messages.is_senda() {
                    self.note(way, moment, &format!("{lost} bytes are not in the capture"))?;
                }
                messages.lost(lost, &mut |heard| self.heard(way, moment, heard))
            }
        }
    }

    fn heard(&mut self, way: Way, moment: Moment, heard: Heard<'_>) -> io::Result<()> {
        let note = match heard {
            Heard::Message(at, frame) => return self.message(way, moment, at, &frame),
            Heard::Failure(at, left, error) => {
                let place = self.place(way, moment);
                return self.printer.failure(Some(&place), at, left, error);
            }
            Heard::Resumed(after) => {
                format!("the next whole message begins after {after} bytes, which are not shown")
            }
            Heard::Unfinished(at, len) => {
                format!("the message at {at} goes on in the gap: {len} bytes of it are there")
            }
            Heard::GivenUp(after) => {
                format!(
                    "no message in the next {after} bytes: this direction is not looked at any more"
                )
            }
        };
        self.note(way, moment, &note)
    }

    fn message(&mut self, way: Way, moment: Moment, at: u64, frame: &Frame<'_>) -> io::Result<()> {
        self.summary.messages += 1;
        let place = self.place(way, moment);
        if let Some(collector) = place.collector(place.sender(frame)) {
            if self.collectors.len() >= COLLECTORS_MAX {
                self.collectors.clear();
            }
            self.collectors.insert(collector);
        }
        self.printer.message(Some(&place), at, frame)
    }

    fn note(&mut self, way: Way, moment: Moment, note: &str) -> io::Result<()> {
        let place = self.place(way, moment);
        self.printer.note(&place, note)
    }

    fn place(&self, way: Way, moment: Moment) -> Place {
        let Way { is_tcp, src, dst } = way;
        let who = |is_collector: &dyn Fn(SocketAddr) -> bool| match (
            is_collector(src),
            is_collector(dst),
        ) {
            (true, false) => Some(Sender::Collector),
            (false, true) => Some(Sender::Device),
            _ => None,
        };
        // Ports that the user named may be those of devices.
        let by_port = who(&|address| address.port() == PORT);
        let by_history = who(&|address| self.collectors.contains(&Collector { is_tcp, address }));
        Place { moment, is_tcp, src, dst, by_port, by_history }
    }
}

/// Whether the bytes end within a message: before its header's end, or before the end that the header gives.
fn is_cut(rest: &[u8]) -> bool {
    matches!(Frame::decode(rest, MESSAGE_MAX), Err(FrameError::Incomplete { .. }))
}
