//! Making tails whole: filling holes from the log, and comparing heads with an engine that may lose announcements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare_history::{Error, Head, Page, Read};
use fanfare_lifecycle::Backoff;
use fanfare_model::{GapReason, Position, Tag};
use tokio::time::Instant;

use crate::hub::Hub;
use crate::tail::{Hole, Tail};
use crate::worker::Work;

/// How long what is missing may be on its way, before the log is read for it.
const HOLE_PATIENCE: Duration = Duration::from_millis(2);
/// How often a fill asks again when the log does not show an announced event yet.
const FILL_TRIES: u32 = 20;
/// How soon it asks again, at first and at last.
const FILL_AGAIN: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(400));
/// Topics per call to the engine.
const BATCH: usize = 512;
/// In so many parts the heads of silent topics are compared, spread over the interval.
const PARTS: usize = 8;
/// They are compared no more often than this.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// How long a node waits at most before it compares all heads, so that not all nodes ask an engine at once that has just
/// come back.
const JITTER: Duration = Duration::from_millis(100);
/// How long it waits at most before it asks an engine again that did not answer.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Whether announcements may have been lost since all heads were last compared.
#[derive(Default)]
pub(crate) struct Doubts {
    raised: AtomicBool,
    at_work: AtomicBool,
}

impl Doubts {
    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
    }
}

/// What a look at the log has shown.
enum Found {
    /// Something, or that there is nothing to be found: look whether the tail is whole now.
    News,
    /// Nothing yet.
    Nothing,
}

impl Hub {
    /// Reads the log until the hole in `tail` is closed. One at a time per topic.
    pub(crate) async fn fill(&self, tail: &Arc<Tail>) {
        loop {
            let whole = self.fill_once(tail).await;
            if !tail.filled(whole) {
                return;
            }
        }
    }

