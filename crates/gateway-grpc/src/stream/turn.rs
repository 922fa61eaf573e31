//! What a stream says or does next.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use fanfare_bus::Budget;
use fanfare_dialect_proto as dialect;
use fanfare_model::Kind;
use fanfare_session::client::{Client, Incoming};
use fanfare_session::{Goodbye, Nudge};
use futures_util::Stream as _;
use tonic::{Code, Status};

use super::{State, elapsed};
use crate::Options;
use crate::fault::Fault;

/// The most deliveries of one turn, whatever their size.
const DELIVERIES_MAX: usize = 1024;

/// What comes next.
pub(super) enum Turn {
    /// This goes out.
    Say(Bytes),
    /// This is to be done before anything else.
    CarryOut(Incoming),
    /// It is over, with this verdict.
    Leave(Goodbye),
    /// It is over without one.
    End(Status),
    /// Nothing before the task is woken, for which everything is set.
    Wait,
}

impl State {
    pub(super) fn turn(&mut self, client: &mut Client, cx: &mut Context<'_>, options: &Options) -> Turn {
        loop {
            if !client.outbox().is_empty() {
                return Turn::Say(client.outbox().take(options.write_batch.as_usize()));
            }
            if let Some(turn) = self.attend(client, cx) {
                return turn;
            }
            let commands_first = std::mem::take(&mut self.commands_first);
            if commands_first && let Some(turn) = self.receive(client, cx) {
                return turn;
            }
            let budget = Budget { deliveries: DELIVERIES_MAX, bytes: options.write_batch.as_usize() };
            match client.poll_deliver(cx, budget) {
                Poll::Ready(Ok(())) => {
                    self.commands_first = true;
                    continue;
                }
                Poll::Ready(Err(goodbye)) => return Turn::Leave(goodbye),
                Poll::Pending => {}
            }
            if !commands_first && let Some(turn) = self.receive(client, cx) {
                return turn;
            }
            if !client.outbox().is_empty() || client.has_chores() {
                continue;
            }
            return match &self.until_live {
                Some(listener) if listener.has_caught_up() => Turn::End(Status::new(Code::Ok, "")),
                _ => Turn::Wait,
            };
        }
    }

    /// What the registry and the clock want.
    fn attend(&mut self, client: &mut Client, cx: &mut Context<'_>) -> Option<Turn> {
        while let Poll::Ready(nudge) = client.poll_nudge(cx) {
            match nudge {
                Nudge::Ping => client.ping(),
                Nudge::End(goodbye) => return Some(Turn::Leave(goodbye)),
                // The client has seen to the others itself.
                _ => {}
            }
        }
        if client.has_chores() {
            return Some(Turn::CarryOut(Incoming::Chores));
        }
        if elapsed(self.deadline.as_mut(), cx) {
            return Some(Turn::End(Fault::new(Kind::Timeout, "the call's own deadline has come").into()));
        }
        if client.is_connected() {
            self.arriving = None;
        } else if elapsed(self.arriving.as_mut().map(|(timer, _)| timer), cx) {
            // One that says nothing may come back: the network may have kept its words.
            return Some(Turn::Leave(Goodbye::Silent));
        }
        None
    }

    /// What the client says.
    fn receive(&mut self, client: &Client, cx: &mut Context<'_>) -> Option<Turn> {
        let commands = self.commands.as_mut()?;
        match Pin::new(&mut **commands).poll_next(cx) {
            Poll::Pending => None,
            Poll::Ready(Some(Ok(message))) => Some(Turn::CarryOut(dialect::read(&message))),
            Poll::Ready(Some(Err(status))) => Some(match status.code() {
                Code::OutOfRange | Code::ResourceExhausted => Turn::Leave(Goodbye::TooLarge),
                Code::Internal => Turn::Leave(Goodbye::BadRequest),
                // The client is gone.
                _ => Turn::End(status),
            }),
            // It says nothing more and may go on listening, if it has said who it is.
            Poll::Ready(None) => {
                self.commands = None;
                (!client.is_connected()).then_some(Turn::Leave(Goodbye::Unauthenticated))
            }
        }
    }
}
