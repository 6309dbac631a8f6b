//! What the monotonic clocks of earlier boots are worth, so that their rows can be dated. Spec §13.3.
//!
//! A boot whose offset was learnt has it in the spool. Any other one lies between its neighbours:
//!
//! ```text
//!   boot 1, offset known      boot 2                boot 3, offset known
//!   |------------------|......|-----------|.........|--------
//!                      ^ not before       ^ not after, less the uptime of each boot between
//! ```

use std::collections::BTreeMap;

use senda_wire::Clock;

use crate::spool::{Moment, StreamState};

/// The largest uncertainty that can be told, microseconds: 71 minutes. Spec §5.21, §13.3.
const UNCERTAINTY_MAX: u32 = u32::MAX - 1;
/// What a clock may drift: µs for each second. Spec §13.3.
const DRIFT_PPM: u64 = 100;

/// UTC minus a clock, and how wrong that may be, microseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Offset {
    pub(super) offset_us: i64,
    pub(super) uncertainty_us: u32,
}

/// The boot that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    /// As the spool counts.
    pub(super) boot: u32,
    /// See [`Moment::machine`].
    pub(super) machine: u128,
    /// What its clock said first.
    pub(super) first_us: i64,
    /// What is known of its clock.
    pub(super) offset: Option<Offset>,
}

/// What is known of one boot.
#[derive(Clone, Copy, Debug)]
struct Span {
    first_us: i64,
    last_us: i64,
    machine: u128,
    offset: Option<Offset>,
}

/// What the monotonic clock of a stream is worth; `None` while that can't be said.
pub(super) fn offset_of(
    wanted: &StreamState,
    all: &[StreamState],
    present: Present,
) -> Option<Offset> {
    if let Some(clock) = wanted.clock.filter(|clock| clock.clock == Clock::Monotonic) {
        let last = wanted.moments.last().map_or(clock.at_us, |moment| moment.uptime_us);
        let first = wanted.moments.first().map_or(clock.at_us, |moment| moment.uptime_us);
        let span = last.abs_diff(clock.at_us).max(first.abs_diff(clock.at_us));
        let Offset { offset_us, uncertainty_us } =
            Offset { offset_us: clock.offset_us, uncertainty_us: clock.uncertainty_us };
        return Some(Offset { offset_us, uncertainty_us: worse(uncertainty_us, drift(span)) });
    }
    let moment = wanted.moments.first()?;
    let mut boots = boots(all.iter().chain([wanted]));
    let now = boots.entry(present.boot).or_insert(Span {
        first_us: present.first_us,
        last_us: present.first_us,
        machine: present.machine,
        offset: None,
    });
    now.offset = now.offset.or(present.offset);
    between(&boots, moment.boot)
}

/// Each boot, with what its streams say of it.
fn boots<'a>(streams: impl Iterator<Item = &'a StreamState>) -> BTreeMap<u32, Span> {
    let mut boots: BTreeMap<u32, Span> = BTreeMap::new();
    for stream in streams {
        let known = stream.clock.filter(|clock| clock.clock == Clock::Monotonic);
        for &Moment { boot, machine, uptime_us, utc_us } in &stream.moments {
            let offset = known.map(|clock| Offset {
                offset_us: clock.offset_us,
                uncertainty_us: clock.uncertainty_us,
            });
            let by_utc = utc_us.map(|(utc, uncertainty_us)| Offset {
                offset_us: utc.saturating_sub(uptime_us),
                uncertainty_us,
            });
            let span = Span { first_us: uptime_us, last_us: uptime_us, machine, offset: None };
            let entry = boots.entry(boot).or_insert(span);
            entry.first_us = entry.first_us.min(uptime_us);
            entry.last_us = entry.last_us.max(uptime_us);
            entry.offset = entry.offset.or(offset).or(by_utc);
        }
    }
    boots
}

/// The offset of a boot: its own, that of the same start of the machine, or an estimate.
fn between(boots: &BTreeMap<u32, Span>, boot: u32) -> Option<Offset> {
    let own = boots.get(&boot)?;
    let shares = |span: &&Span| own.machine != 0 && span.machine == own.machine;
    if let Some(known) = own.offset.or_else(|| boots.values().filter(shares).find_map(|s| s.offset))
    {
        return Some(known);
    }
    let after = boots.range(boot + 1..).find_map(|(at, span)| Some((*at, *span, span.offset?)));
    let before = boots.range(..boot).rev().find_map(|(at, span)| Some((*at, *span, span.offset?)));
    let (later, next, offset) = after?;
    let up = |range: std::ops::Range<u32>| -> i64 {
        boots.range(range).map(|(_, span)| span.last_us.saturating_sub(span.first_us)).sum()
    };
    // The end of this boot was not after the begin of the next known one, less what lies between.
    let end = offset.offset_us.saturating_add(next.first_us).saturating_sub(up(boot + 1..later));
    let latest = end.saturating_sub(own.last_us);
    let Some((earlier, last, known)) = before else {
        return Some(Offset { offset_us: latest, uncertainty_us: UNCERTAINTY_MAX });
    };
    let begin = known.offset_us.saturating_add(last.last_us).saturating_add(up(earlier + 1..boot));
    let earliest = begin.saturating_sub(own.first_us).min(latest);
    let half = latest.abs_diff(earliest) / 2;
    let offset_us = latest.saturating_sub_unsigned(half);
    let uncertainty = worse(offset.uncertainty_us.max(known.uncertainty_us), half);
    Some(Offset { offset_us, uncertainty_us: uncertainty })
}

