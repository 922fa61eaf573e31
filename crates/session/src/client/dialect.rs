//! The seam to a wire format.

use bytes::Bytes;
use fanfare_bus::Entry;
use fanfare_model::{Invalid, Topic};

use super::{Push, Reply, Request, RequestId};

/// Something that was read from a message.
#[derive(Debug)]
pub enum Incoming {
    /// A request.
    Request(Request),
    /// Something that is none.
    Unreadable(Unreadable),
    /// Not from the client: the session has something to do on its own account ([`super::Client::has_chores`]).
    Chores,
}

/// What a message consists of.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a Bytes),
}

/// Something in a message that is not a request.
#[derive(Debug)]
pub struct Unreadable {
    /// The id it had, if that could be read.
    pub id: Option<RequestId>,
    /// What is wrong.
    pub error: Invalid,
}

/// A client protocol: how requests are read, and how replies and events are written.
///
/// What it writes are whole frames of the transport that it was made for, ready to be sent as they are, so that an
/// event's frame is made once per node and shared by every reader.
pub trait Dialect: Send + Sync {
    /// Its name on the wire, e.g. a WebSocket subprotocol.
    fn name(&self) -> &'static str;

    /// Whether its messages are bytes. It is only given messages of that kind.
    fn binary(&self) -> bool {
        false
    }

    /// Reads one message, of at most `requests_max` requests; appends what it holds to `out`, in order.
    fn read(&self, message: Payload<'_>, requests_max: usize, out: &mut Vec<Incoming>);

    /// Writes a reply.
    fn reply(&self, id: Option<RequestId>, reply: &Reply) -> Bytes;

    /// Writes something that was not asked for.
    fn push(&self, push: &Push) -> Bytes;

    /// Writes an event. Made once per node: implemented with [`Entry::form`].
    fn event(&self, entry: &Entry) -> Bytes;

    /// Writes a signal about `topic`, an event of its companion: that somebody came or left. Made once per node:
    /// implemented with [`Entry::form`].
    fn signal(&self, topic: &Topic, entry: &Entry) -> Bytes;
}
