//! Gaps.

use fanfare_model::{Gap, Position, Topic};

use crate::v1;

impl v1::Gap {
    /// What is told of a gap in `topic`, after which a reader stands at `position`.
    pub fn new(topic: &Topic, gap: Gap, position: Position) -> Self {
        Self {
            topic: topic.as_str().to_owned(),
            from: gap.from,
            to: gap.to,
            reason: gap.reason.as_str().to_owned(),
            position: position.to_string(),
        }
    }
}
