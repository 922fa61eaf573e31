//! One reader: a connection that subscribes, takes events and verifies them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use anyhow::bail;
use mio::net::TcpStream;
use smallvec::SmallVec;

use super::plan::{Place, Plan};
use super::swarm::Digest;
use super::tally::{Tally, record};
use crate::stamp::Stamp;
use crate::transport::{Transport, chunked, h2, head, sse, ws};
use crate::verify::{First, Track};

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The request is not answered yet.
    Asking,
    /// The head of the answer has come, the word that it is subscribed has not.
    Subscribing,
    Live,
}

/// What a turn of reading came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There is nothing more for now.
    Drained,
    /// There is more, but others have waited long enough.
    More,
    /// The connection has ended.
    Ended,
}

/// What the reader is and keeps when it is cut off and comes back.
pub(crate) struct Seat {
    pub(crate) id: u32,
    pub(crate) plan: Arc<Plan>,
    /// The first topic that it subscribes to when it connects; [`Plan::topics`] says which others.
    pub(crate) topic: u32,
    /// All topics whose events it may get.
    topics: SmallVec<[u32; 2]>,
    tracks: SmallVec<[(u32, Track); 1]>,
    /// Of everything it saw, in its order: equal for readers that saw the same.
    digest: u64,
    /// Whether others must have seen the same.
    comparable: bool,
    events: u32,
    position: Vec<u8>,
    /// Whether it has been connected before.
    returns: bool,
}

/// A seat that is taken by a connection.
pub(crate) struct Reader {
    pub(crate) seat: Seat,
    pub(crate) stream: TcpStream,
    pub(crate) stage: Stage,
    /// How often the server must still say that it is subscribed.
    awaited: u32,
    /// When the connection was begun.
    began: u64,
    /// Whether the answer's body is in chunks.
    chunks: bool,
    /// Bytes that are not a whole head, chunk or frame yet.
    rest: Vec<u8>,
    /// Bytes of a message that is not whole yet.
    message: Vec<u8>,
    /// Bytes that the socket has not taken yet.
    out: Vec<u8>,
    /// gRPC: bytes of the window that are used.
    used: u32,
}

/// Reads of one connection before others have their turn.
const READS: usize = 8;

impl Seat {
    pub(crate) fn new(id: u32, plan: Arc<Plan>, topic: u32) -> Self {
        // Between topics there is no order.
        let comparable = plan.first != First::Any && plan.topics.count == 1;
        let topics = plan.topics.from(topic).collect();
        Self {
            id,
            plan,
            topic,
            topics,
            tracks: SmallVec::new(),
            digest: 0,
            comparable,
            events: 0,
            position: Vec::new(),
            returns: false,
        }
    }

    /// What it has seen, unless it began at another event than others or has left some out.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.comparable.then_some((self.topic, self.events, self.digest))
    }

    /// Where it goes on.
    fn place(&self) -> Place<'_> {
        match std::str::from_utf8(&self.position) {
            Ok(position) if !position.is_empty() => Place::After(position),
            _ if self.returns && self.events == 0 && self.plan.first == First::Sequence(1) => Place::Start,
            _ => Place::First,
        }
    }

    /// From now on events of this topic are expected too.
    pub(crate) fn expect_topic(&mut self, topic: u32) {
        self.comparable = false;
        self.tracks.retain(|(of, _)| *of != topic);
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
    }

    fn see(&mut self, stamp: &Stamp, now: u64, tally: &mut Tally) {
        if stamp.run != self.plan.run {
            tally.foreign += 1;
            return;
        }
        if !self.topics.contains(&stamp.topic) {
            tally.violations.strays += 1;
            tally.complain(|| format!("a reader of topic {} got an event of topic {}", self.topic, stamp.topic));
            return;
        }
        let mut tracks = self.tracks.iter_mut();
        let known = tracks.find(|(topic, track)| *topic == stamp.topic && track.publisher == stamp.publisher);
        let new = if let Some((_, track)) = known {
            track.see(stamp.sequence, &mut tally.violations)
        } else {
            let from_the_start = self.plan.topics.from(self.topic).any(|topic| topic == stamp.topic);
            let first = if from_the_start { self.plan.first } else { First::Any };
            let mut track = Track::new(stamp.publisher, first);
            let new = track.see(stamp.sequence, &mut tally.violations);
            self.tracks.push((stamp.topic, track));
            new
        };
        if new {
            tally.deliveries += 1;
            record(&mut tally.latency, now.saturating_sub(stamp.at));
            let event = u64::from(stamp.publisher) << 32 | u64::from(stamp.sequence);
            self.digest = (self.digest.rotate_left(7) ^ event).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.events += 1;
        }
    }

    /// The server has told that events are gone: what follows need not join what came before.
    fn forgive(&mut self) {
        self.comparable &= self.events == 0;
        for (_, track) in &mut self.tracks {
            track.forgive();
        }
    }
}

