//! A reader: the subscriptions of one session, each a cursor over its topic's log.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use fanfare_history::Error;
use fanfare_model::{Gap, GapReason, Position, StartFrom, Tag, TopicKey};
use slab::Slab;

use crate::entry::Entry;
use crate::hub::Hub;
use crate::metrics;
use crate::news::{News, Serve};
use crate::policy::OnSlow;
use crate::replay::{Conflation, Replay};
use crate::resolve;
use crate::tail::{Tail, Taken};

/// Names a subscription within its reader. May be used again after it was unsubscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub u32);

/// A request to subscribe.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// Which topic.
    pub topic: TopicKey,
    /// Where to begin.
    pub start: StartFrom,
    /// In place of the policy's.
    pub on_slow: Option<OnSlow>,
    /// Whether this reader may see events from before it came (the `history` grant). Without it a reader whose
    /// position is of no use continues with the next event; with it, at the oldest that is kept.
    pub history: bool,
}

/// How far a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has everything up to now.
    Live,
    /// It is being served from history or the ring.
    Replaying,
}

/// What became of a [`Subscribe`].
#[derive(Debug, Clone)]
pub struct Subscribed {
    /// Its name in later deliveries.
    pub id: SubscriptionId,
    /// Delivery begins with the event after this position.
    pub position: Position,
    /// How far it is.
    pub state: State,
    /// What lies between the position asked for and [`Subscribed::position`] and is not delivered.
    pub gap: Option<Gap>,
}

/// Why the bus ended a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It fell behind and its policy is to disconnect.
    Slow,
    /// The log cannot be read now.
    Unavailable,
}

/// Something for the client.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The next event of a subscription.
    Event {
        /// Which subscription.
        id: SubscriptionId,
        /// The event.
        entry: Arc<Entry>,
    },
    /// Events that this reader does not get.
    Gap {
        /// Which subscription.
        id: SubscriptionId,
        /// Which events, and why.
        gap: Gap,
        /// Where the subscription is now.
        position: Position,
    },
    /// The subscription is over; nothing more comes of it, and it must be unsubscribed.
    Ended {
        /// Which subscription.
        id: SubscriptionId,
        /// Why.
        why: Ended,
    },
}

/// How much one [`Reader::poll`] may hand out.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Stop after so many deliveries.
    pub deliveries: usize,
    /// Stop after the event that brings the sum of data sizes to this.
    pub bytes: usize,
}

/// What a subscription is doing.
pub(crate) enum Mode {
    /// Served from the ring.
    Live,
    /// Served from history until the ring reaches it.
    Replaying,
    /// The same, and only the latest event of each key is delivered.
    Conflating(Box<Conflation>),
    /// Over.
    Ended,
}

/// A cursor over one topic.
pub(crate) struct Subscription {
    pub(crate) tail: Arc<Tail>,
    worker: usize,
    registered: usize,
    hub: Arc<Hub>,
    /// The last event delivered, or where it began.
    pub(crate) after: Position,
    pub(crate) life: u32,
    pub(crate) mode: Mode,
    pub(crate) on_slow: OnSlow,
    pub(crate) history: bool,
    /// It began in the past and has not reached the present yet: it is behind, but not slow.
    is_catching_up: bool,
    in_turn: bool,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.tail.unregister(self.worker, self.registered);
        self.tail.release();
        self.hub.handles.subscriptions.decrement(1);
    }
}

/// All subscriptions of one session. It must be polled on the worker it was made for; between polls it holds
/// no events.
pub struct Reader {
    hub: Arc<Hub>,
    worker: usize,
    news: Arc<News>,
    subscriptions: Slab<Subscription>,
    /// Subscriptions to look at, in order of service.
    turn: VecDeque<u32>,
    replay: Replay,
    drained: bool,
}

impl Reader {
    pub(crate) fn new(hub: Arc<Hub>, worker: usize) -> Self {
        Self {
            hub,
            worker,
            news: Arc::default(),
            subscriptions: Slab::new(),
            turn: VecDeque::new(),
            replay: Replay::default(),
            drained: false,
        }
    }

