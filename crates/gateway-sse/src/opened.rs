//! A stream that is open and has not said anything yet.

use std::io::Write as _;
use std::time::Duration;

use fanfare_bus::{Reader, SubscriptionId};
use fanfare_model::{Gap, Position, Timestamp};
use fanfare_session::Session;

use crate::control::Control;
use crate::encode::Wire;
use crate::positions::Positions;
use crate::resume::StreamState;

/// Everything that a stream is made of.
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) reader: Reader,
    /// Where the stream stands before the first event, and before the gaps.
    pub(crate) positions: Positions,
    pub(crate) state: StreamState,
    pub(crate) requested: Option<String>,
    /// Whether the stream begins with its cursor even if the client gave none.
    pub(crate) checkpoint: bool,
    /// What lies between where the client was and where delivery begins.
    pub(crate) gaps: Vec<(SubscriptionId, Gap, Position)>,
    /// Events appended after this are live.
    pub(crate) live_after: Timestamp,
}

impl Opened {
    /// What a stream begins with: how soon to come back, how it stands to what the client had, and the gaps. The
    /// comment makes proxies pass on the head; there is no blank line, which some clients take for an event.
    pub(crate) fn beginning(&mut self, wire: Wire, retry: Duration) -> Vec<u8> {
        let mut out = Vec::new();
        if matches!(wire, Wire::Sse { .. }) {
            write!(out, ":\nretry: {}\n", retry.as_millis()).expect("a Vec grows");
        }
        // A line is always welcome; an event of SSE may wake a handler that does not expect it.
        if self.state != StreamState::New || self.checkpoint || wire == Wire::Lines {
            let stream = Control::Stream { state: self.state, requested: self.requested.as_deref() };
            stream.write(wire, Some(&self.positions.text()), &mut out);
        }
        for (id, gap, position) in std::mem::take(&mut self.gaps) {
            self.positions.move_to(id, position);
            let topic = self.positions.topic(id);
            Control::Gap { topic, gap, position }.write(wire, Some(&self.positions.text()), &mut out);
        }
        out
    }
}
