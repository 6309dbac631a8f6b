//! What a captured packet carries: a datagram, or a piece of a TCP connection.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::Linktype;

/// What is in a packet for us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Content<'a> {
    Udp {
        src: SocketAddr,
        dst: SocketAddr,
        /// As much of it as was captured.
        payload: &'a [u8],
        /// Bytes of it that were not.
        missing: usize,
    },
    Tcp {
        src: SocketAddr,
        dst: SocketAddr,
        segment: Segment<'a>,
    },
    Skipped(Skipped),
}

/// A piece of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Segment<'a> {
    pub(super) seq: u32,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    /// As much of it as was captured.
    pub(super) payload: &'a [u8],
}

/// Why there is nothing in a packet for us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Skipped {
    /// Neither TCP nor UDP over IP.
    Other,
    /// A part of an IP packet: Senda never sends one that needs it (spec §3.4), but a tunnel may.
    Fragment,
    /// Headers that are damaged, or of which too little was captured.
    Damaged,
    /// A kind of network whose headers are not known here.
    Link(Linktype),
}

/// Finds it.
pub(super) fn parse(link: Linktype, data: &[u8]) -> Content<'_> {
    let sliced = match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
        // Both lead with the family that their own host gives IP, which IP's first byte says too.
        Linktype::NULL | Linktype::LOOP => data.get(4..).and_then(from_ip),
        // The last two are what some systems write for RAW.
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | Linktype(12 | 14) => from_ip(data),
        Linktype::LINUX_SLL => from_cooked(data, 14, 16),
        Linktype(276) => from_cooked(data, 0, 20),
        other => return Content::Skipped(Skipped::Link(other)),
    };
    sliced.map_or(Content::Skipped(Skipped::Damaged), |sliced| content(&sliced))
}

fn from_ip(data: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    LaxSlicedPacket::from_ip(data).ok()
}

/// Linux "cooked" captures, of the device `any`: version 1 and 2 differ in where the EtherType stands and where the
/// header ends.
fn from_cooked(data: &[u8], ether_type: usize, header: usize) -> Option<LaxSlicedPacket<'_>> {
    let ether_type = EtherType(u16::from_be_bytes(*data.get(ether_type..)?.first_chunk()?));
    Some(LaxSlicedPacket::from_ether_type(ether_type, data.get(header..)?))
}

fn content<'a>(sliced: &LaxSlicedPacket<'a>) -> Content<'a> {
    let (src, dst): (IpAddr, IpAddr) = match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        _ if sliced.stop_err.is_some() => return Content::Skipped(Skipped::Damaged),
        _ => return Content::Skipped(Skipped::Other),
    };
    let fragmented = sliced.ip_payload().is_some_and(|payload| payload.fragmented);
    match &sliced.transport {
        Some(TransportSlice::Udp(udp)) => {
            let payload = udp.payload();
            // 0 stands for "to the end" in a jumbogram.
            let announced = usize::from(udp.length()).saturating_sub(8);
            Content::Udp {
                src: SocketAddr::new(src, udp.source_port()),
                dst: SocketAddr::new(dst, udp.destination_port()),
                payload,
                missing: announced.saturating_sub(payload.len()),
            }
        }
        Some(TransportSlice::Tcp(tcp)) => Content::Tcp {
            src: SocketAddr::new(src, tcp.source_port()),
            dst: SocketAddr::new(dst, tcp.destination_port()),
            segment: Segment {
                seq: tcp.sequence_number(),
                syn: tcp.syn(),
                fin: tcp.fin(),
                rst: tcp.rst(),
                payload: tcp.payload(),
            },
        },
        _ if fragmented => Content::Skipped(Skipped::Fragment),
        _ if sliced.stop_err.is_some() => Content::Skipped(Skipped::Damaged),
        _ => Content::Skipped(Skipped::Other),
    }
}
