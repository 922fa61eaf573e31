//! One kept-alive HTTP connection that publishes. Requests may follow each other before they are answered; the answers
//! come in their order.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};

use anyhow::bail;
use mio::net::TcpStream;

use super::tally::{Tally, record};
use crate::transport::head;

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct Pending {
    /// When the schedule wanted it sent.
    at: u64,
    /// How many events it publishes.
    events: u32,
}

pub(crate) struct Caller {
    pub(crate) stream: TcpStream,
    out: Vec<u8>,
    pending: VecDeque<Pending>,
    rest: Vec<u8>,
}

impl Caller {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, out: Vec::new(), pending: VecDeque::new(), rest: Vec::new() }
    }

    /// Requests without an answer.
    pub(crate) fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Whether the server has closed it while nothing was asked, as servers do with connections that are idle for long.
    pub(crate) fn is_stale(&self) -> bool {
        let is_open = |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected);
        self.pending.is_empty() && self.stream.peek(&mut [0]).map_or_else(|error| !is_open(&error), |read| read == 0)
    }

    /// Sends a request as far as the socket takes it.
    pub(crate) fn call(&mut self, request: &[u8], at: u64, events: u32) -> std::io::Result<()> {
        self.pending.push_back(Pending { at, events });
        self.out.extend_from_slice(request);
        self.write()
    }

    pub(crate) fn write(&mut self) -> std::io::Result<()> {
        let mut written = 0;
        while written < self.out.len() {
            match self.stream.write(&self.out[written..]) {
                Ok(n) => written += n,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(error),
            }
        }
        self.out.drain(..written);
        Ok(())
    }

    /// Reads answers; returns `false` when the server has closed the connection.
    pub(crate) fn readable(&mut self, scratch: &mut [u8], now: u64, tally: &mut Tally) -> anyhow::Result<bool> {
        let mut open = true;
        loop {
            match self.stream.read(scratch) {
                Ok(0) => {
                    open = false;
                    break;
                }
                Ok(n) => self.rest.extend_from_slice(&scratch[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // What came before is an answer all the same.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    open = false;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut taken = 0;
        while let Some((head, body)) = head::whole(&self.rest[taken..])? {
            taken += head.length;
            open &= !head.close;
            let Some(pending) = self.pending.pop_front() else { bail!("an answer to nothing came") };
            record(&mut tally.acknowledge, now.saturating_sub(pending.at));
            if matches!(head.status, 200..=206) {
                tally.published += u64::from(pending.events);
            } else {
                tally.unpublished += u64::from(pending.events);
                let body = String::from_utf8_lossy(&body);
                tally.complain(|| format!("publishing failed with status {}: {}", head.status, body.trim()));
            }
        }
        self.rest.drain(..taken);
        Ok(open)
    }

    /// Counts what was never answered.
    pub(crate) fn give_up(&mut self, why: &str, tally: &mut Tally) {
        for pending in self.pending.drain(..) {
            tally.unpublished += u64::from(pending.events);
            tally.complain(|| format!("a publisher's connection ended: {why}"));
        }
        self.out.clear();
        self.rest.clear();
    }
}
