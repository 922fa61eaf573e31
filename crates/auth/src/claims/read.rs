//! Reading what claims hold. An error is the rest of a sentence that begins with the claim's name.

use fanfare_model::{Timestamp, Topic, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::members::Members;
use crate::{Action, Grant, Pattern};

/// The last second of the year 9999: no honest date is later, and no arithmetic on it overflows.
const SECONDS_MAX: i64 = 253_402_300_799;

/// What Ably's and our own table of capabilities call everything.
const EVERYTHING: [Action; 4] = [Action::Subscribe, Action::Publish, Action::History, Action::Presence];

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

pub(super) fn one_or_many(raw: &RawValue) -> Option<OneOrMany> {
    serde_json::from_str(raw.get()).ok()
}

pub(super) fn text(raw: &RawValue) -> Result<String, String> {
    serde_json::from_str(raw.get()).map_err(|_| "is not text".to_owned())
}

/// A date as a token has it: whole seconds since 1970.
pub(super) fn date(raw: &RawValue) -> Result<Timestamp, String> {
    match raw.get().parse::<i64>() {
        Ok(seconds @ 0..=SECONDS_MAX) => Ok(Timestamp::from_seconds(seconds)),
        _ => Err("is not a whole number of seconds since 1970 before the year 10000".to_owned()),
    }
}

/// A user; issuers that number theirs are understood as well, where the configuration names the claim.
pub(super) fn user(raw: &RawValue, or_number: bool) -> Result<UserId, String> {
    let text = match raw.get().parse::<i64>() {
        Ok(number) if or_number => number.to_string(),
        _ => text(raw)?,
    };
    UserId::new(text).map_err(|e| e.problem)
}

pub(super) fn info(raw: &RawValue) -> Result<Box<RawValue>, String> {
    if raw.get().starts_with('{') { Ok(raw.to_owned()) } else { Err("is not an object".to_owned()) }
}

/// Grants in our own form.
pub(super) fn grants(raw: &RawValue) -> Result<Vec<Grant>, String> {
    let problem = "is not a list of objects `{\"topics\":[…],\"allow\":[…]}`, or has a topic pattern or an action in it \
                   that is not one";
    let entries: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| problem)?;
    entries
        .into_iter()
        .map(|entry| {
            // serde would read an array as the members in their order.
            let grant = if entry.get().starts_with('{') { serde_json::from_str(entry.get()).ok() } else { None };
            grant.ok_or_else(|| problem.to_owned())
        })
        .collect()
}

/// Patterns: a list, or text with commas.
pub(super) fn patterns(raw: &RawValue) -> Result<Vec<Pattern>, String> {
    let texts = match one_or_many(raw) {
        Some(OneOrMany::One(list)) => list.split(',').map(|text| text.trim().to_owned()).collect(),
        Some(OneOrMany::Many(texts)) => texts,
        None => return Err("is neither a list of texts nor text with commas".to_owned()),
    };
    texts.into_iter().map(|text| Pattern::parse(text).map_err(|e| format!("has a {e}"))).collect()
}

/// A list of topics.
pub(super) fn topic_list(raw: &RawValue) -> Result<Vec<Topic>, String> {
    serde_json::from_str(raw.get()).map_err(|_| "is not a list of topics".to_owned())
}

/// Topics: a list, or an object with topics as names.
pub(super) fn topics(raw: &RawValue) -> Result<Vec<Topic>, String> {
    match Members::of(raw) {
        Some(members) => members.iter().map(|(name, _)| Topic::new(name).map_err(|e| format!("has a {e}"))).collect(),
        None => topic_list(raw),
    }
}

/// Leave to listen to exactly these topics.
pub(super) fn to_listen(topics: &[Topic]) -> Result<Grant, String> {
    let exact = |topic: &Topic| {
        Pattern::exact(topic)
            .ok_or_else(|| "has a topic with `*`, `{` or `}` in it, which grants cannot name".to_owned())
    };
    Ok(Grant::to_listen(topics.iter().map(exact).collect::<Result<_, _>>()?))
}

/// `{"<pattern>": ["<action>", …]}`, or the same as text. Actions that are not known allow nothing here.
pub(super) fn capabilities(raw: &RawValue) -> Result<Vec<Grant>, String> {
    let problem = || "is not an object of lists of texts by topic pattern".to_owned();
    let as_text: Option<String> = serde_json::from_str(raw.get()).ok();
    let members = match &as_text {
        Some(text) => Members::parse(text),
        None => Members::of(raw),
    };
    let mut grants = Vec::new();
    for (name, actions) in members.ok_or_else(problem)?.iter() {
        // Ably's qualified names (`[meta]log`) are about things that are not here.
        if name.starts_with('[') {
            continue;
        }
        let topics = vec![Pattern::parse(name).map_err(|e| format!("has a {e}"))?];
        let actions: Vec<String> = serde_json::from_str(actions.get()).map_err(|_| problem())?;
        grants.push(Grant { topics, allow: actions.iter().flat_map(|name| actions_named(name)).copied().collect() });
    }
    Ok(grants)
}

/// The actions of this name, in our words, Ably's or Centrifugo's.
fn actions_named(name: &str) -> &'static [Action] {
    match name {
        "*" => &EVERYTHING,
        "subscribe" | "sub" => &[Action::Subscribe],
        "publish" | "pub" => &[Action::Publish],
        "history" | "hst" => &[Action::History],
        "presence" | "prs" | "presence-subscribe" => &[Action::Presence],
        _ => &[],
    }
}

/// Centrifugo's `caps`: a list of channels with what may be done there.
pub(super) fn caps(raw: &RawValue) -> Result<Vec<Grant>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Cap {
        channels: Vec<String>,
        #[serde(rename = "match", default)]
        by: Option<String>,
        #[serde(default)]
        allow: Vec<String>,
    }
    let caps: Vec<Cap> = serde_json::from_str(raw.get())
        .map_err(|_| "is not a list of objects with `channels`, `match` and `allow`".to_owned())?;
    caps.into_iter()
        .map(|cap| {
            let pattern = |text: &String| match cap.by.as_deref() {
                None | Some("") => Topic::new(text)
                    .map_err(|e| format!("has a {e}"))
                    .and_then(|topic| Pattern::exact(&topic).ok_or_else(|| format!("has a `{text}` without `match`"))),
                Some("wildcard") => Pattern::parse(text).map_err(|e| format!("has a {e}")),
                Some(_) => Err("has a `match` other than `wildcard`, which is not supported".to_owned()),
            };
            let topics = cap.channels.iter().map(pattern).collect::<Result<_, _>>()?;
            Ok(Grant { topics, allow: cap.allow.iter().flat_map(|name| actions_named(name)).copied().collect() })
        })
        .collect()
}

/// Names: a list, or text with spaces.
pub(super) fn names(raw: &RawValue) -> Result<Vec<String>, String> {
    match one_or_many(raw) {
        Some(OneOrMany::One(list)) => Ok(list.split_whitespace().map(str::to_owned).collect()),
        Some(OneOrMany::Many(names)) => Ok(names),
        None => Err("is neither a list of texts nor text with spaces".to_owned()),
    }
}
