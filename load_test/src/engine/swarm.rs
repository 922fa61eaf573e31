//! One event loop with all its connections. No task, no timer and no channel per connection.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Registry, Token, Waker};
use parking_lot::Mutex;
use slab::Slab;

use super::address::Sources;
use super::caller::Caller;
use super::plan::Plan;
use super::reader::{Reader, Seat, Stage, Turn};
use super::tally::Tally;
use crate::advice;
use crate::clock;
use crate::transport::ws;

/// Wakes the loop from another thread.
const WAKER: Token = Token(usize::MAX);
/// Bytes of the one buffer that everything is read into.
const SCRATCH: usize = 256 * 1024;
/// A connection that was refused is tried again after a random part of this, by those who come back.
const RETRY: Duration = Duration::from_millis(500);

pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    readers: Slab<Reader>,
    /// Where the reader with this number is.
    seats: Vec<Option<usize>>,
    callers: Vec<Line>,
    publish_at: Vec<SocketAddr>,
    /// Whether requests may follow each other without waiting for answers.
    pipelined: bool,
    sources: Sources,
    waiting: VecDeque<Seat>,
    /// Those who come back later.
    later: BinaryHeap<Later>,
    /// Connections that have begun and are not subscribed yet.
    under_way: usize,
    /// How many may be.
    under_way_max: usize,
    /// Readers that have more to read than one turn allows.
    again: Vec<usize>,
    scratch: Box<[u8]>,
    pub(crate) tally: Arc<Mutex<Tally>>,
}

/// A publisher's connection, made anew when the server has closed it, and what waits in front of it.
#[derive(Default)]
struct Line {
    caller: Option<Caller>,
    queue: VecDeque<Request>,
}

/// A request that publishes so many events, which the schedule wanted sent at `at`.
struct Request {
    bytes: Vec<u8>,
    at: u64,
    events: u32,
}

