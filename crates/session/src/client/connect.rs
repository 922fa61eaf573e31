//! Coming in, going on with a new token, and being sent away.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fanfare_auth::{Action, Door, Principal, Reason};
use fanfare_model::{Invalid, SessionId, Topic};
use rand::Rng as _;

use super::{Client, Connect, Done, Error, Failure, Push, Reply, RequestId, Stage, UNSUBSCRIBED_PERMISSION};
use crate::{From, Goodbye, Nudge, Session, SessionInfo, TooMany, access};

/// The most bytes of a client program's name with its version.
const NAME_BYTES_MAX: usize = 128;

/// What is known of a client before it says who it is.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Its address as the server sees it.
    pub address: Option<IpAddr>,
    /// The `User-Agent` or the like.
    pub agent: Option<Arc<str>>,
}

impl Client {
    pub(super) async fn connect(&mut self, id: Option<RequestId>, connect: Connect) -> Result<(), Failure> {
        if self.is_connected() {
            return Err(Error::AlreadyConnected.into());
        }
        let name =
            program(&connect).map_err(|error| Failure { error: error.into(), ends: Some(Goodbye::BadRequest) })?;
        let principal =
            access::authenticate(&self.host.node, Door::Client, connect.token.as_ref().map(|token| token.0.as_str()))
                .map_err(|refusal| Failure { ends: Some(verdict(refusal.reason())), error: refusal.into() })?;
        self.admit(id, principal, name).await
    }

    /// Takes in a client whose credentials came with the handshake. `Err` means that the session is over.
    pub async fn enter(&mut self, principal: Principal) -> Result<(), Goodbye> {
        let Err(failure) = self.admit(None, principal, None).await else { return Ok(()) };
        self.reply(None, &Reply::Error(failure.error));
        failure.ends.map_or(Ok(()), Err)
    }

    async fn admit(
        &mut self,
        id: Option<RequestId>,
        principal: Principal,
        name: Option<Arc<str>>,
    ) -> Result<(), Failure> {
        let Stage::Arrived(peer) = &self.stage else { return Err(Error::AlreadyConnected.into()) };
        let now = self.host.node.clock.now();
        let info = SessionInfo {
            id: SessionId::generate(),
            tenant: principal.tenant.clone(),
            user: principal.user.clone(),
            protocol: self.host.protocol,
            connected_at: now,
            expires_at: principal.expires_at,
            address: peer.address,
            client: name.or_else(|| peer.agent.clone()),
        };
        let ping_every = self.host.node.options.ping_interval.get().as_secs();
        let connected = Reply::Connected {
            session: info.id.clone(),
            user: info.user.clone(),
            expires_in: self.expires_in(&principal),
            ping_every: (ping_every > 0).then_some(ping_every),
        };
        let topics = principal.subscribe.clone();
        let session = self.host.node.sessions.register(info, Arc::new(principal)).map_err(|limit| {
            let goodbye = match limit {
                TooMany::OnNode => Goodbye::Overloaded,
                TooMany::OfUser => Goodbye::Limited,
                TooMany::Draining => Goodbye::Draining,
            };
            Failure { error: limit.into(), ends: Some(goodbye) }
        })?;
        self.stage = Stage::Connected(Arc::new(session));
        self.reply(id, &connected);
        for topic in topics {
            self.subscribe_for(topic).await;
        }
        Ok(())
    }

    /// Subscribes to a topic that the token names, and says how it went.
    async fn subscribe_for(&mut self, topic: Topic) {
        if self.topics.iter().any(|(_, known)| *known == topic) {
            return;
        }
        match self.subscribe(topic, &From::Now, None).await {
            Ok(done) => {
                self.reply(None, &done.reply);
                done.pushes.iter().for_each(|push| self.push(push));
            }
            Err(failure) => self.reply(None, &Reply::Error(failure.error)),
        }
    }

    pub(super) fn refresh(&mut self, token: &str) -> Result<Done, Failure> {
        let principal = access::authenticate(&self.host.node, Door::Client, Some(token))?;
        let session = self.session()?;
        let now = session.principal();
        if principal.tenant != now.tenant || principal.user != now.user {
            return Err(Error::OtherIdentity.into());
        }
        let expires_in = self.expires_in(&principal);
        let mut pushes = Vec::new();
        let reader = &mut self.reader;
        self.topics.retain(|(subscription, topic)| {
            let stays = principal.may(Action::Subscribe, topic);
            if !stays {
                reader.unsubscribe(*subscription);
                let (code, reason) = UNSUBSCRIBED_PERMISSION;
                pushes.push(Push::Unsubscribed { topic: topic.clone(), code, reason });
            }
            stays
        });
        self.session()?.refresh(Arc::new(principal));
        Ok(Done { reply: Reply::Refreshed { expires_in }, pushes })
    }

