//! Coming in, going on where an earlier connection was lost, and being sent away.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fanfare_auth::{Door, Principal, Refusal};
use fanfare_model::{Cursor, Invalid, Topic};
use futures_util::FutureExt as _;
use rand::Rng as _;

use super::{Client, Connect, Continuation, Error, Failure, Push, Reply, RequestId, Stage, Subscribe};
use crate::access::{self, Denied, Entered, Standing, Visitor};
use crate::{From, Goodbye, Session};

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
        let bad_request = |error: Invalid| Failure { error: error.into(), ends: Some(Goodbye::BadRequest) };
        let name = program(&connect).map_err(bad_request)?;
        let credential = match (connect.token, connect.resume) {
            (Some(_), Some(_)) => {
                let both = "stands beside `resume`; one of them says who it is: `token` if `resume` was refused";
                return Err(bad_request(Invalid::new("token", both)));
            }
            (token, resume) => token.or(resume),
        };
        let credential = credential.as_ref().map(|token| token.0.as_str());
        let principal = access::admit(&self.host.node, Door::Client, credential).await.map_err(turned_away)?;
        self.admit(id, principal, name, connect.cursor).await
    }

    /// Takes in a client whose credentials came with the handshake. `Err` means that the session is over.
    pub async fn enter(&mut self, principal: Principal) -> Result<(), Goodbye> {
        self.enter_at(principal, None).await
    }

    /// As [`Client::enter`]; its topics go on from `cursor`.
    pub async fn enter_at(&mut self, principal: Principal, cursor: Option<Continuation>) -> Result<(), Goodbye> {
        let Err(failure) = self.admit(None, principal, None, cursor).boxed().await else { return Ok(()) };
        self.reply(None, &Reply::Error(failure.error));
        failure.ends.map_or(Ok(()), Err)
    }

    /// Tells a client that its credentials, which came with the handshake, are no good. The session is over.
    pub fn refuse(&mut self, refusal: Refusal) -> Goodbye {
        let Failure { error, ends } = turned_away(refusal);
        self.reply(None, &Reply::Error(error));
        ends.unwrap_or(Goodbye::Unauthenticated)
    }

    async fn admit(
        &mut self,
        id: Option<RequestId>,
        principal: Principal,
        name: Option<Arc<str>>,
        cursor: Option<Continuation>,
    ) -> Result<(), Failure> {
        let Stage::Arrived(peer) = &self.stage else { return Err(Error::AlreadyConnected.into()) };
        let client = name.or_else(|| peer.agent.clone());
        let visitor = Visitor { protocol: self.host.protocol, address: peer.address, client };
        let expires_in = self.expires_in(&principal);
        let entered = access::enter(&self.host.node, principal, visitor).await.map_err(turned_away)?;
        let Entered { session, resumed, resume, standing, member_of } = entered;
        let info = session.info();
        self.stage = Stage::Connected(Arc::new(session));
        let ping_every = self.host.node.options.ping_interval.get().as_secs();
        self.reply(
            id,
            &Reply::Connected {
                session: info.id,
                user: info.user,
                expires_in,
                ping_every: (ping_every > 0).then_some(ping_every),
                resume: resume.map(|sealed| sealed.text),
                resumed,
            },
        );
        self.stay(member_of).await;
        self.go_on(standing, cursor).await;
        Ok(())
    }

    /// Subscribes to the topics that the client need not ask for, and to those that it goes on with. Says how it went
    /// with each.
    async fn go_on(&mut self, standing: Vec<Standing>, cursor: Option<Continuation>) {
        let from = |topic: &Topic| {
            let position = cursor.as_ref().and_then(|cursor| cursor.position_of(topic));
            position.map_or(From::Now, |position| From::Cursor(Cursor::One(position)))
        };
        for Standing { topic, granted } in standing {
            let from = from(&topic);
            let done = if granted {
                self.subscribe_granted(topic, &from).await
            } else {
                self.subscribe(Subscribe::new(topic, from)).await
            };
            self.tell(done);
        }
        for topic in cursor.iter().flat_map(Continuation::topics) {
            if self.subscription(topic).is_none() {
                let done = self.subscribe(Subscribe::new(topic.clone(), from(topic))).await;
                self.tell(done);
            }
        }
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
    pub(super) fn expires_in(&self, principal: &Principal) -> Option<u64> {
        principal.expires_at.map(|at| at.since(self.host.node.clock.now()).as_secs())
    }

    /// Puts a sign of life in the outbox.
    pub fn ping(&mut self) {
        self.push(&Push::Ping);
    }

    /// It ends on purpose: it leaves every topic that it is a member of at once, instead of being missed for a while.
    pub async fn leave_all(&mut self) {
        if let Stage::Connected(session) = &self.stage {
            session.leave().await;
        }
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

/// Whoever is not let in is told, and sent away.
fn turned_away(denied: impl Into<Denied>) -> Failure {
    let denied = denied.into();
    Failure { ends: Some(denied.goodbye()), error: denied.into() }
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
        | Goodbye::Limited
        | Goodbye::Replaced => return None,
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
            program(&Connect { name: text(name), version: text(version), ..Connect::default() })
        };
        assert_eq!(of(Some("web"), Some("1.2")).unwrap().as_deref(), Some("web/1.2"));
        assert_eq!(of(Some("web"), None).unwrap().as_deref(), Some("web"));
        assert_eq!(of(None, None).unwrap(), None);
        assert!(of(None, Some("1")).is_err() && of(Some("a\nb"), None).is_err());
        assert!(of(Some(&"x".repeat(200)), None).is_err());
    }
}
