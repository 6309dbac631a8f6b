//! Packets of a pcap or pcapng file, one after the other, in bounded memory.

use std::io::Read;

use anyhow::{bail, ensure};
use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{
    Block, LegacyPcapBlock, Linktype, PcapBlockOwned, PcapError, create_reader, nom,
    parse_pcap_header, parse_sectionheaderblock,
};

use super::print::Moment;

/// Where the reader begins, and the longest block that it takes: a packet and its comments.
const BUFFER: (usize, usize) = (1 << 16, 1 << 24);
/// The longest beginning of a file: a section header with its options.
const HEAD_MAX: u64 = 1 << 16;
/// A pcap header, and the least of a pcapng one.
const HEAD_MIN: u64 = 24;
const NANOS: i128 = 1_000_000_000;

/// One packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) moment: Moment,
    pub(super) link: Linktype,
    /// As much of it as was captured.
    pub(super) data: &'a [u8],
}

/// How many more bytes it takes to see whether a file is a capture.
pub(super) fn head_wanted(head: &[u8]) -> u64 {
    let len = head.len() as u64;
    let incomplete = |result| matches!(result, Err(nom::Err::Incomplete(_)));
    let unfinished = incomplete(parse_sectionheaderblock(head).map(drop))
        || incomplete(parse_pcap_header(head).map(drop));
    if len < HEAD_MIN {
        HEAD_MIN - len
    } else if unfinished && len < HEAD_MAX {
        4 // Blocks are a whole number of these.
    } else {
        0
    }
}

/// Whether a file that begins so is one to read.
///
/// # Errors
/// Says what it is instead, or what to do.
pub(super) fn recognise(head: &[u8]) -> anyhow::Result<()> {
    if parse_sectionheaderblock(head).is_ok() || parse_pcap_header(head).is_ok() {
        return Ok(());
    }
    match head {
        [] => bail!("the file is empty"),
        [0x1F, 0x8B, ..] => {
            bail!("compressed with gzip: `gunzip -c FILE | senda decode -` reads it")
        }
        [0x28, 0xB5, 0x2F, 0xFD, ..] => {
            bail!("compressed with zstd: `zstd -dc FILE | senda decode -` reads it")
        }
        _ if is_capture(head) => bail!("the capture file ends, or is damaged, within its header"),
        _ => bail!("neither pcap nor pcapng: it begins with {:02x?}", &head[..head.len().min(8)]),
    }
}

/// The first bytes of each kind of capture file.
fn is_capture(head: &[u8]) -> bool {
    const MAGIC: [[u8; 4]; 5] = [
        [0x0A, 0x0D, 0x0D, 0x0A],
        [0xA1, 0xB2, 0xC3, 0xD4],
        [0xD4, 0xC3, 0xB2, 0xA1],
        [0xA1, 0xB2, 0x3C, 0x4D],
        [0x4D, 0x3C, 0xB2, 0xA1],
    ];
    MAGIC.iter().any(|magic| head.starts_with(magic))
}

