//! The bytes of one direction of a TCP connection, in order, from segments that come in any order, twice, overlapping,
//! or not at all.

use std::collections::BTreeMap;
use std::io;

use super::print::Moment;

/// What may wait behind a gap before the gap counts as lost: bytes, and pieces.
pub(super) const HELD_MAX: (usize, usize) = (1 << 20, 4096);

/// What comes out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Piece<'a> {
    /// The next bytes, and the packet that made them the next.
    Bytes(Moment, &'a [u8]),
    /// So many bytes are not in the capture.
    Lost(Moment, u64),
}

/// Where pieces go.
pub(super) type Each<'a> = &'a mut dyn FnMut(Piece<'_>) -> io::Result<()>;

/// One direction. Positions count from its first byte, that SYN announced or that the capture has.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    /// The sequence number of position 0.
    start: Option<u32>,
    /// Everything before it has come out.
    next: u64,
    /// What waits for bytes before it: disjoint, by position.
    waiting: BTreeMap<u64, (Moment, Vec<u8>)>,
    held: usize,
    latest: Option<Moment>,
}

impl Reassembly {
    /// Notes where the direction begins, unless that is known.
    pub(super) fn begin(&mut self, seq: u32) {
        self.start.get_or_insert(seq);
    }

    /// Where it begins, if that is known.
    pub(super) const fn start(&self) -> Option<u32> {
        self.start
    }

    /// The position of a sequence number, by what is expected next. Before position 0 there is none.
    pub(super) fn position(&mut self, seq: u32) -> Option<u64> {
        let start = *self.start.get_or_insert(seq);
        let [.., a, b, c, d] = self.next.to_be_bytes();
        let expected = start.wrapping_add(u32::from_be_bytes([a, b, c, d]));
        let ahead = seq.wrapping_sub(expected).cast_signed();
        self.next.checked_add_signed(ahead.into())
    }

