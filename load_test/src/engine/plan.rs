//! How the readers of a server connect: an adapter, made ready for one transport and one scenario.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem::Finder;

use crate::target::template::{Template, Values};
use crate::target::token::Tokens;
use crate::transport::{Transport, h2, ws};
use crate::verify::First;

/// Shared by all readers that connect in the same way.
pub(crate) struct Plan {
    pub(crate) transport: Transport,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) run: u16,
    pub(crate) names: Template,
    pub(crate) tokens: Arc<Tokens>,
    /// Whether each reader is a user of its own.
    pub(crate) distinct: bool,
    /// The request, without the blank line at its end. A bare loop wants none.
    pub(crate) head: Option<Template>,
    /// gRPC: the method that is called, in place of a request.
    pub(crate) call: Option<String>,
    /// Which topics each has.
    pub(crate) topics: Several,
    /// What names a further topic in the request.
    pub(crate) also: Option<Template>,
    /// A line more for one that comes back.
    pub(crate) resume: Option<Template>,
    /// WebSocket: what is sent behind the handshake.
    pub(crate) frames: Vec<Template>,
    pub(crate) subscribed: Option<Finder<'static>>,
    pub(crate) refused: Option<Finder<'static>>,
    pub(crate) answers: Vec<(String, String)>,
    pub(crate) position: Option<Finder<'static>>,
    pub(crate) gap: Option<Finder<'static>>,
    /// A text by which replies are counted.
    pub(crate) reply: Option<Finder<'static>>,
    pub(crate) subscribe: Option<Template>,
    pub(crate) unsubscribe: Option<Template>,
    pub(crate) publish: Option<Template>,
    pub(crate) late_publish: Option<Template>,
    /// The server's word for where a new reader begins.
    pub(crate) from: String,
    /// Its word for the start of the log, if it has one.
    pub(crate) start: Option<String>,
    /// What the first event of each publisher must be.
    pub(crate) first: First,
    /// Whether readers that were refused try again.
    pub(crate) retries: bool,
    /// Whether readers remember the position of the last event.
    pub(crate) remember: bool,
    /// Whether readers that were cut off come back, and after how long.
    pub(crate) come_back: Option<Range<Duration>>,
}

impl Plan {
    /// The name of a topic.
    pub(crate) fn topic(&self, number: u32) -> String {
        topic(&self.names, number)
    }

    /// Whether nothing is asked: a connection is a subscription.
    pub(crate) fn is_bare(&self) -> bool {
        self.head.is_none() && self.call.is_none()
    }

    /// What a reader sends first.
    pub(crate) fn request(&self, topic: u32, user: u32, at: &Place<'_>) -> anyhow::Result<Vec<u8>> {
        let (name, user) = (self.topic(topic), self.user(user));
        if let Some(path) = &self.call {
            let token = self.tokens.of(user, &name)?;
            return Ok(h2::call(&self.addresses[0].to_string(), path, &token, &h2::subscribe(&name)));
        }
        let Some(head) = &self.head else { return Ok(Vec::new()) };
        let token = self.tokens.of(user, &name)?;
        let mut also = Vec::new();
        if let Some(template) = &self.also {
            for further in self.topics.from(topic).skip(1) {
                template.render(&Values { topic: &self.topic(further), ..Values::default() }, &mut also);
            }
        }
        let also = String::from_utf8_lossy(&also);
        let values = Values { also: &also, ..self.values(&name, user, &token, at) };
        let mut out = Vec::with_capacity(512);
        head.render(&values, &mut out);
        if let (Some(resume), Place::After(_)) = (&self.resume, at) {
            resume.render(&values, &mut out);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Ok(out)
    }

    /// What a reader says behind the handshake.
    pub(crate) fn introduction(&self, topic: u32, user: u32, at: &Place<'_>) -> anyhow::Result<Vec<u8>> {
        let (name, user) = (self.topic(topic), self.user(user));
        let token = self.tokens.of(user, &name)?;
        let values = self.values(&name, user, &token, at);
        let mut out = Vec::new();
        for frame in &self.frames {
            ws::write(ws::Kind::Text, frame.text(&values).as_bytes(), &mut out);
        }
        if let (None, Some(subscribe)) = (&self.also, &self.subscribe) {
            for further in self.topics.from(topic).skip(1) {
                let values = Values { topic: &self.topic(further), ..values };
                ws::write(ws::Kind::Text, subscribe.text(&values).as_bytes(), &mut out);
            }
        }
        Ok(out)
    }

    /// How often the server says that a reader is subscribed.
    pub(crate) fn confirmations(&self) -> u32 {
        match self.transport {
            Transport::Ws if self.also.is_none() => self.topics.count,
            Transport::Ws | Transport::Sse | Transport::Grpc => 1,
        }
    }

    fn user(&self, user: u32) -> u32 {
        if self.distinct { user } else { 0 }
    }

    fn values<'a>(&'a self, topic: &'a str, user: u32, token: &'a str, at: &Place<'a>) -> Values<'a> {
        let (from, position) = match at {
            Place::First => (&*self.from, ""),
            Place::Start => (self.start.as_deref().unwrap_or(&self.from), ""),
            // A header of its own says where to go on.
            Place::After(position) if self.resume.is_some() => (&*self.from, *position),
            Place::After(position) => (*position, *position),
        };
        Values { topic, token, from, position, user, ..Values::default() }
    }
}

/// Which topics a reader has: from its first so many, each so far from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Several {
    pub(crate) count: u32,
    pub(crate) apart: u32,
}

impl Several {
    pub(crate) const ONE: Self = Self { count: 1, apart: 1 };

    /// The topics of a reader, by its first.
    pub(crate) fn from(self, first: u32) -> impl Iterator<Item = u32> {
        (0..self.count).map(move |n| first + n * self.apart)
    }
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// Where the scenario wants it when it comes for the first time.
    First,
    /// It has come back without having seen anything: from the start of the log.
    Start,
    /// After this position.
    After(&'a str),
}

/// The name of a topic by its number.
pub(crate) fn topic(names: &Template, number: u32) -> String {
    names.text(&Values { topic: &number.to_string(), ..Values::default() })
}
