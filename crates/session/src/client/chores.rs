//! What a session does without being asked by its client.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use fanfare_auth::Sealed;

use super::{Client, Push, Reply, UNSUBSCRIBED_BY_SERVER};
use crate::{Goodbye, Nudge, Order, access};

impl Client {
    /// Waits for what the registry wants: [`Nudge::Ping`] and [`Nudge::End`] are the transport's, the rest is done here
    /// or becomes a chore. A client that is not connected is wanted for nothing.
    pub fn poll_nudge(&mut self, cx: &mut Context<'_>) -> Poll<Nudge> {
        loop {
            let Ok(session) = self.session() else { return Poll::Pending };
            match ready!(session.poll_nudge(cx)) {
                Nudge::Expiring => self.warn(),
                Nudge::Renew => self.renew(),
                Nudge::Orders => self.has_orders = true,
                nudge @ (Nudge::Ping | Nudge::End(_)) => return Poll::Ready(nudge),
            }
        }
    }

    /// Whether there is something to do that is not the client's wish: [`Client::handle`] takes
    /// [`Incoming::Chores`](super::Incoming::Chores) for that. Ask after [`Client::poll_nudge`] and
    /// [`Client::poll_deliver`].
    pub fn has_chores(&self) -> bool {
        self.has_orders || self.presence.as_ref().is_some_and(|presence| presence.has_missed())
    }

    pub(super) async fn do_chores(&mut self) -> Result<(), Goodbye> {
        let session = self.session().map(Arc::clone).map_err(|_| Goodbye::Internal)?;
        // As long as a command may take, and no longer than the session.
        let time = self.host.limits.command_timeout;
        let chores = async {
            if std::mem::take(&mut self.has_orders) {
                for order in session.take_orders() {
                    self.follow(order).await;
                }
            }
            self.catch_up_with_members().await;
        };
        tokio::select! {
            biased;
            done = tokio::time::timeout(time, chores) => done.map_err(|_| Goodbye::Unavailable),
            goodbye = session.ended() => Err(goodbye),
        }
    }

    async fn follow(&mut self, order: Order) {
        match order {
            // It has what the application wants it to have.
            Order::Subscribe { topic, .. } if self.subscription(&topic).is_some() => {}
            Order::Subscribe { topic, from } => {
                let done = Box::pin(self.subscribe_granted(topic, &from)).await;
                self.tell(done);
            }
            Order::Unsubscribe { topic } => {
                if self.drop_subscription(&topic).await {
                    let (code, reason) = UNSUBSCRIBED_BY_SERVER;
                    self.push(&Push::Unsubscribed { topic, code, reason });
                }
            }
        }
    }

    /// The credentials end soon.
    fn warn(&mut self) {
        let Ok(principal) = self.principal() else { return };
        if let Some(expires_in) = self.expires_in(&principal) {
            self.push(&Push::Expiring { expires_in });
        }
    }

    /// The resume token that it has ends soon.
    fn renew(&mut self) {
        let Ok(session) = self.session() else { return };
        if let Some(sealed) = access::seal(&self.host.node, &session.principal(), &session.info().id) {
            self.push(&resume(sealed));
        }
    }

    /// Says what became of something that the client did not ask for.
    pub(super) fn tell(&mut self, done: Result<super::Done, super::Failure>) {
        match done {
            Ok(done) => {
                self.reply(None, &done.reply);
                done.pushes.iter().for_each(|push| self.push(push));
            }
            Err(failure) => self.reply(None, &Reply::Error(failure.error)),
        }
    }
}

pub(super) fn resume(sealed: Sealed) -> Push {
    Push::Resume { token: sealed.text, expires_in: sealed.expires_in.as_secs() }
}
