//! Presence as JSON: the one shape that every JSON protocol shows.

use std::io::Write as _;

use fanfare_model::json::write_string;
use fanfare_model::{Event, Topic};

use crate::member::{Member, Members};

/// Appends a member to `out`: `{"id","user"?,"info"?,"data"?,"since"}`, without line breaks.
pub fn write_member(member: &Member, out: &mut Vec<u8>) {
    serde_json::to_writer(out, member).expect("it is made of what JSON can say, and a Vec grows");
}

/// Appends a snapshot, or a page of it, to `out`: `{"topic","rev","count","members":[…],"next"?}`, or
/// `{"topic","rev","count","state":"occupancy"}`, without line breaks.
pub fn write_members(topic: &Topic, members: &Members, out: &mut Vec<u8>) {
    out.reserve(64 + members.members.iter().map(|member| member.size()).sum::<usize>());
    out.extend_from_slice(b"{\"topic\":");
    write_string(topic.as_str(), out);
    write!(out, ",\"rev\":{},\"count\":{}", members.rev, members.count).expect("a Vec grows");
    if members.occupancy_only {
        out.extend_from_slice(b",\"state\":\"occupancy\"}");
        return;
    }
    out.extend_from_slice(b",\"members\":[");
    for (at, member) in members.members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_member(member, out);
    }
    out.push(b']');
    if let Some(next) = &members.next {
        out.extend_from_slice(b",\"next\":");
        write_string(next, out);
    }
    out.push(b'}');
}

/// Appends what a signal of a companion says of `topic` to `out`: its data, an object, with `topic` as first member:
/// `{"topic","prev","rev","count","join"?:[…],"update"?:[…],"leave"?:[…],"state"?}`, without line breaks.
pub fn write_diff(topic: &Topic, signal: &Event, out: &mut Vec<u8>) {
    let data = signal.draft.data.bytes();
    out.reserve(data.len() + topic.as_str().len() + 16);
    out.extend_from_slice(b"{\"topic\":");
    write_string(topic.as_str(), out);
    out.push(b',');
    out.extend_from_slice(data.get(1..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn written(members: &Members) -> String {
        let mut out = Vec::new();
        write_members(&Topic::new("chat:42").unwrap(), members, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn snapshots() {
        let member = |id: &str| serde_json::from_str::<Member>(&format!(r#"{{"id":"{id}","since":5}}"#)).unwrap();
        let members = vec![Arc::new(member("a")), Arc::new(member("b"))];
        let page = Members { rev: 7, count: 3, members, next: Some("b".to_owned()), occupancy_only: false };
        assert_eq!(
            written(&page),
            r#"{"topic":"chat:42","rev":7,"count":3,"members":[{"id":"a","since":5},{"id":"b","since":5}],"next":"b"}"#
        );
        let many = Members { rev: 9, count: 1001, occupancy_only: true, ..Members::default() };
        assert_eq!(written(&many), r#"{"topic":"chat:42","rev":9,"count":1001,"state":"occupancy"}"#);
    }
}
