//! Writing to the socket: at once what it takes, and at most one batch that waits.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// What the socket did not take.
#[derive(Default)]
pub(super) struct Output {
    waiting: VecDeque<Bytes>,
}

impl Output {
    pub(super) fn new(first: Bytes) -> Self {
        Self { waiting: VecDeque::from([first]) }
    }

    /// Whether something waits until the socket takes more.
    pub(super) fn is_blocked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().map(Bytes::len).sum()
    }

    /// Writes what waits. Ready when nothing does; pending if the task is woken when the socket takes more. Says in
    /// `took` whether the socket took anything.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut TcpStream,
        took: &mut bool,
    ) -> Poll<io::Result<()>> {
        while let Some(next) = self.waiting.front_mut() {
            match std::task::ready!(Pin::new(&mut *socket).poll_write(cx, next))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => next.advance(count),
            }
            *took = true;
            if next.is_empty() {
                self.waiting.pop_front();
            }
        }
        if self.waiting.capacity() > 0 {
            // A stream that is not blocked owns no buffer.
            self.waiting = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what waits.
    pub(super) async fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx, socket, &mut false)).await
    }

    /// Writes these parts in one call; nothing may be waiting. What the socket does not take then waits: a copy of
    /// what is `own`, a share of the rest.
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut TcpStream,
        own: &[u8],
        shared: &Bytes,
        end: &'static [u8],
    ) -> io::Result<()> {
        debug_assert!(!self.is_blocked(), "order");
        let socket = Pin::new(socket);
        let written = match (own, &shared[..], end) {
            (only, [], []) | ([], only, []) => socket.poll_write(cx, only),
            (own, shared, end) => {
                socket.poll_write_vectored(cx, &[IoSlice::new(own), IoSlice::new(shared), IoSlice::new(end)])
            }
        };
        let mut taken = match written {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        // How much of a part of this length was taken.
        let mut of = |length: usize| {
            let count = taken.min(length);
            taken -= count;
            count
        };
        let (own, shared, end) = (&own[of(own.len())..], shared.slice(of(shared.len())..), &end[of(end.len())..]);
        if !own.is_empty() {
            self.waiting.push_back(Bytes::copy_from_slice(own));
        }
        for rest in [shared, Bytes::from_static(end)] {
            if !rest.is_empty() {
                self.waiting.push_back(rest);
            }
        }
        Ok(())
    }
}
