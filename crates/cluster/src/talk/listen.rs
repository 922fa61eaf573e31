//! Listening to the other nodes.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{Budget, Delivery, OnSlow, Reader, Subscribe};
use fanfare_lifecycle::{Backoff, Lifecycle, TaskKind};
use fanfare_model::{Event, StartFrom, Tenant, TopicKey};

use super::Talk;
use super::message::{self, Answer, Message, Question, Said, Telling};

/// How soon is tried again to listen, when the engine did not let us, at first and at last.
const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
/// How much is taken at once. Questions are rare and answers are bounded by them.
const BUDGET: Budget = Budget { deliveries: 256, bytes: usize::MAX };

pub(super) fn start(talk: &Arc<Talk>, life: &Lifecycle) {
    let (listening, stop, inner) = (Arc::clone(talk), life.hard().clone(), life.clone());
    life.spawn(TaskKind::Critical, "listen to other nodes", async move {
        tokio::select! {
            () = listening.listen(&inner) => {}
            () = stop.cancelled() => {}
        }
    });
    let (telling, stop) = (Arc::clone(talk), life.hard().clone());
    life.spawn(TaskKind::Critical, "tell other nodes of changes", async move {
        tokio::select! {
            () = telling.tell_changes() => {}
            () = stop.cancelled() => {}
        }
    });
}

impl Talk {
    /// Tells the others when something changes that they would find at their next look anyway.
    async fn tell_changes(&self) {
        loop {
            self.keeper.changed.notified().await;
            let alone = self.keeper.nodes().borrow().len() <= 1;
            if !alone {
                self.say(message::to_all(), &Message::Changed(self.keeper.node.id.clone())).await;
            }
        }
    }

    /// Never returns.
    async fn listen(self: &Arc<Self>, life: &Lifecycle) {
        let mut backoff = RETRY;
        loop {
            match self.subscribed().await {
                Ok(reader) => {
                    backoff.reset();
                    // Again has no effect.
                    let _ = self.listening.set(());
                    self.hear(reader, life).await;
                }
                Err(error) => tracing::warn!(error = %error, "other nodes cannot be listened to now"),
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    async fn subscribed(&self) -> Result<Reader, fanfare_bus::Error> {
        let mut reader = self.bus.reader();
        for topic in [message::to_all(), message::to(&self.keeper.node.id)] {
            let topic = TopicKey::new(Tenant::default(), topic);
            // What was missed was missed: who asked counts us as silent, and changes are found at the next look.
            let (start, on_slow) = (StartFrom::Now, Some(OnSlow::Skip));
            reader.subscribe(Subscribe { topic, start, on_slow, history: false }).await?;
        }
        Ok(reader)
    }

    /// Until the reader's subscriptions end.
    async fn hear(self: &Arc<Self>, mut reader: Reader, life: &Lifecycle) {
        let mut heard = Vec::new();
        loop {
            poll_fn(|cx| reader.poll(cx, BUDGET, &mut heard)).await;
            for delivery in heard.drain(..) {
                match delivery {
                    Delivery::Event { entry, .. } => self.heard(&entry.event, life),
                    Delivery::Gap { .. } => self.keeper.look_soon(),
                    Delivery::Ended { .. } => return,
                }
            }
        }
    }

    fn heard(self: &Arc<Self>, event: &Event, life: &Lifecycle) {
        match serde_json::from_slice(event.draft.data.bytes()) {
            Ok(Message::Ask(question)) if question.from != self.keeper.node.id => self.asked(question, life),
            Ok(Message::Tell(telling)) if telling.from != self.keeper.node.id => self.told(telling, life),
            Ok(Message::Answer(answer)) => self.answered(answer),
            Ok(Message::Changed(node)) if node != self.keeper.node.id => self.keeper.look_soon(),
            Ok(Message::Ask(_) | Message::Tell(_) | Message::Changed(_)) => {}
            // One of another version says something that this one does not know.
            Err(error) => tracing::debug!(error = %error, "another node says something unknown"),
        }
    }

    /// Works on a question and answers it, if there is room.
    fn asked(self: &Arc<Self>, question: Question, life: &Lifecycle) {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            return self.keeper.metrics.refused.increment(1);
        };
        let talk = Arc::clone(self);
        life.spawn(TaskKind::Background, "answer another node", async move {
            let Question { id, from, kind, body } = question;
            let said = talk.work_on(&kind, &body).await;
            talk.count(&said);
            let answer = Answer { id, from: talk.keeper.node.id.clone(), said };
            talk.say(message::to(&from), &Message::Answer(answer)).await;
            drop(permit);
        });
    }

    /// Works on what was told, if there is room.
    fn told(self: &Arc<Self>, telling: Telling, life: &Lifecycle) {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            return self.keeper.metrics.refused.increment(1);
        };
        let talk = Arc::clone(self);
        life.spawn(TaskKind::Background, "hear another node", async move {
            talk.count(&talk.work_on(&telling.kind, &telling.body).await);
            drop(permit);
        });
    }

    fn count(&self, said: &Said) {
        match said {
            Said::Failed => self.keeper.metrics.failed.increment(1),
            Said::Body(_) | Said::Nothing => self.keeper.metrics.answered.increment(1),
        }
    }
}