/// Reads a file to its end and hands each packet to `each`.
///
/// # Errors
/// Those of `each`; a file that is damaged, or ends within a packet. The packets before that have been handed over.
pub(super) fn read(
    reader: Box<dyn Read + Send>,
    each: &mut dyn FnMut(Packet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = create_reader(BUFFER.0, reader).map_err(|error| refused(error, 0, 0))?;
    let mut file = File::default();
    let mut capacity = BUFFER.0;
    loop {
        let error = match reader.next() {
            Ok((len, block)) => {
                // A block of no bytes would be read for ever.
                ensure!(len > 0, "the capture file is damaged after {} packets", file.packets);
                file.block(&block, each)?;
                reader.consume(len);
                continue;
            }
            Err(error) => error.to_owned_vec(),
        };
        match error {
            PcapError::Eof => return Ok(()),
            PcapError::Incomplete(_) if !reader.reader_exhausted() => {
                let before = reader.data().len();
                refill(reader.as_mut(), file.packets)?;
                if reader.data().len() == before && !reader.reader_exhausted() {
                    grow(reader.as_mut(), &mut capacity, file.packets)?;
                }
            }
            PcapError::BufferTooSmall => grow(reader.as_mut(), &mut capacity, file.packets)?,
            error => return Err(refused(error, file.packets, reader.consumed())),
        }
    }
}

fn refill(reader: &mut (dyn PcapReaderIterator + Send), packets: u64) -> anyhow::Result<()> {
    let error = reader.refill().map_err(|error| error.to_owned_vec());
    error.map_err(|error| refused(error, packets, reader.consumed()))
}

/// Makes room for a long block, and looks at more of it.
fn grow(
    reader: &mut (dyn PcapReaderIterator + Send),
    capacity: &mut usize,
    packets: u64,
) -> anyhow::Result<()> {
    *capacity *= 2;
    if *capacity > BUFFER.1 || !reader.grow(*capacity) {
        return Err(refused(PcapError::BufferTooSmall, packets, reader.consumed()));
    }
    refill(reader, packets)
}

/// An error in the words of somebody who has a file.
fn refused(error: PcapError<&[u8]>, packets: u64, at: usize) -> anyhow::Error {
    let after = format!("after {packets} packets, at byte {at}");
    match error {
        PcapError::UnexpectedEof | PcapError::Incomplete(_) | PcapError::Eof => anyhow::anyhow!(
            "the capture file ends within a packet, {after}; everything before it was read"
        ),
        PcapError::BufferTooSmall => anyhow::anyhow!(
            "the capture file is damaged: {after} it announces a block of more than {} MiB",
            BUFFER.1 >> 20
        ),
        PcapError::ReadError => anyhow::anyhow!("the capture file can't be read on, {after}"),
        _ => anyhow::anyhow!("the capture file is damaged {after}; everything before it was read"),
    }
}

/// What the blocks so far said about those to come.
#[derive(Default)]
struct File {
    packets: u64,
    /// Of the section that is being read. A pcap file has one.
    interfaces: Vec<Interface>,
    /// Of a pcap file: how many of its units of time make a second.
    units: u32,
}

struct Interface {
    link: Linktype,
    /// Units of time in a second.
    resolution: u64,
    /// Seconds.
    offset: i64,
}

impl File {
    fn block(
        &mut self,
        block: &PcapBlockOwned<'_>,
        each: &mut dyn FnMut(Packet<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.units =
                    if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                // The upper bits may say how long frame checksums are.
                let link = Linktype(header.network.0 & 0xFFFF);
                self.interfaces.push(Interface { link, resolution: 0, offset: 0 });
                Ok(())
            }
            PcapBlockOwned::Legacy(packet) => {
                let nanos = self.legacy_nanos(packet);
                self.packet(0, Some(nanos), packet.data, each)
            }
            PcapBlockOwned::NG(block) => self.ng_block(block, each),
        }
    }

    fn ng_block(
        &mut self,
        block: &Block<'_>,
        each: &mut dyn FnMut(Packet<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match block {
            Block::SectionHeader(_) => {
                self.interfaces.clear();
                Ok(())
            }
            Block::InterfaceDescription(interface) => {
                ensure!(self.interfaces.len() < 4096, "the capture file has too many interfaces");
                self.interfaces.push(Interface {
                    link: interface.linktype,
                    resolution: interface.ts_resolution().unwrap_or(1_000_000).max(1),
                    offset: interface.ts_offset(),
                });
                Ok(())
            }
            Block::EnhancedPacket(packet) => {
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let index = usize::try_from(packet.if_id).unwrap_or(usize::MAX);
                let nanos = self.interfaces.get(index).map(|interface| {
                    let seconds = i128::from(interface.offset) * NANOS;
                    seconds + i128::from(units) * NANOS / i128::from(interface.resolution)
                });
                self.packet(index, nanos, packet.packet_data(), each)
            }
            Block::SimplePacket(packet) => self.packet(0, None, packet.packet_data(), each),
            _ => Ok(()),
        }
    }

    fn legacy_nanos(&self, packet: &LegacyPcapBlock<'_>) -> i128 {
        let fraction = i128::from(packet.ts_usec) * NANOS / i128::from(self.units.max(1));
        i128::from(packet.ts_sec) * NANOS + fraction
    }

    fn packet(
        &mut self,
        interface: usize,
        nanos: Option<i128>,
        data: &[u8],
        each: &mut dyn FnMut(Packet<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.packets += 1;
        let moment = Moment { frame: self.packets, nanos };
        let Some(Interface { link, .. }) = self.interfaces.get(interface) else {
            bail!(
                "the capture file is damaged: packet {} is of interface {interface}, which it does not describe",
                self.packets
            );
        };
        each(Packet { moment, link: *link, data })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::super::print::{Format, Printer};
    use super::super::traffic::Traffic;
    use super::*;

    const TCP: &[u8] = &[6, 7, 8];

    #[test]
    fn packets_of_all_kinds_of_files_have_their_time_and_their_bytes() {
        let micros = 1_700_000_000_000_001_000;
        for (file, nanos) in [
            (pcap(false, 1_000_000), Some(micros)),
            (pcap(true, 1_000_000), Some(micros)),
            (pcap(false, 1_000_000_000), Some(micros - 999)),
            (pcapng(6), Some(micros)),
            (pcapng(9), Some(micros - 999)),
        ] {
            let seen = packets(&file).unwrap();
            assert_eq!(seen, [(1, nanos, 101, TCP.to_vec()), (2, nanos, 101, TCP.to_vec())]);
        }
    }

    #[test]
    fn a_file_that_ends_within_a_packet_gives_what_is_before_and_says_so() {
        for file in [pcap(false, 1_000_000), pcapng(6)] {
            let mut seen = 0;
            let cut = Box::new(Cursor::new(file[..file.len() - 6].to_vec()));
            let error = read(cut, &mut |_| {
                seen += 1;
                Ok(())
            });
            let error = error.unwrap_err().to_string();
            assert!(error.contains("ends within a packet, after 1 packets"), "{error}");
            assert_eq!(seen, 1);
        }
    }

    #[test]
    fn what_is_no_capture_is_refused_with_a_reason() {
        let said = |head: &[u8]| recognise(head).unwrap_err().to_string();
        assert!(said(b"").contains("empty"));
        assert!(said(b"\x1f\x8b\x08").contains("gunzip"));
        assert!(said(b"a142 0018").contains("neither pcap nor pcapng"));
        assert!(said(&pcap(false, 1_000_000)[..20]).contains("within its header"));
        assert!(recognise(&pcapng(6)).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..2000), kind in 0..3_usize) {
            let mut file = [vec![], pcap(false, 1_000_000), pcapng(6)][kind].clone();
            file.extend(bytes);
            show(file);
        }

        #[test]
        fn damaged_files_are_safe(
            at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            kind: bool,
        ) {
            let mut file = if kind { pcap(false, 1_000_000) } else { pcapng(6) };
            for (at, byte) in at {
                *at.get_mut(&mut file) = byte;
            }
            show(file);
        }

        #[test]
        fn any_packets_of_any_network_are_safe(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5),
            link in prop::sample::select(vec![0, 1, 12, 14, 101, 108, 113, 228, 229, 276, 9999]),
            version in prop::sample::select(vec![0x45_u8, 0x46, 0x60, 0x08, 0x86]),
            protocol in prop::sample::select(vec![6_u8, 17, 44, 51, 1]),
        ) {
            let mut file = head(false, 1_000_000, link);
            for mut packet in packets {
                // Somewhere near IP.
                for at in [0, 4, 14, 16, 20] {
                    packet.get_mut(at).into_iter().for_each(|byte| *byte = version);
                    packet.get_mut(at + 9).into_iter().for_each(|byte| *byte = protocol);
                }
                file.extend(record(false, 1, &packet));
            }
            show(file);
        }
    }

    /// As `senda decode` does, output thrown away; an error is fine.
    fn show(file: Vec<u8>) {
        for format in [Format::Table, Format::Json] {
            let mut printer = Printer::new(std::io::sink(), format);
            let mut traffic = Traffic::new(&[], &mut printer);
            let _ =
                read(Box::new(Cursor::new(file.clone())), &mut |packet| traffic.packet(&packet));
            traffic.finish().unwrap();
        }
    }

    type Seen = (u64, Option<i128>, i32, Vec<u8>);

    fn packets(file: &[u8]) -> anyhow::Result<Vec<Seen>> {
        let mut seen = Vec::new();
        read(Box::new(Cursor::new(file.to_vec())), &mut |packet| {
            let Packet { moment, link, data } = packet;
            seen.push((moment.frame, moment.nanos, link.0, data.to_vec()));
            Ok(())
        })?;
        Ok(seen)
    }

    /// Two packets, one unit of time after 1,700,000,000 s.
    fn pcap(big: bool, units: u32) -> Vec<u8> {
        let mut file = head(big, units, 101);
        file.extend(record(big, 1, TCP));
        file.extend(record(big, 1, TCP));
        file
    }

    fn head(big: bool, units: u32, link: u32) -> Vec<u8> {
        let magic = if units == 1_000_000 { 0xA1B2_C3D4 } else { 0xA1B2_3C4D };
        let mut file = word(big, magic).to_vec();
        file.extend(if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
        file.extend([0, 0, 65_535, link].map(|value| word(big, value)).concat());
        file
    }

    fn record(big: bool, fraction: u32, packet: &[u8]) -> Vec<u8> {
        let len = u32::try_from(packet.len()).unwrap();
        let mut bytes = [1_700_000_000, fraction, len, len].map(|value| word(big, value)).concat();
        bytes.extend(packet);
        bytes
    }

    /// The same, `digits` after the point.
    fn pcapng(digits: u8) -> Vec<u8> {
        let mut file = block(
            0x0A0D_0D0A,
            &[0x4D, 0x3C, 0x2B, 0x1A, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
        );
        file.extend(block(1, &[101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, digits, 0, 0, 0, 0, 0, 0, 0]));
        let units = 1_700_000_000 * 10_u64.pow(digits.into()) + 1;
        for _ in 0..2 {
            let mut packet = vec![0; 4];
            packet.extend(word(false, u32::try_from(units >> 32).unwrap()));
            packet.extend(word(false, u32::try_from(units & 0xFFFF_FFFF).unwrap()));
            packet.extend([word(false, 3), word(false, 3)].concat());
            packet.extend([6, 7, 8, 0]);
            file.extend(block(6, &packet));
        }
        file
    }

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 12).unwrap();
        [&word(false, kind)[..], &word(false, len), body, &word(false, len)].concat()
    }

    fn word(big: bool, value: u32) -> [u8; 4] {
        if big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}
