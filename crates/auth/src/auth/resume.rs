//! Resume tokens: made of a principal, and made into it again.

use std::sync::Arc;

use fanfare_model::{SessionId, Timestamp};

use super::{Auth, Inner, Seen};
use crate::Door;
use crate::principal::{Credential, Principal};
use crate::refusal::{Reason, Refusal};
use crate::resume::{Content, Proof, Sealed};

impl Auth {
    /// A resume token with which `principal` may go on with `session` without showing its credential again, on any
    /// node with the same `auth.resume` keys; [`Auth::authenticate`] takes it at client doors. `None` if resuming is
    /// turned off (`auth.resume.window` is 0), at server doors, if the principal has ended, and if its grants are so
    /// many that the token would have more than `auth.token_bytes_max`.
    ///
    /// It may be shown more than once within its window. It stops working when what the principal was let in with does:
    /// token or user revoked, API key gone, issuer or its key gone, expiry reached.
    pub fn seal(&self, principal: &Principal, session: &SessionId) -> Option<Sealed> {
        let inner = &*self.inner;
        if inner.resume_window.is_zero() || principal.door != Door::Client {
            return None;
        }
        let now = inner.clock.now();
        let window_end = now.plus(inner.resume_window);
        let until = principal.expires_at.map_or(window_end, |end| end.min(window_end));
        if until <= now {
            return None;
        }
        let plain = serde_json::to_vec(&Content::of(principal, Some(session), until)?).ok()?;
        let text = inner.sealer.seal(plain)?;
        if text.len() > inner.token_bytes_max {
            tracing::debug!(bytes = text.len(), "no resume token, because it would be larger than tokens may be");
            return None;
        }
        Some(Sealed { text, expires_in: until.since(now) })
    }
}

impl Inner {
    /// Who comes back with the resume token `text`. Whether it was revoked meanwhile is asked by the caller.
    pub(super) fn unseal(&self, door: Door, text: &str, now: Timestamp, seen: &mut Seen) -> Result<Principal, Refusal> {
        if door != Door::Client {
            return Err(Refusal::new(Reason::WrongDoor, "a resume token is for client doors"));
        }
        if text.len() > self.token_bytes_max {
            let sentence = format!("the token has {} bytes; at most {} are allowed", text.len(), self.token_bytes_max);
            return Err(Refusal::new(Reason::TokenTooLarge, sentence));
        }
        let content: Content =
            self.sealer.open(text).and_then(|plain| serde_json::from_slice(&plain).ok()).ok_or_else(|| {
                let sentence = "no key of this server opens the resume token; connect with the credential itself";
                Refusal::new(Reason::BadResumeToken, sentence)
            })?;
        if content.until <= now {
            let sentence = format!("the resume token's window ended at {}", content.until);
            return Err(Refusal::new(Reason::Expired, sentence));
        }
        let resumes = content.session.clone();
        let principal = self.principal_again(content, door, now, seen)?;
        seen.note(&principal);
        Ok(Principal { resumes, ..principal })
    }

    /// The principal that the token was made of, if what it proved itself with still holds.
    pub(super) fn principal_again(
        &self,
        content: Content,
        door: Door,
        now: Timestamp,
        seen: &mut Seen,
    ) -> Result<Principal, Refusal> {
        let (issuer, credential, key) = match content.proof {
            Proof::Token { issuer, id, issued_at, key } => {
                seen.issuer = Some(Arc::clone(&issuer));
                seen.token_id.clone_from(&id);
                let known = self.by_name.get(&issuer).filter(|known| known.tenant == content.tenant);
                let known = known.ok_or_else(|| {
                    Refusal::new(Reason::UnknownIssuer, "the issuer of the token is no longer configured here")
                })?;
                known.check_key(key, now)?;
                (issuer, Credential::Token { id, issued_at }, Some(key))
            }
            Proof::Ticket { issued_at } => (Arc::clone(&self.tickets_issuer), Credential::Ticket { issued_at }, None),
            // These two may do what they may do now.
            Proof::ApiKey { id } => {
                seen.issuer = Some(Arc::clone(&self.keys_issuer));
                seen.key_id = Some(id.clone());
                return self.keys.readmit(door, &id, now, &self.keys_issuer);
            }
            Proof::Anonymous => {
                return self.anonymous_at(door).filter(|principal| principal.tenant == content.tenant).ok_or_else(
                    || Refusal::new(Reason::MissingCredential, "nobody is let in without a credential any more"),
                );
            }
        };
        Ok(Principal {
            tenant: content.tenant,
            user: content.user,
            issuer,
            credential,
            expires_at: content.expires_at,
            info: content.info,
            subscribe: content.subscribe,
            resumes: None,
            key,
            door,
            grants: content.grants,
        })
    }
}
