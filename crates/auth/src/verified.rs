//! Tokens of backends that were verified lately.
//!
//! A backend shows the same token with every request, and verifying it costs more than the rest of a small publish: a
//! few microseconds with a shared secret, a hundred with RSA. A client shows its own once a connection, so those are
//! not kept.

use std::collections::HashMap;

use fanfare_model::Timestamp;
use parking_lot::Mutex;

use crate::principal::Principal;

/// Who showed which token, for a bounded number of tokens.
pub(crate) struct Verified {
    max: usize,
    generations: Mutex<Generations>,
}

/// When the young are as many as may be, they become the old, and the old are forgotten unless they were shown again
/// meanwhile: the tokens in use stay, whatever comes and goes beside them.
#[derive(Default)]
struct Generations {
    young: HashMap<Box<str>, Entry>,
    old: HashMap<Box<str>, Entry>,
}

#[derive(Clone)]
struct Entry {
    principal: Principal,
    /// Until when it lets somebody in, the leeway of its issuer included.
    until: Timestamp,
}

impl Verified {
    /// Keeps up to `max` tokens; 0 keeps none.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, generations: Mutex::default() }
    }

    /// Who showed this very token before, if it still lets them in.
    pub(crate) fn find(&self, token: &str, now: Timestamp) -> Option<Principal> {
        let mut generations = self.generations.lock();
        if let Some((token, entry)) = generations.old.remove_entry(token) {
            generations.keep(token, entry, self.max);
        }
        generations.young.get(token).filter(|entry| entry.until > now).map(|entry| entry.principal.clone())
    }

    /// Remembers a token that was verified and lets its bearer in until `until`.
    pub(crate) fn remember(&self, token: &str, principal: &Principal, until: Timestamp) {
        let entry = Entry { principal: principal.clone(), until };
        self.generations.lock().keep(token.into(), entry, self.max);
    }
}

impl Generations {
    fn keep(&mut self, token: Box<str>, entry: Entry, max: usize) {
        let half = max.div_ceil(2);
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        if half > 0 {
            self.young.insert(token, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Auth, Door, Issuer, KeySource, MintRequest, Options, Secret};
    use fanfare_model::SystemClock;
    use std::sync::Arc;

    fn somebody() -> Principal {
        let secret = Secret::new("a secret of a test that is long enough for HS256");
        let issuer =
            Issuer { keys: vec![KeySource { secret: Some(secret), ..KeySource::default() }], ..Issuer::default() };
        let options = Options { issuers: [("app".to_owned(), issuer)].into(), ..Options::default() };
        let auth = Auth::new(options, Arc::new(SystemClock)).unwrap();
        let token = auth.mint(MintRequest { door: Door::Server, ..MintRequest::default() }).unwrap();
        auth.authenticate(Door::Server, &token).unwrap()
    }

    #[test]
    fn the_tokens_in_use_stay_and_the_number_is_bounded() {
        let (verified, principal) = (Verified::new(8), somebody());
        let (now, later) = (Timestamp::from_micros(1), Timestamp::from_micros(2));
        verified.remember("in use", &principal, later);
        for other in 0..100 {
            verified.remember(&other.to_string(), &principal, later);
            assert!(verified.find("in use", now).is_some());
            let generations = verified.generations.lock();
            assert!(generations.young.len() + generations.old.len() <= 8);
        }
        assert!(verified.find("50", now).is_none());
    }

    #[test]
    fn a_token_ends_when_it_ends() {
        let (verified, principal) = (Verified::new(8), somebody());
        let at = Timestamp::from_micros(5);
        verified.remember("token", &principal, at);
        assert!(verified.find("token", Timestamp::from_micros(4)).is_some());
        assert!(verified.find("token", at).is_none());
    }

    #[test]
    fn none_are_kept_if_none_may_be() {
        let verified = Verified::new(0);
        verified.remember("token", &somebody(), Timestamp::from_micros(5));
        assert!(verified.find("token", Timestamp::from_micros(4)).is_none());
    }
}
