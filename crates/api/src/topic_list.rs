//! Listing topics.

use axum::Json;
use axum::extract::{RawQuery, State};
use fanfare_auth::{Action, Principal};
use fanfare_bus::TopicsQuery;
use fanfare_model::Topic;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Api;
use crate::caller::Caller;
use crate::fault::Fault;
use crate::head::HeadBody;
use crate::listing::{End, Listing};
use crate::params::Params;

/// A page of topics, sorted by name (by its bytes).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicListBody {
    /// The topics. May be fewer than `limit`, even none, although there are more.
    topics: Vec<ListedTopic>,
    #[serde(flatten)]
    end: End,
}

/// A topic and the end of its log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedTopic {
    /// The topic.
    topic: String,
    head: HeadBody,
}

/// List topics
///
/// The topics that were ever published to and keep history, as far as the credential may see them: those it has
/// `history` or `admin` on. Who may see only some gets pages that are shorter than `limit`, even empty ones, while
/// `more` is true.
#[utoipa::path(
    get,
    path = "/v1/topics",
    operation_id = "list_topics",
    tag = "topics",
    params(
        ("prefix" = Option<String>, Query, description = "Only topics that begin with this.", example = json!("orders:")),
        ("after" = Option<String>, Query, description = "Only topics that sort after this one."),
        ("limit" = Option<u64>, Query, description = "The most topics of the page. Default 100, at most 1000."),
    ),
    responses((status = 200, body = TopicListBody, description = "A page of topics.")),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Caller(principal): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<TopicListBody>, Fault> {
    let params = Params::parse(query.as_deref(), &["prefix", "after", "limit"])?;
    let Listing { after, limit } = Listing::of(&params, &api.options)?;
    let prefix = params.get("prefix").unwrap_or_default().to_owned();
    let page = api.node.bus.topics(TopicsQuery { tenant: principal.tenant.clone(), prefix, after, limit }).await?;
    let end = End::new(page.more, page.topics.last().map(|(topic, _)| topic.as_str().to_owned()));
    let topics = page
        .topics
        .into_iter()
        .filter(|(topic, _)| sees(&principal, topic))
        .map(|(topic, head)| ListedTopic { topic: topic.into(), head: head.into() })
        .collect();
    Ok(Json(TopicListBody { topics, end }))
}

/// Whether `principal` is shown that a topic is there.
pub(crate) fn sees(principal: &Principal, topic: &Topic) -> bool {
    principal.may(Action::History, topic) || principal.may(Action::Admin, topic)
}
