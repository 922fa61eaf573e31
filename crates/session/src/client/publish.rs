//! Publishing from a client.

use std::sync::Arc;

use fanfare_model::{Draft, Source, Topic};

use super::{Client, Done, Error, Failure, Reply};
use crate::access;

impl Client {
    /// Who published it and through what is the server's to say, whatever the application put in its place.
    pub(super) async fn publish(&mut self, topic: Topic, draft: Draft) -> Result<Done, Failure> {
        let session = Arc::clone(self.session()?);
        let node = &self.host.node;
        let mut draft = access::may_publish(node, &session, &topic, draft).await?;
        let principal = session.principal();
        draft.user.clone_from(&principal.user);
        draft.source = Some(Source::new(self.host.protocol.as_str())?);
        let event_id = draft.id.clone();
        let answers = node.bus.publish(&principal.tenant, vec![(topic.clone(), draft)]).await;
        let mut answers = answers.map_err(|refused| refused.error)?;
        let Some(answer) = answers.pop() else { return Err(Error::Timeout.into()) };
        let appended = answer?;
        Ok(Done::quiet(Reply::Published {
            topic,
            position: appended.position,
            event_id,
            duplicate: appended.duplicate,
        }))
    }
}
