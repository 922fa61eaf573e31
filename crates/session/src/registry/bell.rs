//! How the registry reaches a session.

use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use metrics::counter;

use super::Nudge;
use crate::{Goodbye, metrics as names};

/// Holds at most one of each nudge for a session.
#[derive(Default)]
pub(super) struct Bell {
    /// The nudges that wait, a bit each; below them 0, or 1 + the index in [`Goodbye::ALL`] of the end.
    rung: AtomicU16,
    waker: AtomicWaker,
}

const END: u16 = 0xff;
const PING: u16 = 0x100;
const ORDERS: u16 = 0x200;
const EXPIRING: u16 = 0x400;
const RENEW: u16 = 0x800;
/// The nudges with their bits, in the order in which they are told.
const NUDGES: [(u16, Nudge); 4] =
    [(EXPIRING, Nudge::Expiring), (RENEW, Nudge::Renew), (ORDERS, Nudge::Orders), (PING, Nudge::Ping)];

impl Bell {
    pub(super) fn ping(&self) {
        self.ring(PING);
    }

    pub(super) fn orders(&self) {
        self.ring(ORDERS);
    }

    pub(super) fn expiring(&self) {
        self.ring(EXPIRING);
    }

    pub(super) fn renew(&self) {
        self.ring(RENEW);
    }

    fn ring(&self, nudge: u16) {
        if self.rung.fetch_or(nudge, Ordering::AcqRel) & nudge == 0 {
            self.waker.wake();
        }
    }

    /// Whether it is over, and with what verdict.
    fn ended(&self) -> Option<Goodbye> {
        let ends = self.rung.load(Ordering::Acquire) & END;
        Goodbye::ALL.get(usize::from(ends).wrapping_sub(1)).copied()
    }

    /// The first end is the one that counts.
    pub(super) fn end(&self, goodbye: Goodbye) {
        let index = Goodbye::ALL.iter().position(|g| *g == goodbye).unwrap_or(0);
        let ends = u16::try_from(index + 1).unwrap_or(1);
        let first = self
            .rung
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |rung| (rung & END == 0).then_some(rung | ends));
        if first.is_ok() {
            counter!(names::ENDED, "reason" => goodbye.reason()).increment(1);
            self.waker.wake();
        }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Nudge> {
        self.waker.register(cx.waker());
        if let Some(goodbye) = self.ended() {
            return Poll::Ready(Nudge::End(goodbye));
        }
        for (bit, nudge) in NUDGES {
            if self.rung.fetch_and(!bit, Ordering::AcqRel) & bit != 0 {
                return Poll::Ready(nudge);
            }
        }
        Poll::Pending
    }

    /// Waits for the end only; other nudges stay for the next [`Bell::poll`].
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Goodbye> {
        self.waker.register(cx.waker());
        self.ended().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nudge_is_told_once_and_the_first_end_always() {
        let (bell, mut cx) = (Bell::default(), Context::from_waker(std::task::Waker::noop()));
        assert!(bell.poll(&mut cx).is_pending());
        for ring in [Bell::ping, Bell::orders, Bell::renew, Bell::expiring] {
            ring(&bell);
            ring(&bell);
        }
        assert!(bell.poll_end(&mut cx).is_pending());
        let told: Vec<_> = std::iter::from_fn(|| match bell.poll(&mut cx) {
            Poll::Ready(nudge) => Some(nudge),
            Poll::Pending => None,
        })
        .collect();
        assert_eq!(told, [Nudge::Expiring, Nudge::Renew, Nudge::Orders, Nudge::Ping]);
        for goodbye in Goodbye::ALL {
            let bell = Bell::default();
            bell.ping();
            bell.end(goodbye);
            bell.end(Goodbye::Draining);
            assert_eq!(bell.poll(&mut cx), Poll::Ready(Nudge::End(goodbye)));
            assert_eq!(bell.poll(&mut cx), Poll::Ready(Nudge::End(goodbye)));
            assert_eq!(bell.poll_end(&mut cx), Poll::Ready(goodbye));
        }
    }
}