    pub(super) fn session(&self) -> Result<&Arc<Session>, Error> {
        match &self.stage {
            Stage::Connected(session) => Ok(session),
            Stage::Arrived(_) => Err(Error::NotConnected),
        }
    }

    /// Who it is.
    pub(super) fn principal(&self) -> Result<Arc<Principal>, Error> {
        self.session().map(|session| session.principal())
    }

    /// Whole seconds, rounded down: a client that refreshes by it is never late.
    fn expires_in(&self, principal: &Principal) -> Option<u64> {
        principal.expires_at.map(|at| at.since(self.host.node.clock.now()).as_secs())
    }

    /// Waits for the next nudge of the registry. A client that is not connected gets none.
    pub fn poll_nudge(&self, cx: &mut Context<'_>) -> Poll<Nudge> {
        match &self.stage {
            Stage::Connected(session) => session.poll_nudge(cx),
            Stage::Arrived(_) => Poll::Pending,
        }
    }

    /// Puts a sign of life in the outbox.
    pub fn ping(&mut self) {
        self.push(&Push::Ping);
    }

    /// Puts the verdict in the outbox and marks the session as over.
    pub fn say_goodbye(&mut self, goodbye: Goodbye) {
        self.end(goodbye);
        let retry_after = retry_after(goodbye, self.host.node.sessions.drain_window());
        self.push(&Push::Disconnect { goodbye, retry_after });
    }

    /// Marks the session as over without a word to the client.
    pub fn end(&self, goodbye: Goodbye) {
        if let Stage::Connected(session) = &self.stage {
            session.end(goodbye);
        }
    }
}

/// The verdict for credentials that were refused.
fn verdict(reason: Reason) -> Goodbye {
    match reason {
        Reason::Expired => Goodbye::Expired,
        Reason::Revoked => Goodbye::Revoked,
        _ => Goodbye::Unauthenticated,
    }
}

/// How long a client should wait before it comes back: spread at random, so that many do not come at once.
fn retry_after(goodbye: Goodbye, drain_window: Duration) -> Option<Duration> {
    let most = match goodbye {
        // Sessions are sent away over the whole window already; a little more keeps them off the node that stops.
        Goodbye::Draining => (drain_window / 4).max(Duration::from_secs(1)),
        Goodbye::Overloaded | Goodbye::Unavailable | Goodbye::Internal => Duration::from_secs(10),
        Goodbye::Aged | Goodbye::Slow | Goodbye::Stalled | Goodbye::Silent => Duration::from_secs(1),
        Goodbye::Unauthenticated
        | Goodbye::Expired
        | Goodbye::Revoked
        | Goodbye::Disconnected
        | Goodbye::BadRequest
        | Goodbye::TooLarge
        | Goodbye::Limited => return None,
    };
    Some(rand::rng().random_range(most / 10..=most))
}

/// `name/version` as the client says it.
fn program(connect: &Connect) -> Result<Option<Arc<str>>, Invalid> {
    let Some(name) = connect.name.as_deref() else {
        return match connect.version {
            None => Ok(None),
            Some(_) => Err(Invalid::new("version", "is given without a `name`")),
        };
    };
    let text = match connect.version.as_deref() {
        None => name.to_owned(),
        Some(version) => format!("{name}/{version}"),
    };
    if text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Invalid::new(
            "name",
            format_args!("with `version` is longer than {NAME_BYTES_MAX} bytes or has control characters"),
        ));
    }
    Ok(Some(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_may_come_back_are_told_when() {
        for goodbye in Goodbye::ALL {
            let window = Duration::from_secs(20);
            let told = retry_after(goodbye, window);
            assert_eq!(told.is_some(), goodbye.reconnect(), "{goodbye:?}");
            assert!(told.is_none_or(|wait| !wait.is_zero() && wait <= window));
        }
    }

    #[test]
    fn a_program_names_itself() {
        let of = |name: Option<&str>, version: Option<&str>| {
            let text = |t: Option<&str>| t.map(ToOwned::to_owned);
            program(&Connect { token: None, name: text(name), version: text(version) })
        };
        assert_eq!(of(Some("web"), Some("1.2")).unwrap().as_deref(), Some("web/1.2"));
        assert_eq!(of(Some("web"), None).unwrap().as_deref(), Some("web"));
        assert_eq!(of(None, None).unwrap(), None);
        assert!(of(None, Some("1")).is_err() && of(Some("a\nb"), None).is_err());
        assert!(of(Some(&"x".repeat(200)), None).is_err());
    }
}
