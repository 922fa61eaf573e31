//! Going on with new credentials.

use std::sync::Arc;

use fanfare_auth::Action;
use fanfare_model::Topic;

use super::{Client, Done, Failure, Push, Reply, UNSUBSCRIBED_PERMISSION, chores};
use crate::{Goodbye, access};

impl Client {
    /// What the new ones do not allow ends: subscriptions, seeing who is there, and being there.
    pub(super) async fn refresh(&mut self, credential: &str) -> Result<Done, Failure> {
        let session = Arc::clone(self.session()?);
        let principal = access::may_refresh(&self.host.node, &session, credential).await?;
        let expires_in = self.expires_in(&principal);
        // The token before is of the credentials before.
        let sealed = access::seal(&self.host.node, &principal, &session.info().id);
        let lost: Vec<Topic> = self
            .subscriptions
            .iter()
            .filter(|subscription| {
                let topic = &subscription.topic;
                let hears = subscription.granted || principal.may(Action::Subscribe, topic);
                !hears || self.watches(topic) && !principal.may(Action::Presence, topic)
            })
            .map(|subscription| subscription.topic.clone())
            .collect();
        let principal = Arc::new(principal);
        session.refresh(Arc::clone(&principal));
        // What was revoked since these credentials were looked at was said of the ones before.
        if self.host.node.auth.revocations().is_revoked(&principal) {
            session.end(Goodbye::Revoked);
        }
        let mut pushes = Vec::new();
        for topic in lost {
            self.drop_subscription(&topic).await;
            let (code, reason) = UNSUBSCRIBED_PERMISSION;
            pushes.push(Push::Unsubscribed { topic, code, reason });
        }
        pushes.extend(sealed.map(chores::resume));
        self.leave_where_it_may_not_be().await;
        Ok(Done { reply: Reply::Refreshed { expires_in }, pushes })
    }
}
