//! What must be known of a request when its head is gone.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use bytes::Bytes;
use fanfare_model::Kind;
use fanfare_session::Protocol;
use fanfare_session::access::Visitor;
use fanfare_session::problem::Problem;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;
use http::{Method, Response};

use crate::accept::Shape;
use crate::encode::Wire;
use crate::gateway::{Gateway, LONG_POLL, protocol};
use crate::live::{Live, write_farewell};
use crate::open::NotOpened;
use crate::opened::Opened;
use crate::request::{Begun, Content};
use crate::resume::StreamState;
use crate::wanted::Wanted;
use crate::{answer, long_poll, metrics};

/// The most bytes of a `User-Agent` that are kept with a session.
const CLIENT_BYTES_MAX: usize = 200;

/// Who asks, in what way.
pub(crate) struct Caller {
    wire: Wire,
    poll: bool,
    /// Whether errors that pass must be told in a stream: a native `EventSource` that sees a status gives up for
    /// ever, and shows it to nobody. A client that can set headers can read a status.
    needs_stream: bool,
}

impl Caller {
    pub(crate) fn new(head: &Parts, wanted: &Wanted) -> Result<Self, Problem> {
        // The answer to a long poll is JSON, whatever else the client would read.
        let shape =
            if wanted.poll { Shape::Lines } else { Shape::negotiate(&head.headers).ok_or_else(not_acceptable)? };
        let wire = match shape {
            Shape::EventStream => Wire::Sse { envelope: wanted.envelope, heartbeat_event: wanted.heartbeat_event },
            Shape::Lines => Wire::Lines,
        };
        let needs_stream = shape == Shape::EventStream
            && head.method == Method::GET
            && !wanted.reject_by_status
            && !head.headers.contains_key(AUTHORIZATION);
        Ok(Self { wire, poll: wanted.poll, needs_stream })
    }

    /// What the session shows of it.
    pub(crate) fn visitor(&self, head: &Parts) -> Visitor {
        let address = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let client = head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let protocol = match self.wire {
            Wire::Sse { .. } => Protocol::Sse,
            Wire::Lines => Protocol::JsonLines,
        };
        let client = client.map(|text| text[..text.floor_char_boundary(CLIENT_BYTES_MAX)].into());
        Visitor { protocol, address, client }
    }

    pub(crate) const fn media_type(&self) -> &'static str {
        if self.poll { long_poll::MEDIA_TYPE } else { self.wire.shape().media_type() }
    }

    /// The answer when there is no stream: by status, or in one if that is all that the client understands and it may
    /// come back.
    pub(crate) fn turned_away(&self, gateway: &Gateway, why: NotOpened) -> Result<Response<Content>, Problem> {
        let NotOpened { problem, goodbye } = why;
        if !problem.kind().retryable() {
            return Err(problem);
        }
        if !self.needs_stream {
            return Err(problem.with_retry_after(gateway.retry_after_overload()));
        }
        let mut farewell = Vec::new();
        write_farewell(gateway, self.wire, goodbye, &mut farewell);
        Ok(answer::ok(self.media_type(), Content::Whole(farewell.into())))
    }

    /// The answer to `HEAD`.
    pub(crate) fn head(&self) -> Response<Content> {
        answer::ok(self.media_type(), Content::Whole(Bytes::new()))
    }

    /// The answer with what the client came for.
    pub(crate) async fn deliver(self, gateway: &Gateway, mut opened: Opened) -> Response<Content> {
        let (id, state, cursor) = (opened.session.info().id, opened.state, opened.positions.text());
        if state != StreamState::New {
            let protocol = if self.poll { LONG_POLL } else { protocol(self.wire.shape()) };
            metrics::resumed(protocol, state.as_str());
        }
        let media_type = self.media_type();
        let content = if self.poll {
            Content::Whole(long_poll::answer(gateway, opened).await.into())
        } else {
            let beginning = opened.beginning(self.wire, gateway.options.retry.get());
            Content::Stream(Begun { live: Box::new(Live::new(self.wire, opened)), beginning })
        };
        let mut response = answer::ok(media_type, content);
        let headers = response.headers_mut();
        answer::set(headers, answer::SESSION, id.as_str().to_owned());
        answer::set(headers, answer::STREAM_STATE, state.as_str().to_owned());
        answer::set(headers, answer::LAST_EVENT_ID, cursor);
        response
    }
}

fn not_acceptable() -> Problem {
    Problem::new(Kind::Invalid, "there are `text/event-stream` and `application/x-ndjson`, and JSON with `?poll=1`")
        .with_status(406, "Not acceptable")
        .with_code("not_acceptable")
}
