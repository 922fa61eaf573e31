//! What an orchestrator and a scraper ask.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use fanfare_lifecycle::Phase;
use fanfare_model::{Tenant, Topic, TopicKey};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Api, operation};

/// How long the log may take to answer. More than a second is not ready for anybody.
const PATIENCE: Duration = Duration::from_secs(1);
/// The content type of Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How the node is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, `ready` or `not_ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

/// Is the process alive
///
/// Answers whenever the process can answer at all. If it does not, restart the process.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "livez",
    tag = "node",
    security(()),
    responses((status = 200, body = Health, description = "It is."))
)]
pub(crate) fn livez() -> std::future::Ready<Response> {
    std::future::ready(answer(StatusCode::OK, Health { status: "ok", reasons: Vec::new() }))
}

/// Is the node ready for traffic
///
/// Ready from the moment everything is open until the node is told to stop, while the log answers within a second.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "node",
    security(()),
    responses(
        (status = 200, body = Health, description = "It is."),
        (status = 503, body = Health, description = "It is not; `reasons` says why.",
            example = json!({"status": "not_ready", "reasons": ["the node is draining"]})),
    )
)]
pub(crate) async fn readyz(State(api): State<Api>) -> Response {
    let mut reasons = Vec::new();
    match api.node.life.phase() {
        Phase::Running => {}
        Phase::Starting => reasons.push("the node is starting"),
        Phase::Draining => reasons.push("the node is draining"),
        Phase::Stopping => reasons.push("the node is stopping"),
    }
    reasons.extend(log_trouble(&api).await);
    let (status, word) =
        if reasons.is_empty() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not_ready") };
    answer(status, Health { status: word, reasons })
}

/// Asks the log for something cheap.
async fn log_trouble(api: &Api) -> Option<&'static str> {
    let topic = Topic::new("readyz").ok()?;
    let heads = api.node.bus.heads(vec![TopicKey::new(Tenant::default(), topic)]);
    match tokio::time::timeout(PATIENCE, heads).await {
        Ok(Ok(_)) => None,
        Ok(Err(_)) => Some("the log cannot be read"),
        Err(_) => Some("the log does not answer within a second"),
    }
}

fn answer(status: StatusCode, health: Health) -> Response {
    let mut response = (status, Json(health)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `/metrics`.
pub(crate) fn metrics_router(render: Arc<dyn Fn() -> String + Send + Sync>) -> Router {
    let route = get(metrics).route_layer(from_fn_with_state("metrics", operation::account));
    Router::new().route("/metrics", route).with_state(render)
}

/// Metrics
///
/// In Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "node",
    security(()),
    responses((status = 200, body = String, content_type = "text/plain", description = "Every metric."))
)]
pub(crate) fn metrics(State(render): State<Arc<dyn Fn() -> String + Send + Sync>>) -> std::future::Ready<Response> {
    std::future::ready(([(CONTENT_TYPE, PROMETHEUS)], render()).into_response())
}
