//! Publishing from a client.

use fanfare_auth::Action;
use fanfare_model::{Draft, Source, Topic};

use super::{Client, Done, Error, Failure, Reply};

impl Client {
    /// Both must allow it: the grant (who may) and the topic's policy (whether clients may at all).
    pub(super) async fn publish(&mut self, topic: Topic, mut draft: Draft) -> Result<Done, Failure> {
        let principal = self.principal()?;
        principal.authorize(Action::Publish, &topic)?;
        if !self.host.node.bus.policy(&topic).client_publish {
            return Err(Error::ClientPublishOff(topic.kind().to_owned()).into());
        }
        draft.user.clone_from(&principal.user);
        draft.source = Some(Source::new(self.host.protocol.as_str())?);
        let event_id = draft.id.clone();
        let answers = self.host.node.bus.publish(&principal.tenant, vec![(topic.clone(), draft)]).await;
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