impl Reader {
    /// A reader whose connection has just begun.
    pub(crate) fn new(mut seat: Seat, stream: TcpStream, now: u64) -> anyhow::Result<Self> {
        if seat.place() == Place::First {
            seat.forgive();
        }
        let out = seat.plan.request(seat.topic, seat.id, &seat.place())?;
        seat.returns = true;
        let awaited = seat.plan.confirmations();
        Ok(Self {
            seat,
            stream,
            stage: Stage::Asking,
            awaited,
            began: now,
            chunks: false,
            rest: Vec::new(),
            message: Vec::new(),
            out,
            used: 0,
        })
    }

    /// Says something to the server.
    pub(crate) fn say(&mut self, frame: &[u8]) -> std::io::Result<()> {
        self.out.extend_from_slice(frame);
        self.write()
    }

    /// Writes what waits, as far as the socket takes it. A bare loop counts as subscribed when it is connected.
    pub(crate) fn writable(&mut self, now: u64, tally: &mut Tally) -> std::io::Result<()> {
        if self.stage == Stage::Asking && self.seat.plan.is_bare() && self.stream.peer_addr().is_ok() {
            self.chunks = true;
            self.subscribed(now, tally);
        }
        self.write()
    }

    fn write(&mut self) -> std::io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(written) => {
                    self.out.drain(..written);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out = Vec::new();
        Ok(())
    }

