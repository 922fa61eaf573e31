//! How much of the cluster an answer speaks for.

use fanfare_session::{NotFound, Reached};
use serde::Serialize;
use utoipa::ToSchema;

use crate::fault::Fault;

/// The nodes that an answer is of. Nothing, where this node is the whole cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reach {
    /// How many nodes have answered, this one included. Absent where there is only this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    nodes: Option<usize>,
    /// How many nodes are alive and have not answered in time. Absent if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<usize>,
}

impl Reach {
    pub(crate) fn of<T>(reached: &Reached<T>) -> Self {
        Self {
            nodes: (!reached.is_alone()).then_some(reached.nodes),
            silent: (reached.silent > 0).then_some(reached.silent),
        }
    }
}

impl From<NotFound> for Fault {
    fn from(error: NotFound) -> Self {
        match error {
            NotFound::Nowhere => Self::not_found(error),
            NotFound::Silent => Self::unavailable(error),
        }
    }
}
