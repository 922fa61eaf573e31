//! What has changed in a topic, as it is announced.

use std::sync::Arc;

use fanfare_model::{Data, Event};
use serde::{Deserialize, Serialize};

use crate::member::Member;

/// The name of the signal.
pub(crate) const SIGNAL: &str = "presence";

/// What has changed from one revision to a later one, in full: who holds a state of any revision in between has the
/// state at `rev` after putting `join` and `update` in place and then taking out `leave`.
///
/// - `rev` not above one's own: nothing new.
/// - `prev` of 0: all there is; forget the rest.
/// - `prev` above one's own revision, or after a difference without lists: something is missing; read the members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// The revision of the difference before; 0 if this begins with nobody.
    pub prev: u64,
    /// The revision after it.
    pub rev: u64,
    /// How many members there are then.
    pub count: u64,
    /// Those who have come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<Arc<Member>>,
    /// Those who were there and are otherwise now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub update: Vec<Arc<Member>>,
    /// Those who have gone: only `id`, `user` and `since`. Who came and went in between is in `join` as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leave: Vec<Arc<Member>>,
    /// There are too many members to name: the lists are not told, only the number.
    #[serde(rename = "state", default, skip_serializing_if = "is_false", with = "state")]
    pub occupancy_only: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_false(is: &bool) -> bool {
    !is
}

/// `"state":"occupancy"`, or nothing.
mod state {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum State {
        Occupancy,
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    pub(super) fn serialize<S: Serializer>(_: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        State::Occupancy.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        State::deserialize(deserializer).map(|State::Occupancy| true)
    }
}

impl Diff {
    /// Reads the difference that a signal of a companion carries; `None` if it is another signal.
    pub fn of(event: &Event) -> Option<Self> {
        let draft = &event.draft;
        if draft.name.as_ref().map(AsRef::as_ref) != Some(SIGNAL) {
            return None;
        }
        serde_json::from_slice(draft.data.bytes()).ok()
    }

    /// As data of a signal.
    pub(crate) fn to_data(&self) -> Data {
        let json = serde_json::to_vec(self).expect("it is made of what JSON can say");
        Data::from_stored(fanfare_model::DataKind::Json, json.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_json() {
        let told = |diff: &Diff| String::from_utf8(diff.to_data().bytes().to_vec()).unwrap();
        let few = Diff { prev: 12, rev: 15, count: 3, occupancy_only: true, ..Diff::default() };
        assert_eq!(told(&few), r#"{"prev":12,"rev":15,"count":3,"state":"occupancy"}"#);
        let member: Member =
            serde_json::from_str(r#"{"id":"s","user":"u","info":{"a":1},"data":[],"since":5}"#).unwrap();
        let named = Diff { rev: 1, count: 1, join: vec![Arc::new(member)], ..Diff::default() };
        let json = r#"{"prev":0,"rev":1,"count":1,"join":[{"id":"s","user":"u","info":{"a":1},"data":[],"since":5}]}"#;
        assert_eq!(told(&named), json);
        for diff in [few, named] {
            assert_eq!(serde_json::from_str::<Diff>(&told(&diff)).unwrap(), diff);
        }
    }
}
