//! A stream that is open and has not said anything yet.

use std::io::Write as _;
use std::time::Duration;

use fanfare_auth::Sealed;
use fanfare_bus::{Reader, SubscriptionId};
use fanfare_model::{Gap, Position, Timestamp, Topic};
use fanfare_presence::Members;
use fanfare_session::Session;
use fanfare_session::client::UNSUBSCRIBED_PERMISSION;
use fanfare_session::quota::Place;

use crate::control::Control;
use crate::encode::Wire;
use crate::positions::Positions;
use crate::resume::StreamState;
use crate::watch::{self, Watch};

/// Everything that a stream is made of.
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) reader: Reader,
    /// Where the stream stands before the first event, and before the gaps.
    pub(crate) positions: Positions,
    /// Of each topic, in their order.
    pub(crate) places: Box<[Option<Place>]>,
    pub(crate) watch: Option<Box<Watch>>,
    pub(crate) state: StreamState,
    pub(crate) requested: Option<String>,
    /// Whether the stream begins with its cursor even if the client gave none.
    pub(crate) checkpoint: bool,
    /// What lies between where the client was and where delivery begins.
    pub(crate) gaps: Vec<(SubscriptionId, Gap, Position)>,
    /// Topics of the client's token that it may not receive.
    pub(crate) refused: Vec<Topic>,
    /// What the session can be resumed with, if the client wants to know.
    pub(crate) resume: Option<Sealed>,
    /// Who is in the topics that are watched, before the first change.
    pub(crate) members: Vec<(Topic, Members)>,
    /// Events appended after this are live.
    pub(crate) live_after: Timestamp,
}

impl Opened {
    /// What a stream begins with: how soon to come back, how it stands to what the client had, the gaps, and what it is
    /// told of its session. The comment makes proxies pass on the head; there is no blank line, which some clients take
    /// for an event.
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
        if let Some(sealed) = &self.resume {
            Control::resume(sealed).write(wire, None, &mut out);
        }
        for (id, gap, position) in std::mem::take(&mut self.gaps) {
            self.positions.move_to(id, position);
            if let Some(topic) = self.positions.topic(id) {
                Control::Gap { topic, gap, position }.write(wire, Some(&self.positions.text()), &mut out);
            }
        }
        for topic in &self.refused {
            let (code, reason) = UNSUBSCRIBED_PERMISSION;
            Control::Unsubscribed { topic, code, reason }.write(wire, None, &mut out);
        }
        for (topic, members) in &self.members {
            watch::write(wire, topic, members, &mut out);
        }
        out
    }
}