fn drift(span_us: u64) -> u64 {
    span_us / 1_000_000 * DRIFT_PPM
}

fn worse(uncertainty: u32, by: u64) -> u32 {
    let sum = u64::from(uncertainty).saturating_add(by);
    u32::try_from(sum).unwrap_or(u32::MAX).min(UNCERTAINTY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::ClockState;

    const SECOND: i64 = 1_000_000;
    const UTC: i64 = 1_767_225_600 * SECOND;

    /// A stream of a boot that ran from uptime `first` to `last`, seconds.
    fn stream(boot: u32, first: i64, last: i64) -> StreamState {
        let moment =
            |seconds: i64| Moment { boot, machine: 0, uptime_us: seconds * SECOND, utc_us: None };
        StreamState {
            stream: boot.into(),
            mark: 0,
            first: 0,
            next_row: 1,
            rows: 1,
            schemas: Vec::new(),
            skips: Vec::new(),
            clock: None,
            moments: vec![moment(first), moment(last)],
        }
    }

    fn known(mut stream: StreamState, offset_us: i64) -> StreamState {
        let at_us = stream.moments[1].uptime_us;
        let clock = Clock::Monotonic;
        stream.clock = Some(ClockState { clock, offset_us, uncertainty_us: 500, at_us });
        stream
    }

    fn present(boot: u32, offset_us: Option<i64>) -> Present {
        let offset = offset_us.map(|offset_us| Offset { offset_us, uncertainty_us: 300 });
        Present { boot, machine: 0, first_us: 0, offset }
    }

    #[test]
    fn an_offset_that_was_learnt_counts_with_the_drift_since() {
        let old = known(stream(1, 0, 7_200), UTC);
        let found = offset_of(&old, &[], present(2, None)).unwrap();
        assert_eq!(found, Offset { offset_us: UTC, uncertainty_us: 500 + 720_000 });
    }

    #[test]
    fn without_any_offset_nothing_can_be_said_yet() {
        assert_eq!(offset_of(&stream(1, 0, 60), &[], present(2, None)), None);
    }

    #[test]
    fn a_retired_stream_of_this_boot_has_the_present_offset() {
        let found = offset_of(&stream(4, 0, 60), &[], present(4, Some(UTC))).unwrap();
        assert_eq!(found, Offset { offset_us: UTC, uncertainty_us: 300 });
    }

    #[test]
    fn a_boot_that_never_knew_ended_before_this_one_began() {
        // It ran for 60 s and this boot began at UTC: at the latest, it began 60 s before.
        let found = offset_of(&stream(1, 0, 60), &[], present(2, Some(UTC))).unwrap();
        let offset_us = UTC - 60 * SECOND;
        assert_eq!(found, Offset { offset_us, uncertainty_us: UNCERTAINTY_MAX });
    }

    #[test]
    fn the_uptime_of_the_boots_between_counts() {
        let all = [stream(2, 0, 100), stream(3, 0, 1_000)];
        let found = offset_of(&stream(1, 0, 60), &all, present(4, Some(UTC))).unwrap();
        assert_eq!(found.offset_us, UTC - (1_000 + 100 + 60) * SECOND);
    }

    #[test]
    fn between_two_known_boots_the_truth_is_within_what_is_said() {
        // Boot 1 ended at UTC + 100 s; boot 2 ran for 50 s; boot 3 began at UTC + 1,000 s.
        let all = [known(stream(1, 0, 100), UTC)];
        let found = offset_of(&stream(2, 0, 50), &all, present(3, Some(UTC + 1_000 * SECOND)));
        let Offset { offset_us, uncertainty_us } = found.unwrap();
        for begin in [100, 400, 950] {
            let truth = UTC + begin * SECOND;
            assert!(truth.abs_diff(offset_us) <= uncertainty_us.into(), "{begin}: {offset_us}");
        }
    }

    #[test]
    fn boots_of_one_machine_share_their_clock() {
        let mut old = stream(1, 0, 60);
        for moment in &mut old.moments {
            moment.machine = 7;
        }
        let present = Present { machine: 7, ..present(2, Some(UTC)) };
        assert_eq!(offset_of(&old, &[], present).unwrap().offset_us, UTC);
    }
}
