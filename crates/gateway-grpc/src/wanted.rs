//! What a request for a stream asks for.

use fanfare_bus::OnSlow;
use fanfare_dialect_proto as dialect;
use fanfare_model::{Cursor, Topic};
use fanfare_proto::v1;
use fanfare_session::From;
use fanfare_session::client::Continuation;

use crate::fault::Fault;

/// What a client wants to hear.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Each topic once, and where it begins.
    pub(crate) topics: Vec<(Topic, From)>,
    /// Where those topics begin that the server subscribes to by itself.
    pub(crate) continuation: Option<Continuation>,
    pub(crate) on_slow: Option<OnSlow>,
    pub(crate) presence: bool,
    pub(crate) until_live: bool,
}

impl Wanted {
    pub(crate) fn read(request: v1::SubscribeRequest, topics_max: usize) -> Result<Self, Fault> {
        let v1::SubscribeRequest { topics: asked, from, on_slow, presence, until_live } = request;
        if asked.len() > topics_max {
            return Err(Fault::field("topics", format_args!("are {}; at most {topics_max} are allowed", asked.len())));
        }
        let shared = dialect::from(from).map_err(|invalid| Fault::field("from", invalid))?;
        let several = asked.len() > 1;
        let mut topics: Vec<(Topic, From)> = Vec::with_capacity(asked.len());
        for (index, v1::TopicFrom { topic, from }) in asked.into_iter().enumerate() {
            let field = |name: &str| format!("topics[{index}].{name}");
            let topic = Topic::new(topic).map_err(|invalid| Fault::field(field("topic"), invalid))?;
            if topics.iter().any(|(known, _)| *known == topic) {
                return Err(Fault::field(field("topic"), "is there twice"));
            }
            let from = match from {
                Some(_) => dialect::from(from).map_err(|invalid| Fault::field(field("from"), invalid))?,
                None if several && matches!(shared, From::Cursor(Cursor::One(_))) => {
                    let problem =
                        "is the position of one topic, and several are asked for; use a cursor, or give each its own";
                    return Err(Fault::field("from", problem));
                }
                None => shared.clone(),
            };
            topics.push((topic, from));
        }
        let continuation = match shared {
            From::Cursor(many @ Cursor::Many(_)) => Some(Continuation::Cursor(many)),
            _ => None,
        };
        let on_slow = dialect::on_slow(on_slow).map_err(|invalid| Fault::field("on_slow", invalid))?;
        Ok(Self { topics, continuation, on_slow, presence, until_live })
    }
}

#[cfg(test)]
mod tests {
    use fanfare_model::TopicTag;
    use fanfare_proto::v1::from::Start;
    use tonic::Status;
    use tonic_types::StatusExt as _;

    use super::*;

    fn from(text: &str) -> v1::From {
        v1::From { start: Some(Start::Text(text.to_owned())) }
    }

    fn topics(names: &[(&str, Option<&str>)]) -> Vec<v1::TopicFrom> {
        let one =
            |(topic, begin): &(&str, Option<&str>)| v1::TopicFrom { topic: (*topic).to_owned(), from: begin.map(from) };
        names.iter().map(one).collect()
    }

    #[test]
    fn each_topic_begins_where_it_says_or_where_all_do() {
        let request = v1::SubscribeRequest {
            topics: topics(&[("a", None), ("b", Some("last:3"))]),
            from: Some(from("start")),
            ..Default::default()
        };
        let wanted = Wanted::read(request, 2).unwrap();
        let begins: Vec<_> = wanted.topics.iter().map(|(topic, from)| (topic.as_str(), from.clone())).collect();
        assert_eq!(begins, [("a", From::Start), ("b", From::Last(3))]);
        assert!(wanted.continuation.is_none());
    }

    #[test]
    fn a_cursor_is_for_the_topics_of_the_server_as_well() {
        let position = "k3J9.17.0x7".parse().unwrap();
        let mut cursor = String::new();
        Cursor::write_many(&[(TopicTag::of(&Topic::new("a").unwrap()), position)], &mut cursor);
        let request =
            v1::SubscribeRequest { topics: topics(&[("b", None)]), from: Some(from(&cursor)), ..Default::default() };
        let continuation = Wanted::read(request, 9).unwrap().continuation.unwrap();
        assert_eq!(continuation.position_of(&Topic::new("a").unwrap()), Some(position));
    }

    #[test]
    fn refusals_name_the_field() {
        let check = |request: v1::SubscribeRequest, field: &str| {
            let status = Status::from(Wanted::read(request, 2).unwrap_err());
            let violations = status.get_error_details().bad_request().unwrap().field_violations.clone();
            assert_eq!(violations[0].field, field, "{status}");
        };
        let of = |names: &[(&str, Option<&str>)]| v1::SubscribeRequest { topics: topics(names), ..Default::default() };
        check(of(&[("a", None), ("b", None), ("c", None)]), "topics");
        check(of(&[("a", None), ("a b", None)]), "topics[1].topic");
        check(of(&[("a", None), ("a", None)]), "topics[1].topic");
        check(of(&[("a", Some("later"))]), "topics[0].from");
        check(v1::SubscribeRequest { from: Some(from("k3J9.17.0x7")), ..of(&[("a", None), ("b", None)]) }, "from");
        check(v1::SubscribeRequest { on_slow: 77, ..of(&[("a", None)]) }, "on_slow");
    }
}
