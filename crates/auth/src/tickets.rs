//! Tickets: credentials that are good once and for seconds, for what cannot send a header (`EventSource`).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use fanfare_model::Timestamp;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::principal::Principal;
use crate::refusal::{Reason, Refusal};
use crate::{Door, Error, Pattern, api_key};

/// What every ticket begins with, so that it is told from other credentials.
pub const PREFIX: &str = "ft1.";

/// Characters of the random part: 43 of 62 kinds are 256 bits.
const LENGTH: usize = 43;

/// What a ticket to be made shall be.
#[derive(Debug, Clone)]
pub struct TicketRequest {
    /// Who asks, and whom the ticket lets in.
    pub principal: Principal,
    /// The only origin (`https://app.example`) that it may be shown from; any if absent.
    pub origin: Option<String>,
    /// The only topics that it is for, of those the principal may see; all of those if absent.
    pub topics: Option<Vec<Pattern>>,
}

/// A ticket that was just made.
#[derive(Clone)]
pub struct Ticket {
    /// The ticket, `ft1.…`. It is nowhere else.
    pub text: String,
    /// For how long it may be shown, once.
    pub expires_in: Duration,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// The tickets that nobody has used yet.
pub(crate) struct Tickets {
    lifetime: Duration,
    max: usize,
    unused: Mutex<Unused>,
}

/// By the hash of the text, so that the memory of a process does not hold what opens its door.
type Hash = [u8; 32];

#[derive(Default)]
struct Unused {
    tickets: HashMap<Hash, Entry>,
    /// In the order in which they end, those that were used meanwhile as well.
    ends: VecDeque<(Timestamp, Hash)>,
}

struct Entry {
    principal: Principal,
    origin: Option<String>,
    until: Timestamp,
}

impl Tickets {
    pub(crate) fn new(lifetime: Duration, max: usize) -> Self {
        Self { lifetime, max, unused: Mutex::default() }
    }

    /// Makes a ticket that lets `principal` in.
    pub(crate) fn make(&self, principal: Principal, origin: Option<String>, now: Timestamp) -> Result<Ticket, Error> {
        let text = format!("{PREFIX}{}", api_key::random_text(LENGTH));
        let (hash, until) = (hash(&text), now.plus(self.lifetime));
        let mut unused = self.unused.lock();
        unused.forget_ended(now);
        // Counted with those that were used within their time, which bounds the queue as well.
        if unused.ends.len() >= self.max {
            return Err(Error::TooManyTickets(self.max));
        }
        unused.tickets.insert(hash, Entry { principal, origin, until });
        unused.ends.push_back((until, hash));
        Ok(Ticket { text, expires_in: self.lifetime })
    }

    /// Whom the ticket `text`, shown from `origin`, lets in. Whatever comes of it, it is used.
    pub(crate) fn redeem(&self, text: &str, origin: Option<&str>, now: Timestamp) -> Result<Principal, Refusal> {
        let found = self.unused.lock().tickets.remove(&hash(text));
        found
            .filter(|entry| entry.until > now)
            .filter(|entry| entry.origin.is_none() || entry.origin.as_deref() == origin)
            .map(|entry| entry.principal)
            .ok_or_else(|| {
                let sentence = "there is no such ticket: it was used, is too old, or is for another origin";
                Refusal::new(Reason::UnknownTicket, sentence)
            })
    }
}

impl Unused {
    fn forget_ended(&mut self, now: Timestamp) {
        while let Some((_, hash)) = self.ends.pop_front_if(|(until, _)| *until <= now) {
            self.tickets.remove(&hash);
        }
    }
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

/// What tells the ticket `text` from every other, and does not open its door.
pub(crate) fn name(text: &str) -> String {
    use std::fmt::Write as _;
    let mut name = String::with_capacity(64);
    for byte in hash(text) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

impl TicketRequest {
    /// Whom the ticket lets in: the principal, with what the ticket is for.
    pub(crate) fn narrowed(self) -> (Principal, Option<String>) {
        let mut principal = Principal { resumes: None, door: Door::Client, ..self.principal };
        if let Some(topics) = self.topics {
            let topics: Vec<_> = topics.iter().filter_map(|pattern| pattern.expand(principal.user.as_ref())).collect();
            principal.grants = principal.grants.iter().map(|grant| grant.within(&topics)).collect();
            principal.subscribe.retain(|topic| topics.iter().any(|pattern| pattern.matches(topic)));
        }
        (principal, self.origin)
    }
}
