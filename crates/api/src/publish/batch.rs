//! The body of a publish request: topics and messages.

use std::collections::HashSet;

use bytes::Bytes;
use fanfare_model::{Draft, Topic};
use serde_json::value::RawValue;

use super::json::{Place, items, members, string, whole};
use super::{message, quick};
use crate::fault::Fault;

/// What is to be published: every message to every topic. Neither is empty.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) topics: Vec<Topic>,
    pub(super) messages: Vec<Draft>,
    pub(super) topics_form: Form,
    pub(super) messages_form: Form,
}

/// How topics or messages were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Under this name, without an array.
    One(&'static str),
    /// In an array of this name.
    Many(&'static str),
    /// Not in the body.
    Elsewhere,
}

impl Form {
    /// Where in the body the one with this index stands.
    pub(super) fn place(self, index: usize) -> Place {
        match self {
            Self::One(name) => Place::default().member(name),
            Self::Many(name) => Place::default().member(name).item(index),
            Self::Elsewhere => Place::default(),
        }
    }
}

impl Batch {
    /// One message to one topic, from a request whose body is the data.
    pub(super) fn single(topic: Topic, message: Draft) -> Self {
        Self {
            topics: vec![topic],
            messages: vec![message],
            topics_form: Form::Elsewhere,
            messages_form: Form::Elsewhere,
        }
    }

    /// Where in the body a topic stands.
    pub(super) fn topic_at(&self, index: usize) -> Place {
        self.topics_form.place(index)
    }
}

/// Reads a body; it may hold at most `batch_max` pairs of a topic and a message. One with nothing wrong is read
/// at once; what is wrong is only looked for when something is.
pub(super) fn parse(bytes: &Bytes, batch_max: usize) -> Result<Batch, Fault> {
    match quick::read(bytes, batch_max) {
        Some(batch) => Ok(batch),
        None => parse_slowly(bytes, batch_max),
    }
}

/// Reads a body member by member, and says what is wrong and where.
fn parse_slowly(bytes: &[u8], batch_max: usize) -> Result<Batch, Fault> {
    let body = Place::default();
    let members = members(whole(bytes)?, &body)?;
    if let Some((name, _)) =
        members.iter().find(|(name, _)| !["topic", "topics", "message", "messages"].contains(&&**name))
    {
        let known = "`topic` or `topics`, and `message` or `messages`";
        return Err(body.member(name).fault(format_args!("is not a member of this request; those are {known}")));
    }
    let find = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
    let (topics, topics_form) = one_or_many((find("topic"), "topic"), (find("topics"), "topics"), batch_max)?;
    let (messages, messages_form) =
        one_or_many((find("message"), "message"), (find("messages"), "messages"), batch_max)?;
    let pairs = topics.1.saturating_mul(messages.1);
    if pairs > batch_max {
        return Err(Fault::too_large(format_args!(
            "the batch has {pairs} events ({} topics × {} messages); at most {batch_max} are allowed",
            topics.1, messages.1
        ))
        .with_code("batch_too_large"));
    }
    Ok(Batch {
        topics: read_topics(&topics.0, topics_form)?,
        messages: read_messages(&messages.0, messages_form)?,
        topics_form,
        messages_form,
    })
}

type Counted<'a> = (Vec<&'a RawValue>, usize);

/// The values under exactly one of two names: `one` holds one, `many` an array.
fn one_or_many<'a>(
    (one, one_name): (Option<&'a RawValue>, &'static str),
    (many, many_name): (Option<&'a RawValue>, &'static str),
    max: usize,
) -> Result<(Counted<'a>, Form), Fault> {
    let body = Place::default();
    match (one, many) {
        (None, None) => {
            Err(body.fault(format_args!("has neither `{one_name}` nor `{many_name}`; it needs one of them")))
        }
        (Some(_), Some(_)) => {
            Err(body.member(many_name).fault(format_args!("is there beside `{one_name}`; give only one of them")))
        }
        (Some(value), None) => Ok(((vec![value], 1), Form::One(one_name))),
        (None, Some(value)) => {
            let place = body.member(many_name);
            let found = items(value, max, &place)?;
            if found.1 == 0 {
                return Err(place.fault("is empty; it needs at least one item"));
            }
            Ok((found, Form::Many(many_name)))
        }
    }
}

fn read_topics(values: &[&RawValue], form: Form) -> Result<Vec<Topic>, Fault> {
    let mut seen = HashSet::with_capacity(values.len());
    let mut topics = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let place = form.place(index);
        let topic = Topic::new(string(value, &place)?).map_err(|invalid| place.fault(invalid))?;
        if !seen.insert(topic.clone()) {
            return Err(place.fault("is there twice"));
        }
        topics.push(topic);
    }
    Ok(topics)
}

fn read_messages(values: &[&RawValue], form: Form) -> Result<Vec<Draft>, Fault> {
    values.iter().enumerate().map(|(index, value)| message::parse(value, &form.place(index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is read at once is read the same member by member, but for the ids that are made up.
    #[test]
    fn both_ways_of_reading_agree() {
        let bodies = [
            (r#"{"topic":"a","message":{"id":"1","data":{"x":[1, 2]}}}"#, true),
            (
                r#" {"topics":["a","b:c"], "messages":[{"id":"1","data":"x","encoding":"text"},{"id":"2","data":null}]} "#,
                true,
            ),
            (r#"{"messages":[{"id":"1","data":1,"headers":{"a":"b"},"name":"n","key":"k"}],"topic":"\u0061"}"#, true),
            (r#"{"topics":["a","a"],"message":{"id":"1","data":1}}"#, false),
            (r#"{"topic":"a","topics":["b"],"message":{"id":"1","data":1}}"#, false),
            (r#"{"topic":null,"topics":["b"],"message":{"id":"1","data":1}}"#, false),
            (r#"{"topic":"a","message":null,"messages":[{"id":"1","data":1}]}"#, false),
            (r#"{"topic":"a","topic":"a","message":{"id":"1","data":1}}"#, false),
            (r#"{"topics":[],"message":{"id":"1","data":1}}"#, false),
            (r#"{"topic":"a","messages":[]}"#, false),
            (r#"{"topic":"a","messages":[{"data":1},{"data":1},{"data":1},{"data":1},{"data":1}]}"#, false),
            (r#"{"topics":["a","b","c"],"messages":[{"data":1},{"data":1}]}"#, false),
            (r#"{"topic":"a","message":{"id":"1"}}"#, false),
            (r#"{"topic":"a b","message":{"data":1}}"#, false),
            (r#"{"topic":"a","message":{"data":1},"more":1}"#, false),
            (r#"{"topic":"a","message":{"data":1}} x"#, false),
            (r#"[{"topic":"a","message":{"data":1}}]"#, false),
            (r#"{"topic":"a"}"#, false),
            ("", false),
        ];
        for (body, is_right) in bodies {
            let body = Bytes::from(body);
            let quick = quick::read(&body, 4);
            let slow = parse_slowly(&body, 4);
            assert_eq!((quick.is_some(), slow.is_ok()), (is_right, is_right), "{body:?}");
            if let (Some(quick), Ok(slow)) = (quick, slow) {
                assert_eq!((quick.topics, quick.messages), (slow.topics, slow.messages));
                assert_eq!((quick.topics_form, quick.messages_form), (slow.topics_form, slow.messages_form));
            }
        }
    }
}