    /// Subscribes to a topic. Nothing that is appended after the position in the answer is missed: the reader is
    /// registered first, then finds its place.
    pub async fn subscribe(&mut self, request: Subscribe) -> Result<Subscribed, Error> {
        let id = u32::try_from(self.subscriptions.vacant_key()).unwrap_or(u32::MAX);
        let tail = self.hub.acquire(&request.topic);
        let registered = tail.register(self.worker, Arc::clone(&self.news), id);
        self.hub.handles.subscriptions.increment(1);
        let mut subscription = Subscription {
            on_slow: request.on_slow.unwrap_or(tail.policy.on_slow),
            tail,
            worker: self.worker,
            registered,
            hub: Arc::clone(&self.hub),
            after: Position::origin(fanfare_model::Epoch::generate()),
            life: 0,
            mode: Mode::Live,
            history: request.history,
            is_catching_up: false,
            in_turn: false,
        };
        self.hub.attach(&subscription.tail).await?;
        let place = resolve::place(&self.hub, &subscription.tail, request.start, request.history).await?;
        subscription.after = place.after;
        subscription.life = place.life;
        let (head, _) = subscription.tail.head();
        let state = if place.after.offset >= head.offset { State::Live } else { State::Replaying };
        subscription.is_catching_up = state == State::Replaying;
        let key = self.subscriptions.insert(subscription);
        debug_assert_eq!(u32::try_from(key), Ok(id), "the id was reserved");
        self.look_at(id);
        if let Some(gap) = place.gap {
            metrics::gap(gap.reason);
        }
        ::metrics::counter!(metrics::SUBSCRIBED, "began" => place.began).increment(1);
        Ok(Subscribed { id: SubscriptionId(id), position: place.after, state, gap: place.gap })
    }

