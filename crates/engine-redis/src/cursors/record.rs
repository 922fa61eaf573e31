//! How the progress of a consumer stands at the servers: JSON, with a number for its format.

use fanfare_consumer::{Lease, LeaseId, Progress, Stretch, Waiting};
use fanfare_model::{Gap, GapReason, Position, Timestamp};
use serde::{Deserialize, Serialize};

const FORMAT: u8 = 1;
const REASONS: [GapReason; 5] =
    [GapReason::Trimmed, GapReason::Epoch, GapReason::Fork, GapReason::Slow, GapReason::Conflated];

#[derive(Serialize, Deserialize)]
struct Form {
    v: u8,
    frontier: Position,
    fence: u64,
    moved_at: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    leases: Vec<(Span, u64, Timestamp)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<(Span, Option<Timestamp>)>,
}

/// First, last, deliveries, and the gap before it: from, to, reason.
type Span = (u64, u64, u32, Option<(u64, u64, u8)>);

fn span(stretch: &Stretch) -> Span {
    let reason = |reason| REASONS.iter().position(|known| *known == reason).and_then(|n| u8::try_from(n).ok());
    let gap = stretch.gap.as_ref().map(|gap| (gap.from, gap.to, reason(gap.reason).unwrap_or(0)));
    (stretch.first, stretch.last, stretch.deliveries, gap)
}

fn stretch((first, last, deliveries, gap): Span) -> Option<Stretch> {
    let gap = match gap {
        None => None,
        Some((from, to, reason)) => Some(Gap { from, to, reason: *REASONS.get(usize::from(reason))? }),
    };
    Some(Stretch { first, last, deliveries, gap })
}

pub(super) fn encode(progress: &Progress) -> Vec<u8> {
    let form = Form {
        v: FORMAT,
        frontier: progress.frontier,
        fence: progress.fence,
        moved_at: progress.moved_at,
        leases: progress.leases.iter().map(|lease| (span(&lease.stretch), lease.id.0, lease.until)).collect(),
        waiting: progress.waiting.iter().map(|waiting| (span(&waiting.stretch), waiting.due)).collect(),
    };
    serde_json::to_vec(&form).expect("numbers and positions are JSON")
}

/// What [`encode`] wrote; `None` if it is something else.
pub(super) fn decode(bytes: &[u8]) -> Option<Progress> {
    let form: Form = serde_json::from_slice(bytes).ok().filter(|form: &Form| form.v == FORMAT)?;
    let lease = |(span, id, until)| Some(Lease { id: LeaseId(id), stretch: stretch(span)?, until });
    let waiting = |(span, due)| Some(Waiting { stretch: stretch(span)?, due });
    Some(Progress {
        frontier: form.frontier,
        leases: form.leases.into_iter().map(lease).collect::<Option<_>>()?,
        waiting: form.waiting.into_iter().map(waiting).collect::<Option<_>>()?,
        fence: form.fence,
        moved_at: form.moved_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::{Epoch, Tag};
    use proptest::prelude::*;

    #[test]
    fn what_was_written_is_read() {
        let at = Timestamp::from_micros(7);
        let frontier = Position { epoch: Epoch::from_u32(3).unwrap(), offset: u64::MAX, tag: Tag::from_u16(9) };
        let mut progress = Progress::new(frontier, at);
        assert_eq!(decode(&encode(&progress)), Some(progress.clone()));
        for reason in REASONS {
            let gap = Some(Gap { from: 1, to: 2, reason });
            let stretch = Stretch { first: 3, last: 4, deliveries: 5, gap };
            progress.leases.push(Lease { id: LeaseId(6), stretch, until: at });
            progress.waiting.push(Waiting { stretch, due: Some(at) });
            progress.waiting.push(Waiting { stretch: Stretch { gap: None, ..stretch }, due: None });
        }
        assert_eq!(decode(&encode(&progress)), Some(progress));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
