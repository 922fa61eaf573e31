//! Tickets: made, redeemed.

use std::sync::Arc;

use fanfare_model::{Tenant, Timestamp, UserId};

use super::{Auth, Inner, Seen};
use crate::principal::{Credential, Principal};
use crate::refusal::{Reason, Refusal};
use crate::tickets::{Ticket, TicketRequest};
use crate::{Door, Error, Grant, grant};

impl Auth {
    /// Makes a ticket that lets its principal in once more, within `auth.ticket_lifetime`, here, or on any node where nodes
    /// share an engine ([`Options::shared`](crate::Options::shared)); narrowed to the
    /// topics of the request. [`Error::Invalid`] for a principal of a server door: a ticket is for a browser, which a
    /// backend's authority must not get into; [`Auth::ticket_for`] is for those.
    pub fn ticket(&self, request: TicketRequest) -> Result<Ticket, Error> {
        if request.principal.door != Door::Client {
            let sentence = "a backend's own credential makes no ticket; ask for one in the name of a user";
            return Err(Error::Invalid(sentence.to_owned()));
        }
        let (principal, origin) = request.narrowed();
        self.inner.make_ticket(principal, origin)
    }

    /// Makes a ticket for a user of a backend that has no token: in the name of `user`, or of nobody, with `grants`
    /// (in which `{user}` stands for the user), to be shown from `origin` only, if given. A session that comes in with
    /// it lasts `auth.ticket_session` at most, and ends when the user is blocked or its tokens are revoked.
    ///
    /// Whether the caller may give those grants away is the caller's to check: it needs `admin` on every topic.
    pub fn ticket_for(
        &self,
        tenant: Tenant,
        user: Option<UserId>,
        grants: &[Grant],
        origin: Option<String>,
    ) -> Result<Ticket, Error> {
        let inner = &*self.inner;
        let now = inner.clock.now();
        let principal = Principal {
            tenant,
            grants: grant::expand(grants, user.as_ref()),
            user,
            issuer: Arc::clone(&inner.tickets_issuer),
            credential: Credential::Ticket { issued_at: now },
            expires_at: Some(now.plus(inner.ticket_session)),
            info: None,
            subscribe: Vec::new(),
            resumes: None,
            key: None,
            door: Door::Client,
        };
        inner.make_ticket(principal, origin)
    }

    /// Who shows the ticket `text` at `door`, from the page's `origin` if the request has one. Whatever comes of it,
    /// the ticket is used. A refusal is counted and goes to the security log. Where nodes share tickets,
    /// [`Auth::show_ticket`] is to be asked.
    pub fn redeem(&self, door: Door, text: &str, origin: Option<&str>) -> Result<Principal, Refusal> {
        let inner = &*self.inner;
        let mut seen = Seen::default();
        let verdict = inner.redeem(door, text, origin, inner.clock.now(), &mut seen);
        if verdict.is_ok() {
            crate::metrics::ticket("redeemed");
        }
        inner.conclude(door, verdict, &seen)
    }
}

impl Inner {
    fn make_ticket(&self, principal: Principal, origin: Option<String>) -> Result<Ticket, Error> {
        let made = match &self.shared_tickets {
            Some(sealer) => self.seal_ticket(sealer, &principal, origin),
            None => self.tickets.make(principal, origin, self.clock.now()),
        };
        crate::metrics::ticket(if made.is_ok() { "made" } else { "refused" });
        made
    }

    fn redeem(
        &self,
        door: Door,
        text: &str,
        origin: Option<&str>,
        now: Timestamp,
        seen: &mut Seen,
    ) -> Result<Principal, Refusal> {
        if door != Door::Client {
            return Err(Refusal::new(Reason::WrongDoor, "a ticket is for client doors"));
        }
        self.admit_by_ticket(self.tickets.redeem(text, origin, now)?, now, seen)
    }

    /// The principal of a ticket, if it may still come in.
    pub(super) fn admit_by_ticket(
        &self,
        principal: Principal,
        now: Timestamp,
        seen: &mut Seen,
    ) -> Result<Principal, Refusal> {
        seen.note(&principal);
        if let Some(end) = principal.expires_at.filter(|end| *end <= now) {
            return Err(Refusal::new(Reason::Expired, format!("what the ticket was asked for with expired at {end}")));
        }
        if let (Some(key), Some(issuer)) = (principal.key, self.by_name.get(&principal.issuer)) {
            issuer.check_key(key, now)?;
        }
        match &principal.credential {
            Credential::ApiKey { id } if self.keys.is_revoked(id) => {
                Err(Refusal::new(Reason::Revoked, "the API key was revoked"))
            }
            _ => self.revocations.check(&principal).map(|()| principal),
        }
    }
}
