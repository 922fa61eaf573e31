//! From the stream to commands.

use std::cell::Cell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use fanfare_session::client::Payload;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Connection, Ending, SIGN_OF_LIFE_BYTES};
use crate::frame::{self, Event, Limits, Violation};
use crate::metrics;

/// How much is read at a time: more than almost every message has.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// What has just been read lies here, for every connection of the thread in turn, until it is decoded: nothing
    /// waits in between.
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What has come from the client.
pub(super) enum Next {
    /// There are commands to carry out.
    Commands,
    /// So much waits to be sent that nothing more is read before some of it is.
    Full,
    /// Nothing; the stream wakes the task when something does.
    Nothing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Makes commands of what has come.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>, replies_bytes_max: usize) -> Result<Next, Ending> {
        if !self.commands.is_empty() {
            return Ok(Next::Commands);
        }
        // What a message of many commands has needed is not kept.
        self.commands = VecDeque::new();
        loop {
            let mut input = std::mem::take(&mut self.input);
            let used = self.decode(&input, replies_bytes_max)?;
            input.advance(used);
            self.input = input;
            if let Some(next) = self.decoded(replies_bytes_max) {
                return Ok(next);
            }
            let mut scratch = READ.take();
            scratch.resize(READ_BYTES, 0);
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            let input = buffer.filled();
            let used = match read {
                Poll::Pending => Ok(None),
                Poll::Ready(Ok(())) if !input.is_empty() => {
                    self.heard = self.heard.saturating_add(u32::try_from(input.len()).unwrap_or(u32::MAX));
                    self.decode(input, replies_bytes_max).map(Some)
                }
                Poll::Ready(_) => Err(Ending::Gone),
            };
            if let Ok(Some(used)) = used {
                self.input = Bytes::copy_from_slice(&input[used..]);
            }
            READ.set(scratch);
            if used?.is_none() {
                return Ok(Next::Nothing);
            }
            if let Some(next) = self.decoded(replies_bytes_max) {
                return Ok(next);
            }
        }
    }

    /// What [`Connection::decode`] has found, if it has not used up its input.
    fn decoded(&mut self, replies_bytes_max: usize) -> Option<Next> {
        if !self.commands.is_empty() {
            return Some(Next::Commands);
        }
        (self.client.outbox().bytes() >= replies_bytes_max).then_some(Next::Full)
    }

    /// Decodes until there are commands, the input is used up, or too much waits to be sent. Says how much was used.
    fn decode(&mut self, input: &[u8], replies_bytes_max: usize) -> Result<usize, Ending> {
        let options = &self.settings.options;
        let message_bytes_max =
            if self.client.is_connected() { options.message_bytes_max } else { options.connect_bytes_max };
        let (fragments_max, requests_max) = (options.fragments_max, options.commands_per_frame_max);
        let limits = Limits { message_bytes_max: message_bytes_max.as_usize(), fragments_max };
        let mut rest = input;
        while let Some(event) = self.decoder.next(&mut rest, limits).map_err(Ending::Violated)? {
            self.settings.metrics.received.increment(1);
            self.heard = self.heard.saturating_add(SIGN_OF_LIFE_BYTES);
            match event {
                Event::Text(_) if self.client.dialect().binary() => return Err(Ending::Violated(Violation::Text)),
                Event::Text(text) => self.read(Payload::Text(&text), requests_max),
                Event::Binary(bytes) => self.read(Payload::Binary(&bytes.into()), requests_max),
                Event::Ping(payload) => {
                    self.client.pinged().map_err(Ending::Verdict)?;
                    self.client.outbox().push(frame::pong(&payload));
                }
                Event::Pong => {}
                Event::Close(close) => return Err(Ending::Closed(close)),
            }
            if !self.commands.is_empty() || self.client.outbox().bytes() >= replies_bytes_max {
                break;
            }
        }
        Ok(input.len() - rest.len())
    }

    fn read(&mut self, message: Payload<'_>, requests_max: usize) {
        let mut requests = Vec::new();
        self.client.dialect().read(message, requests_max, &mut requests);
        self.commands = requests.into();
    }

    /// Counts a violation, for the metrics.
    pub(super) fn violated(violation: Violation) {
        metrics::violation(violation);
        tracing::debug!(violation = violation.as_str(), "websocket protocol violated");
    }
}
