//! What the application is asked, as JSON and as protobuf: the same members (`docs/hooks.md`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fanfare_model::{DataKind, Draft};
use fanfare_proto::v1;
use fanfare_session::Ask;
use serde::Serialize;
use serde_json::value::RawValue;

/// `message` is as the HTTP API takes it.
#[derive(Serialize)]
struct Question<'a> {
    hook: &'static str,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    data: Payload<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Base64(String),
}

/// The body of a POST. `None` if it cannot be written, which for checked values does not happen.
pub(crate) fn to_json(ask: &Ask) -> Option<Vec<u8>> {
    let question = Question {
        hook: ask.hook.as_str(),
        tenant: ask.tenant.as_str(),
        session: ask.session.as_ref().map(AsRef::as_ref),
        user: ask.user.as_ref().map(AsRef::as_ref),
        protocol: ask.protocol.as_str(),
        address: ask.address,
        client: ask.client.as_deref(),
        info: ask.info.as_deref(),
        topic: ask.topic.as_ref().map(fanfare_model::Topic::as_str),
        message: ask.draft.as_ref().map(message),
    };
    serde_json::to_vec(&question).ok()
}

fn message(draft: &Draft) -> Message<'_> {
    let json = |text| serde_json::from_str::<&RawValue>(text).ok();
    let (encoding, data) = match (draft.data.kind(), draft.data.as_text()) {
        (DataKind::Json, Some(text)) if let Some(json) = json(text) => (None, Payload::Json(json)),
        (DataKind::Text, Some(text)) => (Some("text"), Payload::Text(text)),
        _ => (Some("base64"), Payload::Base64(STANDARD.encode(draft.data.bytes()))),
    };
    Message {
        id: draft.id.as_str(),
        name: draft.name.as_ref().map(AsRef::as_ref),
        key: draft.key.as_ref().map(AsRef::as_ref),
        occurred_at: draft.occurred_at.map(fanfare_model::Timestamp::as_micros),
        headers: draft.headers.iter().collect(),
        schema: draft.schema.as_ref().map(AsRef::as_ref),
        encoding,
        data,
    }
}

/// The request of `fanfare.v1.Hooks`.
pub(crate) fn to_proto(ask: &Ask) -> v1::HookRequest {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    v1::HookRequest {
        hook: ask.hook.as_str().to_owned(),
        tenant: ask.tenant.as_str().to_owned(),
        session: text(ask.session.as_ref().map(AsRef::as_ref)),
        user: text(ask.user.as_ref().map(AsRef::as_ref)),
        protocol: ask.protocol.as_str().to_owned(),
        address: ask.address.map(|address| address.to_string()).unwrap_or_default(),
        client: text(ask.client.as_deref()),
        info: ask.info.as_ref().map(|info| Bytes::copy_from_slice(info.get().as_bytes())).unwrap_or_default(),
        topic: text(ask.topic.as_ref().map(fanfare_model::Topic::as_str)),
        message: ask.draft.as_ref().map(v1::Message::from),
    }
}
