//! Grants: topic patterns × actions.

use std::sync::Arc;

use fanfare_model::{Topic, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Action, Pattern};

/// What may be done with which topics. Unknown members are refused, because one that is not understood
/// may have been meant to narrow the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The topics.
    pub topics: Vec<Pattern>,
    /// What may be done with each of them.
    pub allow: Vec<Action>,
}

impl Grant {
    /// Everything, on every topic.
    pub fn everything() -> Self {
        Self { topics: vec![Pattern::parse("*").expect("`*` is a pattern")], allow: Action::ALL.to_vec() }
    }

    /// What the shorthand claim `topics` stands for: `subscribe` and `history` on `topics`.
    pub fn to_listen(topics: Vec<Pattern>) -> Self {
        Self { topics, allow: vec![Action::Subscribe, Action::History] }
    }

    /// Whether this grant allows `action` on `topic`.
    pub fn allows(&self, action: Action, topic: &Topic) -> bool {
        self.allow.contains(&action) && self.topics.iter().any(|pattern| pattern.matches(topic))
    }

    /// What this grant allows on `topics`.
    pub(crate) fn within(&self, topics: &[Pattern]) -> Self {
        let both =
            |pattern: &Pattern| topics.iter().filter_map(|topic| pattern.intersection(topic)).collect::<Vec<_>>();
        Self { topics: self.topics.iter().flat_map(both).collect(), allow: self.allow.clone() }
    }
}

/// `grants` with `user` in place of `{user}`; patterns in which that user cannot stand are left out.
pub(crate) fn expand(grants: &[Grant], user: Option<&UserId>) -> Arc<[Grant]> {
    grants
        .iter()
        .map(|grant| Grant {
            topics: grant.topics.iter().filter_map(|pattern| pattern.expand(user)).collect(),
            allow: grant.allow.clone(),
        })
        .collect()
}
