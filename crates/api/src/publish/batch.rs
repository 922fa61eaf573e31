//! The body of a publish request: topics and messages.

use std::collections::HashSet;

use fanfare_model::{Draft, Topic};
use serde_json::value::RawValue;

use super::json::{Place, items, members, string, whole};
use super::message;
use crate::fault::Fault;

/// What is to be published: every message to every topic. Neither is empty.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) topics: Vec<Topic>,
    pub(super) messages: Vec<Draft>,
    topics_form: Form,
    messages_form: Form,
}

/// How topics or messages were given.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// Under this name, without an array.
    One(&'static str),
    /// In an array of this name.
    Many(&'static str),
    /// Not in the body.
    Elsewhere,
}

impl Form {
    fn place(self, index: usize) -> Place {
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

    /// Where in the body a message stands.
    pub(super) fn message_at(&self, index: usize) -> Place {
        self.messages_form.place(index)
    }
}

/// Reads a body; it may hold at most `batch_max` pairs of a topic and a message.
pub(super) fn parse(bytes: &[u8], batch_max: usize) -> Result<Batch, Fault> {
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