    /// The position after the last byte that came out.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Bytes that wait.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Takes a segment's bytes. Of bytes that come twice the first copy counts.
    pub(super) fn segment(
        &mut self,
        seq: u32,
        bytes: &[u8],
        moment: Moment,
        each: Each<'_>,
    ) -> io::Result<()> {
        // What lies before position 0 was sent before the capture began.
        let Some(position) = self.position(seq) else {
            return Ok(());
        };
        let known = usize::try_from(self.next.saturating_sub(position)).unwrap_or(usize::MAX);
        let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) else {
            return Ok(());
        };
        self.hold(position + known as u64, new, moment);
        self.release(moment, each)?;
        while self.held > HELD_MAX.0 || self.waiting.len() > HELD_MAX.1 {
            self.skip_gap(each)?;
        }
        Ok(())
    }

    /// Lets everything out: what is missing will not come.
    pub(super) fn finish(&mut self, each: Each<'_>) -> io::Result<()> {
        while !self.waiting.is_empty() {
            self.skip_gap(each)?;
        }
        Ok(())
    }

    /// Keeps what is new of these bytes.
    fn hold(&mut self, mut position: u64, mut bytes: &[u8], moment: Moment) {
        while !bytes.is_empty() {
            let before = self.waiting.range(..=position).next_back();
            let covered = before.map_or(0, |(start, (_, held))| {
                (start + held.len() as u64).saturating_sub(position)
            });
            let room = self.waiting.range(position + 1..).next().map(|(start, _)| start - position);
            let len = match covered {
                0 => room.unwrap_or(u64::MAX),
                covered => covered,
            };
            let (now, later) =
                bytes.split_at(usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len()));
            if covered == 0 {
                self.held += now.len();
                self.waiting.insert(position, (moment, now.to_vec()));
            }
            (position, bytes) = (position + now.len() as u64, later);
        }
    }

    /// Lets out what is next. `moment` is that of the packet that allows it.
    fn release(&mut self, moment: Moment, each: Each<'_>) -> io::Result<()> {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() == self.next)
        {
            let (came, bytes) = entry.remove();
            self.held -= bytes.len();
            self.next += bytes.len() as u64;
            let later = if came.frame > moment.frame { came } else { moment };
            let latest = self.latest.filter(|latest| latest.frame > later.frame).unwrap_or(later);
            self.latest = Some(latest);
            each(Piece::Bytes(latest, &bytes))?;
        }
        Ok(())
    }

    /// Goes on behind the first gap.
    fn skip_gap(&mut self, each: Each<'_>) -> io::Result<()> {
        let Some((&position, &(moment, _))) = self.waiting.first_key_value() else {
            return Ok(());
        };
        each(Piece::Lost(moment, position - self.next))?;
        self.next = position;
        self.release(moment, each)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What came out: bytes by position, and how many were lost.
    #[derive(Debug, Default, Eq, PartialEq)]
    struct Out {
        bytes: Vec<u8>,
        lost: u64,
        last_frame: u64,
    }

    proptest! {
        #[test]
        fn segments_in_any_order_twice_and_overlapping_give_the_bytes_that_were_sent(
            sent in prop::collection::vec(any::<u8>(), 1..3000),
            start in prop_oneof![any::<u32>(), u32::MAX - 2000..=u32::MAX],
            cuts in prop::collection::vec((any::<prop::sample::Index>(), 1..400_usize), 0..60),
            order in any::<u64>(),
        ) {
            // Extra copies of arbitrary parts, then all of it in pieces, shuffled.
            let mut segments: Vec<(usize, &[u8])> = cuts
                .iter()
                .map(|(at, len)| {
                    let at = at.index(sent.len());
                    (at, &sent[at..(at + len).min(sent.len())])
                })
                .collect();
            segments.extend(sent.chunks(97).enumerate().map(|(index, part)| (index * 97, part)));
            shuffle(&mut segments, order);
            let mut reassembly = Reassembly::default();
            reassembly.begin(start);
            let out = run(&mut reassembly, start, &segments);
            prop_assert_eq!(&out.bytes, &sent);
            prop_assert_eq!((out.lost, reassembly.held()), (0, 0));
        }

        #[test]
        fn what_is_missing_is_said_and_the_rest_comes_out(
            sent in prop::collection::vec(any::<u8>(), 500..3000),
            gone in prop::collection::btree_set(1..9_usize, 1..4),
            order in any::<u64>(),
        ) {
            let size = sent.len().div_ceil(9);
            let parts: Vec<(usize, &[u8])> =
                sent.chunks(size).enumerate().map(|(index, part)| (index * size, part)).collect();
            let mut left: Vec<_> =
                parts.iter().copied().filter(|(at, _)| !gone.contains(&(at / size))).collect();
            shuffle(&mut left, order);
            let mut reassembly = Reassembly::default();
            reassembly.begin(7);
            let out = run(&mut reassembly, 7, &left);
            left.sort_unstable();
            let expected: Vec<u8> = left.iter().flat_map(|(_, part)| part.iter().copied()).collect();
            prop_assert_eq!(&out.bytes, &expected);
            let end = left.iter().map(|(at, part)| at + part.len()).max().unwrap_or_default();
            prop_assert_eq!(out.lost, (end - expected.len()) as u64);
        }

        #[test]
        fn any_segments_are_safe_and_what_waits_is_bounded(
            segments in prop::collection::vec((any::<u32>(), 0..60_000_usize), 0..40)
        ) {
            let mut reassembly = Reassembly::default();
            let bytes = vec![0xA1; 60_000];
            for (frame, (seq, len)) in (1..).zip(segments) {
                let moment = Moment { frame, nanos: None };
                reassembly.segment(seq, &bytes[..len], moment, &mut |_| Ok(())).unwrap();
                prop_assert!(reassembly.held() <= HELD_MAX.0 + bytes.len());
                prop_assert!(reassembly.waiting.len() <= HELD_MAX.1);
                let waiting = reassembly.waiting.values().map(|(_, piece)| piece.len());
                prop_assert_eq!(waiting.sum::<usize>(), reassembly.held());
            }
        }
    }

    #[test]
    fn bytes_belong_to_the_packet_that_made_them_the_next() {
        let mut reassembly = Reassembly::default();
        reassembly.begin(100);
        let mut frames = Vec::new();
        for (frame, (seq, bytes)) in (1..).zip([(103, b"def"), (100, b"abc"), (106, b"ghi")]) {
            let moment = Moment { frame, nanos: None };
            let each = &mut |piece: Piece<'_>| {
                if let Piece::Bytes(moment, bytes) = piece {
                    frames.push((moment.frame, bytes.to_vec()));
                }
                Ok(())
            };
            reassembly.segment(seq, bytes, moment, each).unwrap();
        }
        assert_eq!(frames, [(2, b"abc".to_vec()), (2, b"def".to_vec()), (3, b"ghi".to_vec())]);
    }

    #[test]
    fn a_gap_counts_as_lost_when_too_much_waits_behind_it() {
        let mut reassembly = Reassembly::default();
        reassembly.begin(0);
        let mut out = Out::default();
        let part = [5; 1 << 16];
        for frame in 0..17 {
            let moment = Moment { frame: frame.into(), nanos: None };
            let each = &mut |piece: Piece<'_>| note(&mut out, piece);
            reassembly.segment(1000 + (frame << 16), &part, moment, each).unwrap();
        }
        assert_eq!((out.lost, out.bytes.len()), (1000, 17 << 16));
        assert_eq!(reassembly.held(), 0);
    }

    fn run(reassembly: &mut Reassembly, start: u32, segments: &[(usize, &[u8])]) -> Out {
        let mut out = Out::default();
        for (frame, (at, bytes)) in (1..).zip(segments) {
            let moment = Moment { frame, nanos: None };
            let seq = start.wrapping_add(u32::try_from(*at).unwrap());
            reassembly.segment(seq, bytes, moment, &mut |piece| note(&mut out, piece)).unwrap();
        }
        reassembly.finish(&mut |piece| note(&mut out, piece)).unwrap();
        out
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of `Each`")]
    fn note(out: &mut Out, piece: Piece<'_>) -> io::Result<()> {
        match piece {
            Piece::Bytes(moment, bytes) => {
                assert!(moment.frame >= out.last_frame, "in the order of the capture");
                out.last_frame = moment.frame;
                out.bytes.extend(bytes);
            }
            Piece::Lost(_, bytes) => out.lost += bytes,
        }
        Ok(())
    }

    /// Fisher and Yates, by a seed.
    fn shuffle<T>(items: &mut [T], mut seed: u64) {
        for last in (1..items.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            let index = usize::try_from(seed >> 33).unwrap() % (last + 1);
            items.swap(last, index);
        }
    }
}
