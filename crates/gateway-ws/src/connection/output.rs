//! From the outbox to the stream.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Connection, Ending};

/// A frame of at least so many bytes is written as it lies; smaller ones are put together for one write.
const ALONE_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where frames are put together for one write, for every connection of the thread in turn.
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Writes until nothing waits or the stream takes no more; then it wakes the task when it does.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        let done = self.write(cx);
        let waiting = self.client.outbox().bytes();
        if waiting != self.waiting {
            self.count_waiting(waiting);
        }
        done
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        let batch = self.settings.options.write_batch.as_usize();
        let outbox = self.client.outbox();
        if outbox.is_empty() && !self.unflushed {
            return Ok(());
        }
        while !outbox.is_empty() {
            let mut scratch = WRITE.take();
            let written = Pin::new(&mut self.stream).poll_write(cx, outbox.next(&mut scratch, ALONE_BYTES, batch));
            WRITE.set(scratch);
            match written {
                Poll::Ready(Ok(count)) if count > 0 => {
                    outbox.sent(count);
                    self.blocked_since = None;
                    self.settings.metrics.writes.increment(1);
                }
                Poll::Ready(_) => return Err(Ending::Gone),
                Poll::Pending => {
                    self.blocked_since.get_or_insert_with(Instant::now);
                    return Ok(());
                }
            }
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                self.blocked_since = None;
            }
            Poll::Ready(Err(_)) => return Err(Ending::Gone),
            Poll::Pending => {
                self.unflushed = true;
                self.blocked_since.get_or_insert_with(Instant::now);
            }
        }
        Ok(())
    }

    /// Whether something waits that the stream does not take.
    pub(super) fn is_blocked(&mut self) -> bool {
        self.unflushed || !self.client.outbox().is_empty()
    }
}

impl<S> Connection<S> {
    fn count_waiting(&mut self, waiting: usize) {
        let before = std::mem::replace(&mut self.waiting, waiting);
        self.settings.metrics.waiting.increment(waiting as f64 - before as f64);
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.count_waiting(0);
    }
}