    /// Ends a subscription; nothing more of it is delivered.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        self.replay.forget(id.0);
        drop(self.subscriptions.try_remove(id.0 as usize));
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Whether the last poll handed out all there was, so that there is no need to poll again before the task is woken
    /// or told of news.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    fn look_at(&mut self, id: u32) {
        if let Some(subscription) = self.subscriptions.get_mut(id as usize)
            && !std::mem::replace(&mut subscription.in_turn, true)
        {
            self.turn.push_back(id);
        }
    }

    /// Hands out what there is, in order within each subscription and in turn between them, up to `budget`.
    /// Ready if anything was put in `out`; otherwise, or if [`Reader::is_drained`], the task is woken when there is
    /// something.
    pub fn poll(&mut self, cx: &mut Context<'_>, budget: Budget, out: &mut Vec<Delivery>) -> Poll<()> {
        let mut room = Room { budget, deliveries: 0, bytes: 0 };
        let had = out.len();
        self.drained = false;
        loop {
            for id in self.news.collect(cx.waker()) {
                self.look_at(id);
            }
            while let Some(id) = self.turn.pop_front() {
                self.serve(id, &mut room, out);
                if room.is_full() {
                    return Poll::Ready(());
                }
            }
            match self.poll_replay(cx, &mut room, out) {
                Poll::Ready(()) if !room.is_full() => {}
                Poll::Ready(()) => return Poll::Ready(()),
                Poll::Pending => {
                    self.drained = true;
                    return if out.len() > had { Poll::Ready(()) } else { Poll::Pending };
                }
            }
        }
    }

    /// From now on news are served by `by`, in place, and wake no task. [`Reader::poll`] still has its task woken
    /// by what it waits for besides: pages of history.
    pub fn serve_in_place(&mut self, by: Weak<dyn Serve>) {
        self.news.serve_in_place(by);
    }

    /// Serves one subscription from its ring.
    fn serve(&mut self, id: u32, room: &mut Room, out: &mut Vec<Delivery>) {
        let Some(subscription) = self.subscriptions.get_mut(id as usize) else { return };
        subscription.in_turn = false;
        if !matches!(subscription.mode, Mode::Live) {
            return;
        }
        let name = SubscriptionId(id);
        let taken = subscription.tail.take(subscription.after.offset, subscription.life, |entry| {
            if room.is_full() {
                return false;
            }
            subscription.after = entry.event.position();
            room.spend(entry);
            out.push(Delivery::Event { id: name, entry: Arc::clone(entry) });
            true
        });
        match taken {
            Taken::All => subscription.is_catching_up = false,
            Taken::More => self.look_at(id),
            Taken::Behind { newest_prev } => self.fell_behind(id, newest_prev, room, out),
            Taken::Reborn { reason, life, begin } => self.reborn(id, reason, life, begin, room, out),
        }
    }

    /// A live reader is further back than the ring reaches.
    fn fell_behind(&mut self, id: u32, newest_prev: u64, room: &mut Room, out: &mut Vec<Delivery>) {
        let Some(subscription) = self.subscriptions.get_mut(id as usize) else { return };
        let kept = subscription.tail.policy.history;
        if kept && subscription.is_catching_up {
            subscription.mode = Mode::Replaying;
            self.replay.enqueue(id);
            return;
        }
        let on_slow = match subscription.on_slow {
            // There is no log to read: being behind is to have missed.
            OnSlow::Replay | OnSlow::Conflate if !kept => OnSlow::Skip,
            other => other,
        };
        let what = match on_slow {
            OnSlow::Replay => "replay",
            OnSlow::Disconnect => "disconnect",
            OnSlow::Skip => "skip",
            OnSlow::Conflate => "conflate",
        };
        ::metrics::counter!(metrics::SLOW, "did" => what).increment(1);
        match on_slow {
            OnSlow::Replay => {
                subscription.mode = Mode::Replaying;
                self.replay.enqueue(id);
            }
            OnSlow::Conflate => {
                subscription.mode = Mode::Conflating(Box::new(Conflation::new(subscription.after)));
                self.replay.enqueue(id);
            }
            OnSlow::Disconnect => {
                subscription.mode = Mode::Ended;
                room.deliveries += 1;
                out.push(Delivery::Ended { id: SubscriptionId(id), why: Ended::Slow });
            }
            OnSlow::Skip => {
                let gap = Gap { from: subscription.after.offset + 1, to: newest_prev, reason: GapReason::Slow };
                subscription.jump(id, gap, newest_prev, room, out);
                self.look_at(id);
            }
        }
    }

    /// The log began a new life under a reader.
    fn reborn(
        &mut self,
        id: u32,
        reason: GapReason,
        life: u32,
        begin: Position,
        room: &mut Room,
        out: &mut Vec<Delivery>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(id as usize) else { return };
        let from = subscription.after.offset + 1;
        subscription.life = life;
        // A purged log begins at 1, so its first page shows everything the reader has not seen.
        let to = if subscription.history && reason == GapReason::Epoch { 0 } else { begin.offset };
        subscription.after = Position { offset: to, tag: Tag::NONE, ..begin };
        subscription.jump(id, Gap { from, to, reason }, to, room, out);
        if subscription.tail.reaches(to) {
            self.look_at(id);
        } else {
            subscription.mode = Mode::Replaying;
            self.replay.enqueue(id);
        }
    }

    /// Serves one subscription that is behind with a page from history.
    fn poll_replay(&mut self, cx: &mut Context<'_>, room: &mut Room, out: &mut Vec<Delivery>) -> Poll<()> {
        let Some((id, page)) = std::task::ready!(self.replay.poll(cx, &self.hub, &self.subscriptions)) else {
            return Poll::Pending;
        };
        let Some(subscription) = self.subscriptions.get_mut(id as usize) else { return Poll::Ready(()) };
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(error = %error, "history could not be read for a subscription");
                subscription.mode = Mode::Ended;
                room.deliveries += 1;
                out.push(Delivery::Ended { id: SubscriptionId(id), why: Ended::Unavailable });
                return Poll::Ready(());
            }
        };
        self.hub.handles.replay_pages.increment(1);
        if page.head.last.epoch != subscription.after.epoch {
            // Purged in the meantime; the tail knows more.
            subscription.mode = Mode::Live;
            self.look_at(id);
            return Poll::Ready(());
        }
        subscription.take_page(id, &page, room, out);
        if subscription.tail.reaches(subscription.after.offset) {
            subscription.finish_conflation(id, room, out);
            subscription.mode = Mode::Live;
            self.look_at(id);
        } else {
            self.replay.enqueue(id);
        }
        Poll::Ready(())
    }
}

impl Subscription {
    pub(crate) fn position(&self, offset: u64) -> Position {
        Position { epoch: self.after.epoch, offset, tag: Tag::NONE }
    }

    /// Tells of a gap and continues after `to`.
    pub(crate) fn jump(&mut self, id: u32, gap: Gap, to: u64, room: &mut Room, out: &mut Vec<Delivery>) {
        metrics::gap(gap.reason);
        self.after = self.position(to);
        room.deliveries += 1;
        out.push(Delivery::Gap { id: SubscriptionId(id), gap, position: self.after });
    }
}

/// What is left of a budget.
pub(crate) struct Room {
    budget: Budget,
    pub(crate) deliveries: usize,
    bytes: usize,
}

impl Room {
    pub(crate) fn is_full(&self) -> bool {
        self.deliveries >= self.budget.deliveries || self.bytes >= self.budget.bytes
    }

    pub(crate) fn spend(&mut self, entry: &Entry) {
        self.deliveries += 1;
        self.bytes += entry.event.draft.data.bytes().len();
    }
}
