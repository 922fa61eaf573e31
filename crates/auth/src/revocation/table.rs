//! The revocations in force, for looking up.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use fanfare_model::{Tenant, Timestamp, UserId};

use super::{Revocation, Revoked, RevokedPage};
use crate::principal::{Credential, Principal};
use crate::refusal::{Reason, Refusal};

/// By tenant, so that an id of one means nothing to another.
#[derive(Clone, Default)]
pub(super) struct Table {
    tenants: HashMap<Tenant, Entries>,
}

#[derive(Clone, Default)]
struct Entries {
    tokens: BTreeMap<Box<str>, Span>,
    /// By user: the moment before which tokens are void.
    users: BTreeMap<UserId, (Timestamp, Span)>,
    blocked: BTreeMap<UserId, Span>,
}

/// When something was revoked, and until when that is kept.
#[derive(Clone, Copy)]
struct Span {
    at: Timestamp,
    until: Option<Timestamp>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.tenants.values().map(|entries| entries.tokens.len() + entries.users.len() + entries.blocked.len()).sum()
    }

    /// Refuses `principal` if its token, or its user, was revoked.
    pub(super) fn check(&self, principal: &Principal) -> Result<(), Refusal> {
        let Some(entries) = self.tenants.get(&principal.tenant) else { return Ok(()) };
        let (id, issued_at) = match &principal.credential {
            Credential::Token { id, issued_at } => (id.as_deref(), *issued_at),
            Credential::Ticket { issued_at } => (None, Some(*issued_at)),
            Credential::ApiKey { .. } | Credential::Anonymous => return Ok(()),
        };
        let Some(user) = &principal.user else { return entries.check_token(id) };
        if entries.blocked.contains_key(user) {
            return Err(Refusal::new(Reason::UserBlocked, "the user is blocked"));
        }
        if let Some((issued_before, _)) = entries.users.get(user)
            && issued_at.is_none_or(|issued_at| issued_at < *issued_before)
        {
            return Err(Refusal::new(Reason::Revoked, "the tokens that the user had then were revoked"));
        }
        entries.check_token(id)
    }

    /// Adds an entry. Of two about the same, what concerns more tokens holds.
    pub(super) fn add(&mut self, revoked: &Revoked) {
        let span = Span { at: revoked.at, until: revoked.until };
        let entries = self.tenants.entry(revoked.revocation.tenant().clone()).or_default();
        match &revoked.revocation {
            Revocation::Token { id, .. } => {
                entries.tokens.entry(id.as_str().into()).or_insert(span);
            }
            Revocation::Block { user, .. } => {
                entries.blocked.entry(user.clone()).or_insert(span);
            }
            Revocation::UserTokens { user, issued_before, .. } => {
                let entry = entries.users.entry(user.clone()).or_insert((*issued_before, span));
                if entry.0 < *issued_before {
                    *entry = (*issued_before, span);
                }
            }
        }
    }

    /// Whether there is an entry about the same.
    pub(super) fn holds(&self, revocation: &Revocation) -> bool {
        self.tenants.get(revocation.tenant()).is_some_and(|entries| match revocation {
            Revocation::Token { id, .. } => entries.tokens.contains_key(id.as_str()),
            Revocation::UserTokens { user, .. } => entries.users.contains_key(user),
            Revocation::Block { user, .. } => entries.blocked.contains_key(user),
        })
    }

    /// Whether nothing would be otherwise with this entry added.
    pub(super) fn covers(&self, revoked: &Revoked) -> bool {
        let revocation = &revoked.revocation;
        match (revocation, self.tenants.get(revocation.tenant())) {
            (_, None) => false,
            (Revocation::UserTokens { user, issued_before, .. }, Some(entries)) => {
                entries.users.get(user).is_some_and(|(known, _)| known >= issued_before)
            }
            (_, Some(_)) => self.holds(revocation),
        }
    }

    /// Takes back a block; whether there was one.
    pub(super) fn unblock(&mut self, tenant: &Tenant, user: &UserId) -> bool {
        self.tenants.get_mut(tenant).is_some_and(|entries| entries.blocked.remove(user).is_some())
    }

    /// Whether any entry has ended.
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        let ended = |span: &Span| span.until.is_some_and(|until| until <= now);
        self.tenants
            .values()
            .any(|entries| entries.tokens.values().any(ended) || entries.users.values().any(|(_, span)| ended(span)))
    }

    /// Forgets what concerns no token any more.
    pub(super) fn forget_ended(&mut self, now: Timestamp) {
        let is_kept = |span: &Span| span.until.is_none_or(|until| until > now);
        self.tenants.retain(|_, entries| {
            entries.tokens.retain(|_, span| is_kept(span));
            entries.users.retain(|_, (_, span)| is_kept(span));
            !(entries.tokens.is_empty() && entries.users.is_empty() && entries.blocked.is_empty())
        });
    }

    /// Every entry.
    pub(super) fn all(&self) -> impl Iterator<Item = Revoked> {
        let everything = |tenant| self.page(tenant, None, usize::MAX).revoked;
        self.tenants.keys().flat_map(everything)
    }

    /// The entries of `tenant` after the place `after`, in the order of their places.
    pub(super) fn page(&self, tenant: &Tenant, after: Option<&str>, limit: usize) -> RevokedPage {
        let Some(entries) = self.tenants.get(tenant) else { return RevokedPage::default() };
        let kind_of = |place: &str| place.split_once(':').map_or(place, |(kind, _)| kind).to_owned();
        let kind_after = after.map(kind_of).unwrap_or_default();
        // Where in one kind's names to begin: behind the name, from the first, or nowhere.
        let begin = |kind: &str| match after.and_then(|after| after.strip_prefix(kind)?.strip_prefix(':')) {
            Some(name) => Some(Bound::Excluded(name)),
            None if *kind > *kind_after => Some(Bound::Unbounded),
            None => None,
        };
        let mut revoked = Vec::new();
        let mut add = |revocation, span: &Span| revoked.push(Revoked { revocation, at: span.at, until: span.until });
        let wanted = limit.saturating_add(1);
        if let Some(from) = begin("block") {
            for (user, span) in entries.blocked.range::<str, _>((from, Bound::Unbounded)).take(wanted) {
                add(Revocation::Block { tenant: tenant.clone(), user: user.clone() }, span);
            }
        }
        if let Some(from) = begin("token") {
            for (id, span) in entries.tokens.range::<str, _>((from, Bound::Unbounded)).take(wanted) {
                add(Revocation::Token { tenant: tenant.clone(), id: id.to_string() }, span);
            }
        }
        if let Some(from) = begin("user_tokens") {
            for (user, (issued_before, span)) in entries.users.range::<str, _>((from, Bound::Unbounded)).take(wanted) {
                let (tenant, user, issued_before) = (tenant.clone(), user.clone(), *issued_before);
                add(Revocation::UserTokens { tenant, user, issued_before }, span);
            }
        }
        let is_more = revoked.len() > limit;
        revoked.truncate(limit);
        let next = revoked.last().filter(|_| is_more).map(|last| last.revocation.place());
        RevokedPage { revoked, next }
    }
}

impl Entries {
    fn check_token(&self, id: Option<&str>) -> Result<(), Refusal> {
        if id.is_some_and(|id| self.tokens.contains_key(id)) {
            return Err(Refusal::new(Reason::Revoked, "the token was revoked"));
        }
        Ok(())
    }
}