/// A seat whose reader comes back at its time; the earliest is the greatest.
struct Later {
    at: Instant,
    seat: Seat,
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Later {}

/// What a reader has seen: its topic, how many events, and the digest of their order.
pub(crate) type Digest = (u32, u32, u64);

/// Something to do with a reader.
pub(crate) enum Order {
    /// A new reader with this number, of this topic.
    Dial { id: u32, topic: u32, plan: Arc<Plan> },
    /// Ends its connection for good.
    Close(u32),
    /// Cuts its connection; one that comes back does so.
    Cut(u32),
    /// Cuts every connection.
    CutAll,
    /// It never reads again, and does not hang up.
    Freeze(u32),
    /// Subscribes it to one more topic, over its WebSocket.
    Subscribe { id: u32, topic: u32 },
    /// Ends its subscription to a topic.
    Unsubscribe { id: u32, topic: u32 },
    /// Sends a text frame over its WebSocket.
    Say { id: u32, text: Vec<u8> },
    /// Tells what each reader has seen.
    Digests(SyncSender<Vec<Digest>>),
}

impl Swarm {
    pub(crate) fn new(under_way_max: usize) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            readers: Slab::new(),
            seats: Vec::new(),
            callers: Vec::new(),
            publish_at: Vec::new(),
            pipelined: true,
            sources: Sources::default(),
            waiting: VecDeque::new(),
            later: BinaryHeap::new(),
            under_way: 0,
            under_way_max,
            again: Vec::new(),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            tally: Arc::default(),
        })
    }

    pub(crate) fn waker(&self) -> std::io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKER)
    }

    /// Opens so many connections for publishing.
    pub(crate) fn callers(&mut self, count: usize, publish_at: &[SocketAddr], pipelined: bool) {
        self.publish_at = publish_at.to_vec();
        self.pipelined = pipelined;
        self.callers = (0..count).map(|_| Line::default()).collect();
    }

    /// Carries out an order.
    pub(crate) fn order(&mut self, order: Order) -> anyhow::Result<()> {
        match order {
            Order::Dial { id, topic, plan } => self.waiting.push_back(Seat::new(id, plan, topic)),
            Order::Close(id) => {
                if let Some(key) = self.find(id) {
                    self.leave(key);
                }
            }
            Order::Cut(id) => self.cut(self.find(id).into_iter().collect()),
            Order::CutAll => self.cut(self.readers.iter().map(|(key, _)| key).collect()),
            Order::Freeze(id) => {
                if let Some(key) = self.find(id) {
                    self.poll.registry().deregister(&mut self.readers[key].stream)?;
                }
            }
            Order::Subscribe { id, topic } => self.change(id, topic, |plan| plan.subscribe.as_ref())?,
            Order::Unsubscribe { id, topic } => self.change(id, topic, |plan| plan.unsubscribe.as_ref())?,
            Order::Say { id, text } => {
                if let Some(key) = self.find(id) {
                    let mut frame = Vec::with_capacity(text.len() + 14);
                    ws::write(ws::Kind::Text, &text, &mut frame);
                    self.readers[key].say(&frame)?;
                }
            }
            Order::Digests(reply) => reply.send(self.digests())?,
        }
        Ok(())
    }

    fn change(
        &mut self,
        id: u32,
        topic: u32,
        frame: impl Fn(&Plan) -> Option<&crate::target::template::Template>,
    ) -> anyhow::Result<()> {
        let Some(key) = self.find(id) else { return Ok(()) };
        let reader = &mut self.readers[key];
        let plan = Arc::clone(&reader.seat.plan);
        let Some(template) = frame(&plan) else { anyhow::bail!("the adapter has no frame to change subscriptions") };
        let name = plan.topic(topic);
        let values = crate::target::template::Values { topic: &name, ..Default::default() };
        let mut bytes = Vec::new();
        ws::write(ws::Kind::Text, template.text(&values).as_bytes(), &mut bytes);
        reader.seat.expect_topic(topic);
        reader.say(&bytes)?;
        Ok(())
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.seats.get(id as usize).copied().flatten()
    }

    /// What each reader has seen, in its order.
    fn digests(&self) -> Vec<Digest> {
        self.readers.iter().filter_map(|(_, reader)| reader.seat.digest()).collect()
    }

    /// Requests of a caller that have no answer yet.
    pub(crate) fn in_flight(&self, caller: usize) -> usize {
        let line = &self.callers[caller];
        line.queue.len() + line.caller.as_ref().map_or(0, Caller::in_flight)
    }

    /// Sends a request that publishes so many events, which the schedule wanted sent at `at`.
    pub(crate) fn call(&mut self, caller: usize, request: &[u8], at: u64, events: u32) -> anyhow::Result<()> {
        if self.may_send(caller) && self.callers[caller].queue.is_empty() {
            return self.send(caller, request, at, events);
        }
        self.callers[caller].queue.push_back(Request { bytes: request.to_vec(), at, events });
        Ok(())
    }

    fn may_send(&self, caller: usize) -> bool {
        self.pipelined || self.callers[caller].caller.as_ref().is_none_or(|caller| caller.in_flight() == 0)
    }

    fn send(&mut self, index: usize, request: &[u8], at: u64, events: u32) -> anyhow::Result<()> {
        if self.callers[index].caller.as_ref().is_none_or(Caller::is_stale) {
            let to = self.publish_at[index % self.publish_at.len()];
            let mut stream = self.sources.connect(to)?;
            self.poll.registry().register(&mut stream, Token(index << 1 | 1), BOTH)?;
            self.callers[index].caller = Some(Caller::new(stream));
        }
        if let Some(caller) = &mut self.callers[index].caller
            && let Err(error) = caller.call(request, at, events)
        {
            caller.give_up(&error.to_string(), &mut self.tally.lock());
            self.callers[index].caller = None;
        }
        Ok(())
    }

    /// Sends what waits for answers that have come.
    fn send_queued(&mut self) -> anyhow::Result<()> {
        for index in 0..if self.pipelined { 0 } else { self.callers.len() } {
            while self.may_send(index) {
                let Some(Request { bytes, at, events }) = self.callers[index].queue.pop_front() else { break };
                self.send(index, &bytes, at, events)?;
            }
        }
        Ok(())
    }

    /// Does what is due, waiting for it at most so long.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.dial()?;
        self.send_queued()?;
        let busy = !self.again.is_empty();
        let until_later = self.later.peek().map(|later| later.at.saturating_duration_since(Instant::now()));
        let wait = if busy { Duration::ZERO } else { until_later.map_or(wait, |later| later.min(wait)) };
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let polled = self.poll.poll(&mut events, Some(wait));
        match polled {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let tally = Arc::clone(&self.tally);
        let mut tally = tally.lock();
        for key in std::mem::take(&mut self.again) {
            self.serve_reader(key, true, false, false, &mut tally);
        }
        for event in &events {
            let token = event.token();
            if token == WAKER {
                continue;
            }
            if token.0 & 1 == 1 {
                self.serve_caller(token.0 >> 1, &mut tally);
            } else {
                let ends = event.is_read_closed() || event.is_error();
                self.serve_reader(token.0 >> 1, event.is_readable() || ends, event.is_writable(), ends, &mut tally);
            }
        }
        self.events = events;
        Ok(())
    }

    fn serve_reader(&mut self, key: usize, read: bool, write: bool, ends: bool, tally: &mut Tally) {
        let Some(reader) = self.readers.get_mut(key) else { return };
        let now = clock::now();
        let before = reader.stage;
        let mut turn = Ok(Turn::Drained);
        if write && let Err(error) = reader.writable(now, tally) {
            turn = Err(error.into());
        }
        if read && turn.is_ok() {
            turn = reader.readable(ends, &mut self.scratch, now, tally);
        }
        if before != Stage::Live && reader.stage == Stage::Live {
            self.under_way -= 1;
        }
        match turn {
            Ok(Turn::Drained) => {}
            Ok(Turn::More) => self.again.push(key),
            Ok(Turn::Ended) => self.ended(key, "the server closed the connection", tally),
            Err(error) => self.ended(key, &advice::sentence(&error), tally),
        }
    }

    /// A connection has ended without our wish.
    fn ended(&mut self, key: usize, why: &str, tally: &mut Tally) {
        let (seat, was_live) = self.remove(key, tally);
        if !was_live && seat.plan.retries {
            self.come_back(seat, rand::random_range(Duration::ZERO..=RETRY));
            return;
        }
        if let Some(delays) = seat.plan.come_back.clone() {
            let delays = if was_live { delays } else { Duration::ZERO..RETRY };
            let delay = rand::random_range(delays.start..=delays.end);
            self.come_back(seat, delay);
            return;
        }
        if was_live {
            tally.lost += 1;
        } else {
            tally.refused += 1;
        }
        tally.complain(|| why.to_owned());
    }

    fn come_back(&mut self, seat: Seat, delay: Duration) {
        self.later.push(Later { at: Instant::now() + delay, seat });
    }

    fn leave(&mut self, key: usize) {
        let tally = Arc::clone(&self.tally);
        self.remove(key, &mut tally.lock());
    }

    fn cut(&mut self, keys: Vec<usize>) {
        let tally = Arc::clone(&self.tally);
        let mut tally = tally.lock();
        for key in keys {
            let (seat, _) = self.remove(key, &mut tally);
            if let Some(delays) = seat.plan.come_back.clone() {
                self.come_back(seat, rand::random_range(delays.start..=delays.end));
            }
        }
    }

    /// Takes a connection out and closes it.
    fn remove(&mut self, key: usize, tally: &mut Tally) -> (Seat, bool) {
        let mut reader = self.readers.remove(key);
        let _ = self.poll.registry().deregister(&mut reader.stream);
        let was_live = reader.stage == Stage::Live;
        if was_live {
            tally.live -= 1;
        } else {
            self.under_way -= 1;
        }
        self.seats[reader.seat.id as usize] = None;
        (reader.seat, was_live)
    }

    fn serve_caller(&mut self, index: usize, tally: &mut Tally) {
        let Some(caller) = self.callers.get_mut(index).and_then(|line| line.caller.as_mut()) else { return };
        let written = caller.write().map_err(anyhow::Error::from);
        let why = match written.and_then(|()| caller.readable(&mut self.scratch, clock::now(), tally)) {
            Ok(true) => return,
            Ok(false) => "the server closed it".to_owned(),
            Err(error) => advice::sentence(&error),
        };
        caller.give_up(&why, tally);
        // The next request opens it anew.
        self.callers[index].caller = None;
    }

    /// Begins connections, as many as may be under way.
    fn dial(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        while self.later.peek().is_some_and(|later| later.at <= now) {
            self.waiting.extend(self.later.pop().map(|later| later.seat));
        }
        while self.under_way < self.under_way_max {
            let Some(seat) = self.waiting.pop_front() else { break };
            let to = seat.plan.addresses[seat.id as usize % seat.plan.addresses.len()];
            let stream = match self.sources.connect(to) {
                Ok(stream) => stream,
                // Nothing gets better of trying again while too many files are open.
                Err(error) if seat.plan.come_back.is_none() || advice::is_about_files(&error) => {
                    return Err(error.into());
                }
                Err(_) => {
                    self.come_back(seat, rand::random_range(Duration::ZERO..=RETRY));
                    continue;
                }
            };
            let id = seat.id as usize;
            let entry = self.readers.vacant_entry();
            let key = entry.key();
            let reader = entry.insert(Reader::new(seat, stream, clock::now())?);
            register(self.poll.registry(), reader, key)?;
            self.under_way += 1;
            if self.seats.len() <= id {
                self.seats.resize(id + 1, None);
            }
            self.seats[id] = Some(key);
        }
        Ok(())
    }
}

/// Edge-triggered, so that being writable costs nothing while nothing waits to be written.
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

fn register(registry: &Registry, reader: &mut Reader, key: usize) -> std::io::Result<()> {
    registry.register(&mut reader.stream, Token(key << 1), BOTH)
}
