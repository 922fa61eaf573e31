//! How a record stands in the store: a version byte, then numbers, little-endian.

use fanfare_model::{Epoch, Gap, GapReason, Position, Tag, Timestamp};

use crate::cursors::Version;
use crate::{Lease, LeaseId, Progress, Stretch, Waiting};

const FORMAT: u8 = 1;
const REASONS: [GapReason; 5] =
    [GapReason::Trimmed, GapReason::Epoch, GapReason::Fork, GapReason::Slow, GapReason::Conflated];

pub(super) fn encode(version: Version, progress: &Progress) -> Vec<u8> {
    let mut out = Out(vec![FORMAT]);
    out.number(version.0);
    out.number(u64::from(progress.frontier.epoch.as_u32()));
    out.number(progress.frontier.offset);
    out.number(u64::from(progress.frontier.tag.as_u16()));
    out.number(progress.fence);
    out.time(progress.moved_at);
    out.number(progress.leases.len() as u64);
    for lease in &progress.leases {
        out.stretch(&lease.stretch);
        out.number(lease.id.0);
        out.time(lease.until);
    }
    out.number(progress.waiting.len() as u64);
    for waiting in &progress.waiting {
        out.stretch(&waiting.stretch);
        out.number(u64::from(waiting.due.is_some()));
        out.time(waiting.due.unwrap_or_default());
    }
    out.0
}

/// What [`encode`] wrote; `None` if it is something else.
pub(super) fn decode(bytes: &[u8]) -> Option<(Version, Progress)> {
    let (&FORMAT, rest) = bytes.split_first()? else { return None };
    let mut rest = In(rest);
    let version = Version(rest.number()?);
    let frontier = Position {
        epoch: Epoch::from_u32(rest.number()?.try_into().ok()?)?,
        offset: rest.number()?,
        tag: Tag::from_u16(rest.number()?.try_into().ok()?),
    };
    let (fence, moved_at) = (rest.number()?, rest.time()?);
    let leases =
        rest.list(|rest| Some(Lease { stretch: rest.stretch()?, id: LeaseId(rest.number()?), until: rest.time()? }))?;
    let waiting = rest.list(|rest| {
        let (stretch, is_due) = (rest.stretch()?, rest.number()? == 1);
        let due = rest.time()?;
        Some(Waiting { stretch, due: is_due.then_some(due) })
    })?;
    rest.0.is_empty().then_some((version, Progress { frontier, leases, waiting, fence, moved_at }))
}

struct Out(Vec<u8>);

impl Out {
    /// LEB128: most numbers here are small.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push((number & 0x7f) as u8);
    }

    fn time(&mut self, time: Timestamp) {
        self.0.extend_from_slice(&time.as_micros().to_le_bytes());
    }

    fn stretch(&mut self, stretch: &Stretch) {
        self.number(stretch.first);
        self.number(stretch.last);
        self.number(u64::from(stretch.deliveries));
        // 0 for none, then the reasons in their order.
        let reason = stretch.gap.and_then(|gap| REASONS.iter().position(|reason| *reason == gap.reason));
        self.number(reason.map_or(0, |at| at as u64 + 1));
        if let Some(gap) = stretch.gap {
            self.number(gap.from);
            self.number(gap.to);
        }
    }
}

struct In<'a>(&'a [u8]);

impl In<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn time(&mut self) -> Option<Timestamp> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(Timestamp::from_micros(i64::from_le_bytes(*bytes)))
    }

    fn stretch(&mut self) -> Option<Stretch> {
        let (first, last) = (self.number()?, self.number()?);
        let deliveries = self.number()?.try_into().ok()?;
        let gap = match self.number()? {
            0 => None,
            n => {
                let reason = *REASONS.get(usize::try_from(n).ok()? - 1)?;
                Some(Gap { from: self.number()?, to: self.number()?, reason })
            }
        };
        Some(Stretch { first, last, deliveries, gap })
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        // Not made as long as it says before it is there: the number may be anything.
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(item(self)?);
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stretch() -> impl Strategy<Value = Stretch> {
        let gap = (any::<u64>(), any::<u64>(), 0..REASONS.len()).prop_map(|(from, to, at)| Gap {
            from,
            to,
            reason: REASONS[at],
        });
        (any::<u64>(), any::<u64>(), any::<u32>(), prop::option::of(gap))
            .prop_map(|(first, last, deliveries, gap)| Stretch { first, last, deliveries, gap })
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        any::<i64>().prop_map(Timestamp::from_micros)
    }

    proptest! {
        #[test]
        fn records_round_trip(
            (version, epoch, offset, tag) in (any::<u64>(), 1_u32.., any::<u64>(), any::<u16>()),
            (fence, moved_at) in (any::<u64>(), time()),
            leases in prop::collection::vec((stretch(), any::<u64>(), time()), 0..5),
            waiting in prop::collection::vec((stretch(), prop::option::of(time())), 0..5),
        ) {
            let progress = Progress {
                frontier: Position { epoch: Epoch::from_u32(epoch).unwrap(), offset, tag: Tag::from_u16(tag) },
                leases: leases.into_iter().map(|(stretch, id, until)| Lease { id: LeaseId(id), stretch, until }).collect(),
                waiting: waiting.into_iter().map(|(stretch, due)| Waiting { stretch, due }).collect(),
                fence,
                moved_at,
            };
            let bytes = encode(Version(version), &progress);
            prop_assert_eq!(decode(&bytes), Some((Version(version), progress)));
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), None, "cut at {}", cut);
            }
        }

        #[test]
        fn anything_else_is_refused_or_read_but_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = FORMAT;
            }
            let _ = decode(&bytes);
        }
    }
}
