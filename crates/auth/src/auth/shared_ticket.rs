//! Tickets that any node takes: sealed, so that no node keeps them, and good once because the node that is shown one claims
//! it where all nodes look.

use std::sync::Arc;
use std::time::Duration;

use fanfare_model::Timestamp;

use super::{Auth, Inner, Seen};
use crate::principal::Principal;
use crate::refusal::{Reason, Refusal};
use crate::resume::{Content, Sealer};
use crate::tickets::{self, Ticket};
use crate::{Door, Error};

/// How much the clocks of two nodes may differ without a ticket being good twice.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// A ticket that was shown and is genuine. Whether it was used before is to be found out: whoever claims
/// [`Shown::name`] first, on all nodes, is let in by [`Auth::redeem_shown`].
pub struct Shown {
    content: Content,
    name: String,
    keep: Duration,
}

impl Shown {
    /// What is to be claimed: letters and digits that tell this ticket from every other, and nothing of what it says.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For how long the claim is to be kept: until nobody would take the ticket any more.
    pub fn keep(&self) -> Duration {
        self.keep
    }
}

impl Auth {
    /// Whether tickets are for any node ([`Options::shared`](crate::Options::shared)).
    pub fn shares_tickets(&self) -> bool {
        self.inner.shared_tickets.is_some()
    }

    /// The ticket `text`, shown at `door`, if it is one that a node with the same keys made, and not too old. A refusal is
    /// counted and goes to the security log.
    pub fn show_ticket(&self, door: Door, text: &str) -> Result<Shown, Refusal> {
        let inner = &*self.inner;
        let shown = inner.open_ticket(door, text, inner.clock.now());
        shown.map_err(|refusal| inner.refuse(door, refusal, &Seen::default()))
    }

    /// Whom a ticket lets in that was shown from the page's `origin`, if the request has one. `first`: its name was
    /// claimed, and by nobody before. A refusal is counted and goes to the security log.
    pub fn redeem_shown(
        &self,
        door: Door,
        shown: Shown,
        origin: Option<&str>,
        first: bool,
    ) -> Result<Principal, Refusal> {
        let inner = &*self.inner;
        let mut seen = Seen::default();
        let verdict = if first { inner.redeem_shown(door, shown.content, origin, &mut seen) } else { Err(no_ticket()) };
        if verdict.is_ok() {
            crate::metrics::ticket("redeemed");
        }
        inner.conclude(door, verdict, &seen)
    }
}

impl Inner {
    pub(super) fn seal_ticket(
        &self,
        sealer: &Sealer,
        principal: &Principal,
        origin: Option<String>,
    ) -> Result<Ticket, Error> {
        let until = self.clock.now().plus(self.ticket_lifetime);
        let content = Content::of(principal, None, until).map(|content| Content { origin, ..content });
        let plain = content.and_then(|content| serde_json::to_vec(&content).ok());
        let text = plain.and_then(|plain| sealer.seal(plain)).ok_or(Error::Signing)?;
        if text.len() > self.token_bytes_max {
            let (bytes, most) = (text.len(), self.token_bytes_max);
            let sentence =
                format!("a ticket with these grants has {bytes} bytes; {most} are allowed (auth.token_bytes_max)");
            return Err(Error::Invalid(sentence));
        }
        Ok(Ticket { text, expires_in: self.ticket_lifetime })
    }

    fn open_ticket(&self, door: Door, text: &str, now: Timestamp) -> Result<Shown, Refusal> {
        if door != Door::Client {
            return Err(Refusal::new(Reason::WrongDoor, "a ticket is for client doors"));
        }
        let sealer = self.shared_tickets.as_ref().filter(|_| text.len() <= self.token_bytes_max);
        let content: Content = sealer
            .and_then(|sealer| sealer.open(text))
            .and_then(|plain| serde_json::from_slice(&plain).ok())
            .filter(|content: &Content| content.until > now)
            .ok_or_else(no_ticket)?;
        let keep = content.until.since(now).saturating_add(SKEW);
        Ok(Shown { content, name: tickets::name(text), keep })
    }

    fn redeem_shown(
        &self,
        door: Door,
        mut content: Content,
        origin: Option<&str>,
        seen: &mut Seen,
    ) -> Result<Principal, Refusal> {
        if content.origin.is_some() && content.origin.as_deref() != origin {
            return Err(no_ticket());
        }
        let now = self.clock.now();
        let (grants, subscribe) = (Arc::clone(&content.grants), std::mem::take(&mut content.subscribe));
        let principal = self.principal_again(content, door, now, seen)?;
        // No more than the ticket was made for, whatever its maker may do now.
        self.admit_by_ticket(Principal { subscribe, grants, ..principal }, now, seen)
    }
}

fn no_ticket() -> Refusal {
    let sentence = "there is no such ticket: it was used, is too old, or is for another origin";
    Refusal::new(Reason::UnknownTicket, sentence)
}