    /// Reads and verifies what has come. `ends` says that the server has closed its side.
    pub(crate) fn readable(
        &mut self,
        ends: bool,
        scratch: &mut [u8],
        now: u64,
        tally: &mut Tally,
    ) -> anyhow::Result<Turn> {
        for _ in 0..READS {
            let n = match self.stream.read(scratch) {
                Ok(0) => return Ok(Turn::Ended),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Drained),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Turn::Ended),
                Err(error) => return Err(error.into()),
            };
            tally.bytes += n as u64;
            if self.rest.is_empty() {
                let taken = self.take(&scratch[..n], now, tally)?;
                self.rest.extend_from_slice(&scratch[taken..n]);
            } else {
                let mut input = std::mem::take(&mut self.rest);
                input.extend_from_slice(&scratch[..n]);
                let taken = self.take(&input, now, tally)?;
                input.drain(..taken);
                // An idle reader keeps no buffer.
                self.rest = if input.is_empty() { Vec::new() } else { input };
            }
            if n < scratch.len() && !ends {
                return Ok(Turn::Drained);
            }
        }
        Ok(Turn::More)
    }

    /// Takes whole heads, chunks and frames from `input`; returns how many bytes they were.
    fn take(&mut self, input: &[u8], now: u64, tally: &mut Tally) -> anyhow::Result<usize> {
        let mut taken = 0;
        while taken < input.len() {
            let rest = &input[taken..];
            let n = match (self.stage, self.seat.plan.transport) {
                (_, Transport::Grpc) => self.h2_frame(rest, now, tally)?,
                (Stage::Asking, _) => self.head(rest, now, tally)?,
                (_, Transport::Sse) => self.chunk(rest, now, tally)?,
                (_, Transport::Ws) => self.frame(rest, now, tally)?,
            };
            if n == 0 {
                break;
            }
            taken += n;
        }
        Ok(taken)
    }

    fn head(&mut self, input: &[u8], now: u64, tally: &mut Tally) -> anyhow::Result<usize> {
        let Some(head) = head::parse(input)? else { return Ok(0) };
        let expected = if self.seat.plan.transport == Transport::Ws { 101 } else { 200 };
        if head.status != expected {
            let body = String::from_utf8_lossy(&input[head.length..]);
            bail!("a reader was refused with status {}: {}", head.status, body.trim());
        }
        self.chunks = head.body == head::Body::Chunked;
        self.stage = Stage::Subscribing;
        if self.seat.plan.transport == Transport::Ws {
            let frames = self.seat.plan.introduction(self.seat.topic, self.seat.id, &self.seat.place())?;
            self.say(&frames)?;
        }
        if self.seat.plan.subscribed.is_none() {
            self.subscribed(now, tally);
        }
        Ok(head.length)
    }

    fn subscribed(&mut self, now: u64, tally: &mut Tally) {
        self.stage = Stage::Live;
        tally.live += 1;
        tally.subscribed += 1;
        record(&mut tally.connect, now.saturating_sub(self.began));
    }

    fn chunk(&mut self, input: &[u8], now: u64, tally: &mut Tally) -> anyhow::Result<usize> {
        if !self.chunks {
            self.stream_of_events(input, now, tally);
            return Ok(input.len());
        }
        let Some((body, taken)) = chunked::next(input)? else { return Ok(0) };
        self.stream_of_events(body, now, tally);
        Ok(taken)
    }

    fn stream_of_events(&mut self, body: &[u8], now: u64, tally: &mut Tally) {
        if self.message.is_empty() {
            let taken = self.events_in(body, now, tally);
            if !sse::is_idle(&body[taken..]) {
                self.message.extend_from_slice(&body[taken..]);
            } else if self.stage == Stage::Subscribing {
                self.meaning(&body[taken..], now, tally);
            }
            return;
        }
        let mut text = std::mem::take(&mut self.message);
        text.extend_from_slice(body);
        let taken = self.events_in(&text, now, tally);
        text.drain(..taken);
        self.message = if text.is_empty() { Vec::new() } else { text };
    }

    fn events_in(&mut self, text: &[u8], now: u64, tally: &mut Tally) -> usize {
        let mut taken = 0;
        while let Some((event, n)) = sse::next(&text[taken..]) {
            taken += n;
            if self.seat.plan.remember
                && let Some(id) = sse::id(event)
            {
                self.seat.position.clear();
                self.seat.position.extend_from_slice(id);
            }
            self.meaning(event, now, tally);
        }
        taken
    }

    fn frame(&mut self, input: &[u8], now: u64, tally: &mut Tally) -> anyhow::Result<usize> {
        let Some((frame, taken)) = ws::next(input)? else { return Ok(0) };
        match frame.kind {
            ws::Kind::Ping => {
                let mut pong = Vec::new();
                ws::write(ws::Kind::Pong, frame.payload, &mut pong);
                self.say(&pong)?;
            }
            ws::Kind::Close => {
                let (code, reason) = frame.payload.split_at_checked(2).unwrap_or((&[], &[]));
                let code = <[u8; 2]>::try_from(code).map_or(1005, u16::from_be_bytes);
                bail!("the server closed with {code} {}", String::from_utf8_lossy(reason));
            }
            ws::Kind::Pong => {}
            _ if frame.last && self.message.is_empty() => self.said(frame.payload, now, tally)?,
            _ => {
                self.message.extend_from_slice(frame.payload);
                if frame.last {
                    let message = std::mem::take(&mut self.message);
                    self.said(&message, now, tally)?;
                }
            }
        }
        Ok(taken)
    }

    fn h2_frame(&mut self, input: &[u8], now: u64, tally: &mut Tally) -> anyhow::Result<usize> {
        let Some((frame, taken)) = h2::next(input)? else { return Ok(0) };
        let mut answer = Vec::new();
        match frame {
            h2::Frame::Data(bytes) => {
                self.messages_in(bytes, now, tally)?;
                self.used += u32::try_from(bytes.len())?;
                if self.used >= h2::WINDOW_USED_MAX {
                    h2::more(std::mem::take(&mut self.used), &mut answer);
                }
            }
            h2::Frame::Head { last: false } => self.stage = Stage::Subscribing,
            h2::Frame::Head { last: true } => bail!("the server ended the call"),
            h2::Frame::Settings => h2::settings_ack(&mut answer),
            h2::Frame::Ping(opaque) => h2::ping_ack(opaque, &mut answer),
            h2::Frame::End(how) => bail!("the server ended the call with {how}"),
            h2::Frame::Other => {}
        }
        if !answer.is_empty() {
            self.say(&answer)?;
        }
        Ok(taken)
    }

    /// Takes whole gRPC messages; a rest waits for its other half.
    fn messages_in(&mut self, bytes: &[u8], now: u64, tally: &mut Tally) -> anyhow::Result<()> {
        let mut whole = std::mem::take(&mut self.message);
        let mut bytes = if whole.is_empty() {
            bytes
        } else {
            whole.extend_from_slice(bytes);
            &whole
        };
        while let Some((message, taken)) = h2::message(bytes)? {
            /// The field `subscribed` of a `ServerFrame`, which comes first in it.
            const SUBSCRIBED: u8 = 3 << 3 | 2;
            if self.stage == Stage::Subscribing && message.first() == Some(&SUBSCRIBED) {
                self.subscribed(now, tally);
            }
            self.meaning(message, now, tally);
            bytes = &bytes[taken..];
        }
        self.message = bytes.to_vec();
        Ok(())
    }

    /// A whole message came over a WebSocket.
    fn said(&mut self, message: &[u8], now: u64, tally: &mut Tally) -> anyhow::Result<()> {
        let plan = Arc::clone(&self.seat.plan);
        if let Some((_, answer)) = plan.answers.iter().find(|(to, _)| to.as_bytes() == message) {
            let mut frame = Vec::new();
            ws::write(ws::Kind::Text, answer.as_bytes(), &mut frame);
            self.say(&frame)?;
            return Ok(());
        }
        if self.stage == Stage::Subscribing && plan.refused.as_ref().is_some_and(|sign| sign.find(message).is_some()) {
            bail!("a reader was refused: {}", String::from_utf8_lossy(message));
        }
        if plan.remember
            && let Some(sign) = &plan.position
            && let Some(at) = sign.find(message)
        {
            let value = &message[at + sign.needle().len()..];
            let end = memchr::memchr(b'"', value).unwrap_or(0);
            self.seat.position.clear();
            self.seat.position.extend_from_slice(&value[..end]);
        }
        self.meaning(message, now, tally);
        Ok(())
    }

    /// Verifies the events in a message, or understands what else it says.
    fn meaning(&mut self, message: &[u8], now: u64, tally: &mut Tally) {
        let plan = &self.seat.plan;
        if let Some(reply) = &plan.reply {
            tally.replies += reply.find_iter(message).count() as u64;
        }
        if self.stage == Stage::Subscribing
            && let Some(sign) = &plan.subscribed
        {
            // One message may hold several answers.
            let said = sign.find_iter(message).count();
            self.awaited = self.awaited.saturating_sub(u32::try_from(said).unwrap_or(u32::MAX));
            if self.awaited == 0 {
                self.subscribed(now, tally);
            }
        }
        let mut rest = message;
        let mut is_event = false;
        while let Some((stamp, end)) = Stamp::find(rest) {
            is_event = true;
            rest = &rest[end..];
            if let Ok(stamp) = stamp {
                self.seat.see(&stamp, now, tally);
            } else {
                tally.violations.corrupt += 1;
                tally.complain(|| format!("a corrupt payload in {}", String::from_utf8_lossy(message)));
            }
        }
        if !is_event && self.seat.plan.gap.as_ref().is_some_and(|sign| sign.find(message).is_some()) {
            tally.told_gaps += 1;
            self.seat.forgive();
        }
    }
}
