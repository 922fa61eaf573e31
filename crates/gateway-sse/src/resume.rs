//! From what a client asked for to where each topic begins.

use fanfare_auth::{Action, Principal};
use fanfare_bus::Subscribed;
use fanfare_model::{Cursor, Position, StartFrom, Tag, Topic};
use fanfare_session::From;
use fanfare_session::access::{self, Standing};
use fanfare_session::problem::Problem;

use crate::wanted::{Begin, Wanted};

/// The longest text of a client that is repeated to it.
const REQUESTED_BYTES_MAX: usize = 256;

/// How a stream stands to what its client had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamState {
    /// No cursor was given.
    New,
    /// It continues right after its cursor.
    Continue,
    /// It continues, and events between its cursor and now are gone; each gap is told.
    Gap,
    /// The cursor was of no use, so it is not known what was missed.
    Reset,
}

impl StreamState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Continue => "continue",
            Self::Gap => "gap",
            Self::Reset => "reset",
        }
    }
}

/// Where each topic of a stream begins.
pub(crate) struct Plan {
    pub(crate) topics: Vec<PlannedTopic>,
    /// The cursor as the client wrote it, if it gave one.
    pub(crate) requested: Option<String>,
    /// What it says.
    cursor: Option<Cursor>,
    state: StreamState,
}

pub(crate) struct PlannedTopic {
    pub(crate) topic: Topic,
    pub(crate) start: StartFrom,
    pub(crate) by: By,
}

/// Who wants a topic in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The request names it.
    Client,
    /// The client's token names it.
    Token,
    /// The server or the application; grants are not asked.
    Server,
}

impl Plan {
    /// A `Last-Event-ID` that cannot be used is no error, because an error is for ever to a native `EventSource`:
    /// the stream begins now and says so. A `from` was written by a person, who wants to know.
    pub(crate) fn new(wanted: Wanted, principal: &Principal) -> Result<Self, Problem> {
        let only = wanted.topics.len() == 1;
        let Some(last_event_id) = wanted.last_event_id else {
            return Self::by_from(wanted);
        };
        let cursor: Option<Cursor> = last_event_id.text.parse().ok();
        let position = |topic: &Topic| cursor.as_ref().and_then(|cursor| cursor.position_of(topic, only));
        let usable = wanted.topics.iter().any(|wanted| position(&wanted.topic).is_some());
        let mut state = if usable || wanted.topics.is_empty() { StreamState::Continue } else { StreamState::Reset };
        let mut topics = Vec::with_capacity(wanted.topics.len());
        for asked in wanted.topics {
            let start = match position(&asked.topic) {
                Some(position) => go_on(position, &asked.topic, principal, &mut state),
                None if usable => begin(&asked.topic, asked.from.as_ref(), wanted.from.as_ref(), only)?,
                None => StartFrom::Now,
            };
            topics.push(PlannedTopic { topic: asked.topic, start, by: By::Client });
        }
        Ok(Self { topics, requested: Some(shortened(last_event_id.text)), cursor, state })
    }

    fn by_from(wanted: Wanted) -> Result<Self, Problem> {
        let only = wanted.topics.len() == 1;
        let is_cursor = |begin: &Begin| matches!(begin.from, From::Cursor(_));
        let mut own = wanted.topics.iter().filter_map(|asked| asked.from.as_ref());
        let given = wanted.from.as_ref().is_some_and(is_cursor) || own.any(is_cursor);
        let topics = wanted
            .topics
            .into_iter()
            .map(|asked| {
                let start = begin(&asked.topic, asked.from.as_ref(), wanted.from.as_ref(), only)?;
                Ok(PlannedTopic { topic: asked.topic, start, by: By::Client })
            })
            .collect::<Result<Vec<_>, Problem>>()?;
        let state = match topics.iter().any(|planned| matches!(planned.start, StartFrom::After(_))) {
            true => StreamState::Continue,
            // The cursor is one of other topics.
            false if given => StreamState::Reset,
            false => StreamState::New,
        };
        let requested = wanted.from.filter(is_cursor).map(|begin| shortened(begin.text));
        Ok(Self { topics, requested, cursor: None, state })
    }

    /// Whether the client may have the topics that it asks for. If it may not have one of them, it has none.
    pub(crate) fn authorize(&self, principal: &Principal) -> Result<(), Problem> {
        for planned in &self.topics {
            access::subscribe(principal, planned.topic.clone(), planned.start, None)
                .map_err(|refusal| Problem::from(refusal).with("topic", planned.topic.as_str()))?;
        }
        Ok(())
    }

    /// Adds the topics that the session receives without asking. They go on where the cursor says, and else begin now.
    pub(crate) fn add(&mut self, standing: Vec<Standing>, principal: &Principal) {
        for Standing { topic, granted } in standing {
            if self.topics.iter().any(|planned| planned.topic == topic) {
                continue;
            }
            let start = match self.cursor.as_ref().and_then(|cursor| cursor.position_of(&topic, false)) {
                Some(position) if granted => StartFrom::After(position),
                Some(position) => go_on(position, &topic, principal, &mut self.state),
                None => StartFrom::Now,
            };
            self.topics.push(PlannedTopic { topic, start, by: if granted { By::Server } else { By::Token } });
        }
        let goes_on = self.topics.iter().any(|planned| matches!(planned.start, StartFrom::After(_)));
        if self.state == StreamState::Continue && !goes_on {
            self.state = StreamState::Reset;
        }
    }

    /// The state of the stream, once it is known whether events are gone.
    pub(crate) fn state(&self, any_gap: bool) -> StreamState {
        match self.state {
            StreamState::Continue if any_gap => StreamState::Gap,
            state => state,
        }
    }
}

/// To go on after a position of a cursor. A place that was not learnt from an event counts as going back
/// (docs/adr/0006). Without the right to do that, an error would end a client that only listens, so it begins now.
fn go_on(position: Position, topic: &Topic, principal: &Principal, state: &mut StreamState) -> StartFrom {
    if position.tag == Tag::NONE && !principal.may(Action::History, topic) {
        *state = StreamState::Reset;
        return StartFrom::Now;
    }
    StartFrom::After(position)
}

impl PlannedTopic {
    /// The stream's cursor for this topic before anything was sent. In front of a gap it is where the client was,
    /// so that a client that is cut off before it hears of the gap will hear of it again.
    pub(crate) fn position(&self, subscribed: &Subscribed) -> Position {
        match (self.start, subscribed.gap) {
            (StartFrom::After(position), Some(_)) => position,
            _ => subscribed.position,
        }
    }
}

/// Where a topic begins that no `Last-Event-ID` speaks of.
fn begin(topic: &Topic, own: Option<&Begin>, shared: Option<&Begin>, only: bool) -> Result<StartFrom, Problem> {
    let (begin, only) = match (own, shared) {
        (Some(own), _) => (own, true),
        (None, Some(shared)) => (shared, only),
        (None, None) => return Ok(StartFrom::Now),
    };
    if let From::Cursor(cursor @ Cursor::One(_)) = &begin.from
        && cursor.position_of(topic, only).is_none()
    {
        let problem = "is the position of one topic, and several are asked for; use a cursor, or give each its own";
        return Err(fanfare_model::Invalid::new("from", problem).into());
    }
    Ok(begin.from.for_topic(topic, only))
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REQUESTED_BYTES_MAX));
    text
}
