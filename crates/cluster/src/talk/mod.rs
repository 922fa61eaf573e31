//! Nodes ask each other: questions to all, over an internal topic, and their answers.

mod listen;
mod message;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fanfare_bus::Bus;
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Tenant, Topic};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SetOnce, mpsc};

use crate::keeper::Keeper;
use crate::node::NodeId;
use message::{Answer, Message, Question, Said, Telling};

/// What the other nodes of a cluster said to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers<A> {
    /// What each node said that has something to say.
    pub answers: Vec<(NodeId, A)>,
    /// The nodes that are alive and did not answer in time, or could not.
    pub silent: Vec<NodeId>,
}

impl<A> Answers<A> {
    /// Whether nobody is missing.
    pub fn is_complete(&self) -> bool {
        self.silent.is_empty()
    }
}

type Handler = Arc<dyn Fn(&RawValue) -> BoxFuture<'static, Said> + Send + Sync>;

pub(crate) struct Talk {
    keeper: Arc<Keeper>,
    bus: Bus,
    handlers: Mutex<HashMap<&'static str, Handler>>,
    /// The questions that wait for answers.
    waiting: Mutex<HashMap<u64, mpsc::Sender<(NodeId, Said)>>>,
    next_id: AtomicU64,
    /// Set when the others can be heard.
    pub(crate) listening: SetOnce<()>,
    /// A permit for each question of another node that is worked on.
    room: Arc<Semaphore>,
}

/// A question that waits; it does no more when this is dropped.
struct Waiting<'a> {
    talk: &'a Talk,
    id: u64,
    answers: mpsc::Receiver<(NodeId, Said)>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.talk.waiting.lock().remove(&self.id);
    }
}

impl Talk {
    pub(crate) fn new(keeper: Arc<Keeper>, bus: Bus) -> Self {
        let room = Arc::new(Semaphore::new(keeper.options.questions_max.min(Semaphore::MAX_PERMITS)));
        let (handlers, waiting, next_id) = (Mutex::default(), Mutex::default(), AtomicU64::new(1));
        Self { keeper, bus, handlers, waiting, next_id, listening: SetOnce::new(), room }
    }

    /// Begins to listen to the others, until the hard stop.
    pub(crate) fn start(self: &Arc<Self>, life: &Lifecycle) {
        listen::start(self, life);
    }

    /// Answers questions of this kind by `handler` from now on.
    pub(crate) fn on<Q, A, F, Fut>(&self, kind: &'static str, handler: F)
    where
        Q: DeserializeOwned,
        A: Serialize,
        F: Fn(Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = A> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |body| match serde_json::from_str(body.get()) {
            Ok(question) => {
                let answering = handler(question);
                Box::pin(async move { written(kind, &answering.await).map_or(Said::Failed, Said::Body) })
            }
            Err(error) => {
                tracing::warn!(kind, error = %error, "another node's question cannot be understood");
                Box::pin(std::future::ready(Said::Failed))
            }
        });
        self.handlers.lock().insert(kind, handler);
    }

    /// Asks every other node that is alive, and waits for all answers or until `patience` is over.
    pub(crate) async fn ask_others<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: &'static str,
        question: &Q,
        patience: Duration,
    ) -> Answers<A> {
        let mut answers = Answers { answers: Vec::new(), silent: Vec::new() };
        let others = self.others(patience).await;
        let Some(body) = written(kind, question) else {
            answers.silent.extend(others);
            return answers;
        };
        for (node, said) in self.gather(kind, body, others, patience).await {
            match said {
                Some(Said::Nothing) => {}
                Some(Said::Body(body)) => match serde_json::from_str(body.get()) {
                    Ok(answer) => answers.answers.push((node, answer)),
                    Err(error) => {
                        tracing::warn!(kind, error = %error, "another node's answer cannot be understood");
                        answers.silent.push(node);
                    }
                },
                Some(Said::Failed) | None => answers.silent.push(node),
            }
        }
        let metrics = &self.keeper.metrics;
        let outcome = if answers.is_complete() { &metrics.complete } else { &metrics.partial };
        outcome.increment(1);
        answers
    }

    /// Tells every other node something, and waits for nothing.
    pub(crate) async fn tell_others<Q: Serialize>(&self, kind: &'static str, what: &Q) {
        let alone = self.keeper.nodes().borrow().len() <= 1;
        if !alone && let Some(body) = written(kind, what) {
            let from = self.keeper.node.id.clone();
            self.say(message::to_all(), &Message::Tell(Telling { from, kind: kind.to_owned(), body })).await;
        }
    }

    /// The other nodes that are alive; as they were at the last look, if it cannot be found out now.
    async fn others(&self, patience: Duration) -> BTreeSet<NodeId> {
        let nodes = match tokio::time::timeout(patience, self.keeper.look()).await {
            Ok(Ok(nodes)) => nodes,
            Ok(Err(_)) | Err(_) => Arc::clone(&self.keeper.nodes().borrow()),
        };
        nodes.iter().map(|node| node.id.clone()).filter(|id| *id != self.keeper.node.id).collect()
    }

    /// What each of `others` says; nothing of those that do not answer in time.
    async fn gather(
        &self,
        kind: &'static str,
        body: Box<RawValue>,
        others: BTreeSet<NodeId>,
        patience: Duration,
    ) -> Vec<(NodeId, Option<Said>)> {
        let mut said = Vec::with_capacity(others.len());
        let mut silent = others;
        if !silent.is_empty() {
            let mut waiting = self.wait(silent.len());
            let from = self.keeper.node.id.clone();
            let question = Question { id: waiting.id, from, kind: kind.to_owned(), body };
            let asked = async {
                self.say(message::to_all(), &Message::Ask(question)).await;
                while !silent.is_empty()
                    && let Some((node, answer)) = waiting.answers.recv().await
                {
                    // Also one that came since the look is heard.
                    silent.remove(&node);
                    said.push((node, Some(answer)));
                }
            };
            // Whoever has answered by then has.
            let _ = tokio::time::timeout(patience, asked).await;
        }
        said.extend(silent.into_iter().map(|node| (node, None)));
        said
    }

    fn wait(&self, others: usize) -> Waiting<'_> {
        let (sender, answers) = mpsc::channel(2 * others + 8);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().insert(id, sender);
        Waiting { talk: self, id, answers }
    }

    /// What this node says to a question.
    async fn work_on(&self, kind: &str, body: &RawValue) -> Said {
        let handler = self.handlers.lock().get(kind).cloned();
        match handler {
            Some(handler) => handler(body).await,
            None => Said::Nothing,
        }
    }

    /// Another node has answered. Of an answer that nobody waits for any more nothing remains.
    fn answered(&self, answer: Answer) {
        let waiting = self.waiting.lock().get(&answer.id).cloned();
        if let Some(waiting) = waiting
            && waiting.try_send((answer.from, answer.said)).is_err()
        {
            tracing::debug!("an answer of another node came too late, or twice");
        }
    }

    async fn say(&self, topic: Topic, message: &Message) {
        let sent = match message.draft() {
            Ok(draft) => match self.bus.publish(&Tenant::default(), vec![(topic, draft)]).await {
                Ok(answers) => answers.into_iter().find_map(|answer| answer.err().map(|error| error.to_string())),
                Err(refused) => Some(refused.to_string()),
            },
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = sent {
            self.keeper.metrics.unsent.increment(1);
            tracing::warn!(error, "other nodes cannot be told something now");
        }
    }
}

fn written(kind: &'static str, what: &impl Serialize) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(what)
        .inspect_err(|error| tracing::error!(kind, error = %error, "what is said between nodes cannot be written"))
        .ok()
}
