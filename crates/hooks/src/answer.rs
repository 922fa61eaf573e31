//! What the application answers, read strictly: a word that is misspelt must not let anything through.

use fanfare_model::{Draft, EventId, Invalid, Topic, json};
use fanfare_proto::v1::{self, hook_response};
use fanfare_session::{Allow, Ask, Hook, Verdict};
use serde::Deserialize;

use crate::fault::{Fault, What};

/// The most bytes of a reason that are passed on.
const REASON_BYTES_MAX: usize = 512;

/// Told to the client where the application gives no reason.
const REASON_DEFAULT: &str = "the application does not allow it";

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Answer<'a> {
    #[serde(borrow)]
    Allow(Yes<'a>),
    Deny(No),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Yes<'a> {
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(borrow)]
    message: Option<json::Message<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct No {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    disconnect: bool,
}

/// Reads the body of an HTTP response.
pub(crate) fn from_json(body: &[u8], ask: &Ask) -> Result<Verdict, Fault> {
    let answer = serde_json::from_slice(body).map_err(|error| unreadable(&json::complaint("the answer", &error)))?;
    match answer {
        Answer::Deny(No { reason, disconnect }) => Ok(deny(&reason, disconnect)),
        Answer::Allow(Yes { subscribe, message }) => {
            let draft = match message {
                None => None,
                Some(mut message) => {
                    message.id.get_or_insert_with(|| id_of(ask));
                    Some(message.into_draft().map_err(|invalid| unreadable(&invalid))?)
                }
            };
            allow(subscribe, draft, ask)
        }
    }
}

/// Reads the response of `fanfare.v1.Hooks`.
pub(crate) fn from_proto(response: v1::HookResponse, ask: &Ask) -> Result<Verdict, Fault> {
    match response.verdict {
        None => Err(Fault::new(What::Unreadable, "the response has neither `allow` nor `deny`")),
        Some(hook_response::Verdict::Deny(deny_)) => Ok(deny(&deny_.reason, deny_.disconnect)),
        Some(hook_response::Verdict::Allow(v1::HookAllow { subscribe, message })) => {
            let draft = match message {
                None => None,
                Some(mut message) => {
                    if message.event_id.is_empty() {
                        message.event_id = id_of(ask);
                    }
                    Some(Draft::try_from(message).map_err(|invalid| unreadable(&invalid))?)
                }
            };
            allow(subscribe, draft, ask)
        }
    }
}

/// The client's id for its event: it stays, so that publishing again stores nothing twice.
fn id_of(ask: &Ask) -> String {
    ask.draft.as_ref().map_or_else(EventId::generate, |draft| draft.id.clone()).into()
}

fn allow(subscribe: Vec<String>, draft: Option<Draft>, ask: &Ask) -> Result<Verdict, Fault> {
    if !subscribe.is_empty() && ask.hook != Hook::Connect {
        return Err(Fault::new(What::Unreadable, "`allow.subscribe` is only for `connect`"));
    }
    let topics = subscribe.into_iter().map(Topic::new).collect::<Result<Vec<_>, _>>();
    let subscribe = topics.map_err(|invalid| unreadable(&invalid))?;
    let draft = match (draft, &ask.draft) {
        (None, _) => None,
        (Some(draft), Some(asked)) => {
            Some(Draft { user: asked.user.clone(), source: draft.source.or_else(|| asked.source.clone()), ..draft })
        }
        (Some(_), None) => return Err(Fault::new(What::Unreadable, "`allow.message` is only for `publish`")),
    };
    Ok(Verdict::Allow(Allow { subscribe, draft }))
}

fn deny(reason: &str, disconnect: bool) -> Verdict {
    let reason = reason.trim();
    let reason = if reason.is_empty() { REASON_DEFAULT } else { reason };
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    let reason = reason[..end].replace(|c: char| c.is_control(), " ");
    Verdict::Deny { reason, disconnect }
}

fn unreadable(invalid: &Invalid) -> Fault {
    Fault::new(What::Unreadable, invalid)
}
