//! How progress stands at servers that others look into: JSON, with a number for its format.

use serde::{Deserialize, Serialize};

use crate::Progress;

const FORMAT: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Form<P> {
    v: u8,
    #[serde(flatten)]
    progress: P,
}

impl Progress {
    /// As JSON, for engines whose servers keep text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Form { v: FORMAT, progress: self }).expect("numbers and times are JSON")
    }

    /// What [`Progress::to_json`] wrote; `None` if it is something else.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        let form: Form<Self> = serde_json::from_slice(json).ok()?;
        (form.v == FORMAT).then_some(form.progress)
    }
}

/// A gap, as part of a stretch.
pub(crate) mod gap {
    use fanfare_model::{Gap, GapReason};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Form {
        from: u64,
        to: u64,
        reason: GapReason,
    }

    #[expect(clippy::ref_option, reason = "serde asks for it")]
    pub(crate) fn serialize<S: Serializer>(gap: &Option<Gap>, serializer: S) -> Result<S::Ok, S::Error> {
        gap.map(|Gap { from, to, reason }| Form { from, to, reason }).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Gap>, D::Error> {
        let form = Option::<Form>::deserialize(deserializer)?;
        Ok(form.map(|Form { from, to, reason }| Gap { from, to, reason }))
    }
}

#[cfg(test)]
mod tests {
    use fanfare_model::{Epoch, Gap, GapReason, Position, Tag, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::{Lease, LeaseId, Stretch, Waiting};

    #[test]
    fn what_was_written_is_read() {
        let at = Timestamp::from_micros(-7);
        let frontier = Position { epoch: Epoch::from_u32(3).unwrap(), offset: u64::MAX, tag: Tag::from_u16(60_000) };
        let mut progress = Progress::new(frontier, at);
        assert_eq!(Progress::from_json(progress.to_json().as_bytes()), Some(progress.clone()));
        for reason in [GapReason::Trimmed, GapReason::Epoch, GapReason::Fork, GapReason::Slow, GapReason::Conflated] {
            let gap = Some(Gap { from: 1, to: 2, reason });
            let stretch = Stretch { first: 3, last: u64::MAX, deliveries: 5, gap };
            progress.leases.push(Lease { id: LeaseId(6), stretch, until: at });
            progress.waiting.push(Waiting { stretch, due: Some(at) });
            progress.waiting.push(Waiting { stretch: Stretch { gap: None, ..stretch }, due: None });
        }
        assert_eq!(Progress::from_json(progress.to_json().as_bytes()), Some(progress));
    }

    /// What a version before this one wrote is read by this one, and what a later one wrote is refused.
    #[test]
    fn the_form_stays_what_it_is() {
        let json = |v: u8| {
            format!(
                r#"{{"v":{v},"frontier":"{}","fence":8,"moved_at":7,"leases":[{{"id":8,
                "until":1000000,"first":4,"last":6,"deliveries":1,"gap":{{"from":2,"to":4,"reason":"trimmed"}}}}],
                "waiting":[{{"first":1,"last":1,"deliveries":2}}]}}"#,
                Position { epoch: Epoch::from_u32(3).unwrap(), offset: 6, tag: Tag::NONE }
            )
        };
        let gap = Some(Gap { from: 2, to: 4, reason: GapReason::Trimmed });
        let stretch = Stretch { first: 4, last: 6, deliveries: 1, gap };
        let again = Stretch { first: 1, last: 1, deliveries: 2, gap: None };
        let progress = Progress {
            frontier: Position { epoch: Epoch::from_u32(3).unwrap(), offset: 6, tag: Tag::NONE },
            leases: vec![Lease { id: LeaseId(8), stretch, until: Timestamp::from_micros(1_000_000) }],
            waiting: vec![Waiting { stretch: again, due: None }],
            fence: 8,
            moved_at: Timestamp::from_micros(7),
        };
        assert_eq!(Progress::from_json(json(1).as_bytes()), Some(progress));
        assert_eq!(Progress::from_json(json(2).as_bytes()), None);
        assert_eq!(Progress::from_json(b"{}"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Progress::from_json(&bytes);
        }
    }
}
