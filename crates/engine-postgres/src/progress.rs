//! The progress of a consumer as JSON: small, and readable for whoever looks into the database.

use fanfare_consumer::{Lease, LeaseId, Progress, Stretch, Waiting};
use fanfare_model::{Gap, GapReason, Position, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::Failure;

#[derive(Serialize, Deserialize)]
struct Stored {
    frontier: Position,
    fence: u64,
    moved_at: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    leases: Vec<StoredLease>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<StoredWaiting>,
}

#[derive(Serialize, Deserialize)]
struct StoredLease {
    id: u64,
    until: Timestamp,
    #[serde(flatten)]
    stretch: StoredStretch,
}

#[derive(Serialize, Deserialize)]
struct StoredWaiting {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
    #[serde(flatten)]
    stretch: StoredStretch,
}

#[derive(Serialize, Deserialize)]
struct StoredStretch {
    first: u64,
    last: u64,
    deliveries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap: Option<StoredGap>,
}

#[derive(Serialize, Deserialize)]
struct StoredGap {
    from: u64,
    to: u64,
    reason: Reason,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    Trimmed,
    Epoch,
    Fork,
    Slow,
    Conflated,
}

pub(crate) fn encode(progress: &Progress) -> Result<String, Failure> {
    let leases = progress.leases.iter().map(|lease| StoredLease {
        id: lease.id.0,
        until: lease.until,
        stretch: StoredStretch::of(&lease.stretch),
    });
    let waiting = progress
        .waiting
        .iter()
        .map(|waiting| StoredWaiting { due: waiting.due, stretch: StoredStretch::of(&waiting.stretch) });
    let stored = Stored {
        frontier: progress.frontier,
        fence: progress.fence,
        moved_at: progress.moved_at,
        leases: leases.collect(),
        waiting: waiting.collect(),
    };
    serde_json::to_string(&stored).map_err(|_| Failure::Damaged("progress"))
}

pub(crate) fn decode(json: &str) -> Result<Progress, Failure> {
    let stored: Stored = serde_json::from_str(json).map_err(|_| Failure::Damaged("progress"))?;
    let leases = stored.leases.into_iter().map(|lease| Lease {
        id: LeaseId(lease.id),
        until: lease.until,
        stretch: lease.stretch.read(),
    });
    let waiting =
        stored.waiting.into_iter().map(|waiting| Waiting { due: waiting.due, stretch: waiting.stretch.read() });
    Ok(Progress {
        frontier: stored.frontier,
        fence: stored.fence,
        moved_at: stored.moved_at,
        leases: leases.collect(),
        waiting: waiting.collect(),
    })
}

impl StoredStretch {
    fn of(stretch: &Stretch) -> Self {
        let gap = stretch.gap.map(|gap| StoredGap {
            from: gap.from,
            to: gap.to,
            reason: match gap.reason {
                GapReason::Trimmed => Reason::Trimmed,
                GapReason::Epoch => Reason::Epoch,
                GapReason::Fork => Reason::Fork,
                GapReason::Slow => Reason::Slow,
                GapReason::Conflated => Reason::Conflated,
            },
        });
        Self { first: stretch.first, last: stretch.last, deliveries: stretch.deliveries, gap }
    }

    fn read(self) -> Stretch {
        let gap = self.gap.map(|gap| Gap {
            from: gap.from,
            to: gap.to,
            reason: match gap.reason {
                Reason::Trimmed => GapReason::Trimmed,
                Reason::Epoch => GapReason::Epoch,
                Reason::Fork => GapReason::Fork,
                Reason::Slow => GapReason::Slow,
                Reason::Conflated => GapReason::Conflated,
            },
        });
        Stretch { first: self.first, last: self.last, deliveries: self.deliveries, gap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::{Epoch, Tag};

    #[test]
    fn comes_back_as_it_was() {
        for reason in [GapReason::Trimmed, GapReason::Epoch, GapReason::Fork, GapReason::Slow, GapReason::Conflated] {
            let gap = Some(Gap { from: 1, to: 4, reason });
            let stretch = Stretch { first: 5, last: u64::MAX, deliveries: 3, gap };
            let frontier = Position { epoch: Epoch::from_u32(7).unwrap(), offset: 9, tag: Tag::from_u16(60_000) };
            let progress = Progress {
                frontier,
                leases: vec![Lease { id: LeaseId(8), stretch, until: Timestamp::from_micros(-1) }],
                waiting: vec![
                    Waiting { stretch: Stretch { gap: None, ..stretch }, due: None },
                    Waiting { stretch, due: Some(Timestamp::from_micros(3)) },
                ],
                fence: 11,
                moved_at: Timestamp::from_micros(12),
            };
            assert_eq!(decode(&encode(&progress).unwrap()).unwrap(), progress);
        }
        assert!(decode("{}").is_err());
    }
}
