//! All event loops together: one in this thread, with the publishers, and where `--threads` asks for more, others that
//! hold readers only. Everything below speaks of the crowd and does not know how many there are.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use mio::Waker;
use parking_lot::Mutex;

use super::plan::Plan;
use super::swarm::{Digest, Order, Swarm};
use super::tally::{Tally, histogram};
use crate::verify::Violations;

/// Orders that may wait for another thread.
const ORDERS: usize = 4096;
/// How long another thread waits for sockets before it looks for orders without having been woken.
const WAIT: Duration = Duration::from_millis(100);

pub(crate) struct Crowd {
    /// The loop of this thread.
    pub(crate) local: Swarm,
    others: Vec<Other>,
    next_id: u32,
}

struct Other {
    /// Absent when the thread shall end.
    orders: Option<SyncSender<Order>>,
    waker: Waker,
    tally: Arc<Mutex<Tally>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Crowd {
    /// So many event loops; `under_way_max` connections may be on their way at once, in all.
    pub(crate) fn new(threads: usize, under_way_max: usize) -> anyhow::Result<Self> {
        let each = (under_way_max / threads.max(1)).max(1);
        let others = (1..threads.max(1)).map(|_| Other::start(each)).collect::<anyhow::Result<_>>()?;
        Ok(Self { local: Swarm::new(each)?, others, next_id: 0 })
    }

    /// Orders a new reader of a topic, and returns its number.
    pub(crate) fn dial(&mut self, plan: &Arc<Plan>, topic: u32) -> anyhow::Result<u32> {
        let id = self.next_id;
        self.next_id += 1;
        self.order(id, Order::Dial { id, topic, plan: Arc::clone(plan) })?;
        Ok(id)
    }

    /// Orders something of the reader with this number.
    pub(crate) fn order(&mut self, id: u32, order: Order) -> anyhow::Result<()> {
        match id as usize % (1 + self.others.len()) {
            0 => self.local.order(order),
            other => self.others[other - 1].order(order),
        }
    }

    /// Cuts every connection.
    pub(crate) fn cut_all(&mut self) -> anyhow::Result<()> {
        self.local.order(Order::CutAll)?;
        self.others.iter().try_for_each(|other| other.order(Order::CutAll))
    }

    /// Pairs of readers of one topic that saw as many events, but not in the same order.
    pub(crate) fn disagreements(&mut self) -> anyhow::Result<u64> {
        let (reply, digests) = sync_channel(1 + self.others.len());
        self.local.order(Order::Digests(reply.clone()))?;
        self.others.iter().try_for_each(|other| other.order(Order::Digests(reply.clone())))?;
        drop(reply);
        let mut all: Vec<Digest> = digests.iter().flatten().collect();
        all.sort_unstable();
        Ok(all.windows(2).filter(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1) && pair[0] != pair[1]).count()
            as u64)
    }

    /// Does what is due in this thread, waiting for it at most so long.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        for other in &mut self.others {
            if other.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                let thread = other.thread.take().context("a thread has ended before")?;
                thread.join().map_err(|_| anyhow::anyhow!("a thread of the generator panicked"))??;
                bail!("a thread of the generator has ended");
            }
        }
        // What happens in other threads does not end the wait of this one.
        let wait = if self.others.is_empty() { wait } else { wait.min(Duration::from_millis(1)) };
        self.local.turn(wait)
    }

    /// Turns until `done`, at most for `patience`; returns whether it came.
    pub(crate) fn turn_until(
        &mut self,
        patience: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> anyhow::Result<bool> {
        let deadline = Instant::now() + patience;
        while !done(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.turn(left.min(Duration::from_millis(100)))?;
        }
        Ok(true)
    }

    /// A count over all threads.
    pub(crate) fn sum(&self, count: impl Fn(&Tally) -> u64) -> u64 {
        self.tallies().map(|tally| count(&tally.lock())).sum()
    }

    pub(crate) fn violations(&self) -> Violations {
        let mut sum = Violations::default();
        self.tallies().for_each(|tally| sum += tally.lock().violations);
        sum
    }

    /// The first thing that went wrong anywhere.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.tallies().find_map(|tally| tally.lock().complaint.clone())
    }

    /// Takes out what was recorded in a histogram since the last time.
    pub(crate) fn take(&self, which: impl Fn(&mut Tally) -> &mut Histogram<u64>) -> anyhow::Result<Histogram<u64>> {
        let mut all = histogram();
        for tally in self.tallies() {
            let mut tally = tally.lock();
            all.add(&*which(&mut tally))?;
            which(&mut tally).reset();
        }
        Ok(all)
    }

    fn tallies(&self) -> impl Iterator<Item = &Arc<Mutex<Tally>>> {
        std::iter::once(&self.local.tally).chain(self.others.iter().map(|other| &other.tally))
    }
}

impl Other {
    fn start(under_way_max: usize) -> anyhow::Result<Self> {
        let mut swarm = Swarm::new(under_way_max)?;
        let waker = swarm.waker()?;
        let tally = Arc::clone(&swarm.tally);
        let (orders, inbox) = sync_channel(ORDERS);
        let thread = std::thread::Builder::new().name("readers".to_owned()).spawn(move || live(&mut swarm, &inbox))?;
        Ok(Self { orders: Some(orders), waker, tally, thread: Some(thread) })
    }

    fn order(&self, order: Order) -> anyhow::Result<()> {
        let orders = self.orders.as_ref().context("the thread is ending")?;
        orders.send(order).map_err(|_| anyhow::anyhow!("a thread of the generator has ended"))?;
        Ok(self.waker.wake()?)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn live(swarm: &mut Swarm, inbox: &Receiver<Order>) -> anyhow::Result<()> {
    loop {
        loop {
            match inbox.try_recv() {
                Ok(order) => swarm.order(order)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        swarm.turn(WAIT)?;
    }
}
