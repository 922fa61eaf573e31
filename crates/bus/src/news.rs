//! How a reader is told of news: by waking its task, or by serving it in place.

use std::sync::Weak;
use std::task::Waker;

use parking_lot::Mutex;
use smallvec::SmallVec;

/// Someone whom the worker's walk serves in place, without waking a task: a lone event then costs its write and
/// little more.
pub trait Serve: Send + Sync {
    /// There is news for the reader. Called on the reader's worker; must not block. If it cannot serve now, it does
    /// nothing: the news stay marked, and the next [`crate::Reader::poll`] finds them.
    fn serve(&self);
}

/// The part of a reader that workers touch to tell it of news.
#[derive(Default)]
pub(crate) struct News(Mutex<Ready>);

#[derive(Default)]
struct Ready {
    /// Subscriptions with news, each once.
    list: SmallVec<[u32; 2]>,
    whom: Whom,
}

/// Who is told of news.
#[derive(Default)]
enum Whom {
    /// Nobody waits.
    #[default]
    Nobody,
    /// The task that polled last, once.
    Task(Waker),
    /// Someone who needs no waking.
    InPlace(Weak<dyn Serve>),
}

impl News {
    /// There is something for a subscription.
    pub(crate) fn tell(&self, subscription: u32) {
        let mut ready = self.0.lock();
        // The list is as long as the reader's subscriptions at most, and almost always empty or one long.
        if !ready.list.contains(&subscription) {
            ready.list.push(subscription);
        }
        match &ready.whom {
            Whom::Nobody => {}
            Whom::InPlace(by) => {
                let by = by.upgrade();
                drop(ready);
                if let Some(by) = by {
                    by.serve();
                }
            }
            Whom::Task(_) => {
                let whom = std::mem::take(&mut ready.whom);
                drop(ready);
                if let Whom::Task(waker) = whom {
                    waker.wake();
                }
            }
        }
    }

    /// From now on `by` is told, in place of a task.
    pub(crate) fn serve_in_place(&self, by: Weak<dyn Serve>) {
        self.0.lock().whom = Whom::InPlace(by);
    }

    /// Takes what was marked; `waker` is woken by the next news, unless they are served in place.
    pub(crate) fn collect(&self, waker: &Waker) -> SmallVec<[u32; 2]> {
        let mut ready = self.0.lock();
        let expects = match &ready.whom {
            Whom::InPlace(_) => true,
            Whom::Task(known) => known.will_wake(waker),
            Whom::Nobody => false,
        };
        if !expects {
            ready.whom = Whom::Task(waker.clone());
        }
        std::mem::take(&mut ready.list)
    }
}
