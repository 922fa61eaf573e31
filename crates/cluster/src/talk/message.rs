//! What nodes say to each other, as JSON.

use fanfare_model::{Data, Draft, EventName, Topic};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::node::NodeId;

/// What is said. A node of another version that does not know a word passes it over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// To all: answer this.
    Ask(Question),
    /// To the one who asked.
    Answer(Answer),
    /// To all: know this.
    Tell(Telling),
    /// To all: who is alive, or who owns what, is otherwise than it was.
    Changed(NodeId),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) id: u64,
    pub(super) from: NodeId,
    pub(super) kind: String,
    pub(super) body: Box<RawValue>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Telling {
    pub(super) from: NodeId,
    pub(super) kind: String,
    pub(super) body: Box<RawValue>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) id: u64,
    pub(super) from: NodeId,
    pub(super) said: Said,
}

/// What a node says to a question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// This.
    Body(Box<RawValue>),
    /// Nothing: it has no part that the question is for.
    Nothing,
    /// It could not understand it, or not do it.
    Failed,
}

/// What is said by nodes is for nodes, so that its name matters to nobody; it is there for whoever looks at the engine.
const NAME: &str = "fanfare.cluster";

impl Message {
    /// As an event.
    pub(super) fn draft(&self) -> Result<Draft, serde_json::Error> {
        let data = Data::from_stored(fanfare_model::DataKind::Json, serde_json::to_vec(self)?.into());
        let name = EventName::new(NAME).expect("a word of the program");
        Ok(Draft { name: Some(name), ..Draft::new(data) })
    }
}

/// Where all are told something.
pub(super) fn to_all() -> Topic {
    Topic::internal("cluster")
}

/// Where one node is told something.
pub(super) fn to(node: &NodeId) -> Topic {
    Topic::internal(&format!("cluster:{node}"))
}
