//! How the registry reaches a session.

use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use metrics::counter;

use super::Nudge;
use crate::{Goodbye, metrics as names};

/// Holds at most one of each nudge for a session.
#[derive(Default)]
pub(super) struct Bell {
    /// 0: nothing; 1: ping; 2 + index in [`Goodbye::ALL`]: end.
    rung: AtomicU8,
    waker: AtomicWaker,
}

const PING: u8 = 1;
const END: u8 = 2;

impl Bell {
    pub(super) fn ping(&self) {
        // An end is never overwritten by a ping.
        if self.rung.compare_exchange(0, PING, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.waker.wake();
        }
    }

    pub(super) fn end(&self, goodbye: Goodbye) {
        let index = Goodbye::ALL.iter().position(|g| *g == goodbye).unwrap_or(0);
        let ends = u8::try_from(index).unwrap_or(0) + END;
        let first = self.rung.fetch_update(Ordering::AcqRel, Ordering::Acquire, |rung| (rung < END).then_some(ends));
        if first.is_ok() {
            counter!(names::ENDED, "reason" => goodbye.reason()).increment(1);
            self.waker.wake();
        }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Nudge> {
        self.waker.register(cx.waker());
        match self.rung.load(Ordering::Acquire) {
            0 => Poll::Pending,
            PING => {
                // Loses against an end that comes in between, which is then seen by the next poll.
                let cleared = self.rung.compare_exchange(PING, 0, Ordering::AcqRel, Ordering::Acquire);
                if cleared.is_err() { self.poll(cx) } else { Poll::Ready(Nudge::Ping) }
            }
            ends => {
                let goodbye = Goodbye::ALL.get(usize::from(ends - END)).copied().unwrap_or(Goodbye::Internal);
                Poll::Ready(Nudge::End(goodbye))
            }
        }
    }
}