    /// Whether the hole was closed.
    async fn fill_once(&self, tail: &Arc<Tail>) -> bool {
        // Not lost, perhaps: announcements of two publishers may overtake each other.
        tokio::time::sleep(HOLE_PATIENCE).await;
        let (mut tries, mut backoff) = (0, FILL_AGAIN);
        while let Some(hole) = tail.hole() {
            match self.look(tail, hole).await {
                Ok(Found::News) => {
                    tries = 0;
                    backoff.reset();
                }
                looked => {
                    if let Err(error) = looked {
                        tracing::warn!(error = %error, "hole could not be filled yet");
                    }
                    // The log may show an announced event a little later.
                    tries += 1;
                    if tries > FILL_TRIES {
                        return self.give_up(tail, hole).await;
                    }
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
        true
    }

    /// Reads on from the end of the tail: the event there once more, because it proves that this is still the log that
    /// the tail has seen.
    async fn look(&self, tail: &Arc<Tail>, hole: Hole) -> Result<Found, Error> {
        let Hole { after, life, heard } = hole;
        let proves = after.tag != Tag::NONE;
        let mut read = self.page(&tail.key, after.offset.saturating_sub(u64::from(proves)));
        read.limit += usize::from(proves);
        let Page { mut events, head, .. } = self.broker()?.read(read).await?;
        if head.last.epoch != after.epoch {
            self.follow_up(tail, tail.rebirth_from(life, &head, GapReason::Epoch, self.ring_limits()));
            return Ok(Found::News);
        }
        let at = events.first().filter(|event| event.offset == after.offset).map(|event| event.position());
        if proves && at.is_some_and(|at| at != after) {
            // Offsets were used again. Nobody knows since when.
            self.follow_up(tail, tail.rebirth_from(life, &head, GapReason::Fork, self.ring_limits()));
            return Ok(Found::News);
        }
        events.retain(|event| event.offset > after.offset);
        if head.last.offset < after.offset {
            // This read may lag behind; heads do not.
            self.compare(std::slice::from_ref(tail)).await?;
            return Ok(if tail.head().1 == life { Found::Nothing } else { Found::News });
        }
        if let Some(next) = events.first().filter(|next| next.prev < after.offset) {
            // What the tail has last is not there any more; the log goes on from what was before.
            let last = Position { offset: next.prev, tag: Tag::NONE, ..after };
            let (head, next) = (Head { last, ..head }, next.offset);
            self.follow_up(tail, tail.rebirth_from(life, &head, GapReason::Fork, self.ring_limits()));
            tail.begin_fill_to(next);
            return Ok(Found::News);
        }
        tail.trust();
        if events.is_empty() {
            if head.last.offset < heard {
                return Ok(Found::Nothing);
            }
            if head.last.offset > after.offset {
                // All of it has been trimmed already.
                self.follow_up(tail, tail.skip_to(&head));
            }
            return Ok(Found::News);
        }
        self.handles.holes.increment(1);
        for event in events {
            let mut done = tail.ingest_from_log(&event, life, self.ring_limits());
            done.fill = false;
            self.follow_up(tail, done);
        }
        Ok(Found::News)
    }

    /// Reads a page of a log that is known to have an event at `offset`: the read itself may lag behind.
    pub(crate) async fn read_up_to(&self, read: Read, offset: u64) -> Result<Arc<Page>, Error> {
        let (mut tries, mut backoff) = (0, FILL_AGAIN);
        loop {
            let page = self.read(read.clone()).await?;
            tries += 1;
            if page.head.last.offset >= offset || tries > FILL_TRIES || self.broker()?.lossless() {
                return Ok(page);
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// The log does not show what was announced. If it says that it is not there, the announcement was void: of a branch
    /// of the log that was lost in a failover.
    async fn give_up(&self, tail: &Arc<Tail>, hole: Hole) -> bool {
        match self.compare(std::slice::from_ref(tail)).await {
            Ok(heads) if heads.iter().all(|head| head.last.offset < hole.heard) => {
                tracing::error!(topic = %tail.key.topic, after = hole.after.offset, heard = hole.heard,
                    "log does not hold announced events");
                tail.trust();
                tail.forget_beyond(heads.first().map_or(hole.after.offset, |head| head.last.offset));
                true
            }
            // Heads are compared again later.
            _ => false,
        }
    }

    /// Compares the heads of some attached topics with the engine's, and sees to what was lost. Gives out the engine's.
    pub(crate) async fn compare(&self, tails: &[Arc<Tail>]) -> Result<Vec<Head>, Error> {
        // Before the call: the engine's heads are not behind what was announced by now, unless it lost its tail.
        let known: Vec<_> = tails.iter().map(|tail| tail.head()).collect();
        let heads = self.broker()?.heads(tails.iter().map(|tail| tail.key.clone()).collect()).await?;
        self.handles.head_checks.increment(heads.len() as u64);
        for ((tail, (known, life)), head) in tails.iter().zip(known).zip(&heads) {
            if let Some(reason) = reborn(known, head.last) {
                self.follow_up(tail, tail.rebirth_from(life, head, reason, self.ring_limits()));
            } else if tail.policy.history && tail.begin_fill_to(head.last.offset) {
                self.inboxes[0].push(Work::Fill(Arc::clone(tail)));
            }
        }
        Ok(heads)
    }

    /// Compares all heads at once, because announcements may have been lost. If that is under way already, it is done
    /// again afterwards.
    pub(crate) async fn resolve_doubts(&self) {
        let Doubts { raised, at_work } = &self.doubts;
        while raised.load(Ordering::SeqCst) && !at_work.swap(true, Ordering::SeqCst) {
            let mut pause = JITTER;
            while raised.swap(false, Ordering::SeqCst) {
                tokio::time::sleep(rand::random_range(Duration::ZERO..=pause)).await;
                if let Err(error) = self.compare_all().await {
                    tracing::warn!(error = %error, "heads could not be compared");
                    raised.store(true, Ordering::SeqCst);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            at_work.store(false, Ordering::SeqCst);
        }
    }

    async fn compare_all(&self) -> Result<(), Error> {
        for part in 0..PARTS {
            let mut tails = self.tails(part, PARTS);
            tails.retain(|tail| tail.attached.initialized());
            for batch in tails.chunks(BATCH) {
                self.compare(batch).await?;
            }
        }
        Ok(())
    }

    /// Compares the heads of topics that were silent since the last time, spread over the interval.
    pub(crate) async fn compare_silent(&self) -> Result<(), Error> {
        let (begin, every) = (Instant::now(), self.options.head_check_interval.get().max(INTERVAL_MIN));
        let each = Duration::from_secs(1) / self.options.head_checks_per_second_max.max(1);
        for part in 0..PARTS {
            let mut tails = self.tails(part, PARTS);
            tails.retain(|tail| tail.attached.initialized() && tail.policy.history && tail.is_silent());
            for batch in tails.chunks(BATCH) {
                let next = Instant::now() + each * u32::try_from(batch.len()).unwrap_or(u32::MAX);
                self.compare(batch).await?;
                tokio::time::sleep_until(next).await;
            }
            let part = u32::try_from(part + 1).unwrap_or(1);
            tokio::time::sleep_until(begin + every.mul_f64(f64::from(part) / PARTS as f64)).await;
        }
        Ok(())
    }
}

/// Why a log that has this head is not the one that was known, if so.
fn reborn(known: Position, head: Position) -> Option<GapReason> {
    if head.epoch != known.epoch {
        return Some(GapReason::Epoch);
    }
    let another = head.offset == known.offset && head.tag != known.tag && ![head.tag, known.tag].contains(&Tag::NONE);
    (another || head.offset < known.offset).then_some(GapReason::Fork)
}
