//! API keys: making, listing, revoking.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use fanfare_auth::{Action, Door, Grant, KeyInfo, KeyOrigin, KeyRequest};
use fanfare_model::Timestamp;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::disk::on_disk;
use crate::fault::Fault;
use crate::openapi::GrantBody;
use crate::{Api, body};

/// What an API key shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "shop backend", "grants": [{"topics": ["orders:*"], "allow": ["publish", "history"]}]
}))]
pub(crate) struct CreateKey {
    /// Its public part: 1–64 of `A-Z a-z 0-9 _ -`, never used before. Default: random.
    #[serde(default)]
    id: Option<String>,
    /// What it is for, for people.
    #[serde(default)]
    name: Option<String>,
    /// What it allows.
    #[schema(value_type = Vec<GrantBody>)]
    grants: Vec<Grant>,
    /// The doors it opens: `server`, `client`. Default: `["server"]`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    doors: Option<Vec<Door>>,
    /// When it ends: RFC 3339. Default: never.
    #[serde(default)]
    expires_at: Option<String>,
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "Zk3v0QbX9sLm", "name": "shop backend", "doors": ["server"], "origin": "file",
    "grants": [{"topics": ["orders:*"], "allow": ["publish", "history"]}], "created_at": 1_763_719_200_123_456_i64
}))]
pub(crate) struct KeyBody {
    /// Its public part.
    id: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What it allows.
    #[schema(value_type = Vec<GrantBody>)]
    grants: Vec<Grant>,
    /// The doors it opens.
    #[schema(value_type = Vec<String>)]
    doors: Vec<Door>,
    /// Where it is kept: `configuration` or `file`.
    #[schema(value_type = String)]
    origin: KeyOrigin,
    /// When it was made, in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    /// When it ends, in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    /// When it was revoked, in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<i64>,
}

impl From<KeyInfo> for KeyBody {
    fn from(info: KeyInfo) -> Self {
        Self {
            id: info.id,
            name: info.name,
            grants: info.grants,
            doors: info.doors,
            origin: info.origin,
            created_at: info.created_at.map(Timestamp::as_micros),
            expires_at: info.expires_at.map(Timestamp::as_micros),
            revoked_at: info.revoked_at.map(Timestamp::as_micros),
        }
    }
}

/// An API key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedKeyBody {
    /// The whole key, to be used as `Authorization: Bearer <secret>`. It is shown only now.
    #[schema(example = "ffk_Zk3v0QbX9sLm_…")]
    secret: String,
    key: KeyBody,
}

/// The API keys of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyListBody {
    /// By id; revoked ones as well.
    keys: Vec<KeyBody>,
}

/// What was revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokedKey {
    /// The id of the key.
    revoked: String,
}

/// Make an API key
///
/// For the credential's own tenant. The answer is the only place where the secret is ever shown; only its hash is
/// kept. Whoever may do this has `admin` on `*`, so the key may allow anything within the tenant.
#[utoipa::path(
    post,
    path = "/v1/keys",
    operation_id = "create_key",
    tag = "keys",
    request_body = CreateKey,
    responses(
        (status = 201, body = CreatedKeyBody, description = "The key."),
        (status = 409, body = crate::openapi::Problem, content_type = "application/problem+json", description = "The id is, or was, another key's."),
    ),
)]
pub(crate) async fn create(
    State(api): State<Api>,
    Caller(principal): Caller,
    request: Request,
) -> Result<Response, Fault> {
    principal.authorize_any(Action::Admin)?;
    let asked: CreateKey = body::read_json(request, &api.options).await?;
    let expires_at = asked
        .expires_at
        .as_deref()
        .map(Timestamp::parse)
        .transpose()
        .map_err(|invalid| Fault::invalid(format_args!("expires_at: {invalid}")).at("/expires_at"))?;
    let defaults = KeyRequest::default();
    let request = KeyRequest {
        id: asked.id,
        name: asked.name,
        tenant: principal.tenant.clone(),
        grants: asked.grants,
        doors: asked.doors.unwrap_or(defaults.doors),
        expires_at,
    };
    let auth = api.node.auth.clone();
    let created = on_disk(move || auth.create_key(request)).await?;
    let key = created.key;
    tracing::info!(target: "fanfare::security", key_id = key.id, tenant = principal.tenant.as_str(), "API key made");
    let key = KeyBody {
        id: key.id,
        name: key.name,
        grants: key.grants,
        doors: key.doors,
        origin: KeyOrigin::File,
        created_at: key.created_at.map(Timestamp::as_micros),
        expires_at: key.expires_at.map(Timestamp::as_micros),
        revoked_at: None,
    };
    let body = CreatedKeyBody { secret: created.text.reveal().to_owned(), key };
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// List API keys
///
/// Those of the credential's tenant, revoked ones as well, without their secrets. Needs `admin` on `*`.
#[utoipa::path(
    get,
    path = "/v1/keys",
    operation_id = "list_keys",
    tag = "keys",
    responses((status = 200, body = KeyListBody, description = "The keys.")),
)]
pub(crate) async fn list(State(api): State<Api>, Caller(principal): Caller) -> Result<Json<KeyListBody>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let keys = api.node.auth.list_keys().into_iter().filter(|key| key.tenant == principal.tenant);
    Ok(Json(KeyListBody { keys: keys.map(KeyBody::from).collect() }))
}

/// Revoke an API key
///
/// At once and for good: whoever uses it is refused, and sessions that it let in end within a second. Revoking a
/// revoked key changes nothing. Needs `admin` on `*`.
#[utoipa::path(
    delete,
    path = "/v1/keys/{id}",
    operation_id = "revoke_key",
    tag = "keys",
    params(("id" = String, Path, description = "The public part of the key.", example = json!("Zk3v0QbX9sLm"))),
    responses(
        (status = 200, body = RevokedKey, description = "It is revoked."),
        (status = 404, body = crate::openapi::Problem, content_type = "application/problem+json", description = "There is no such key."),
    ),
)]
pub(crate) async fn revoke(
    State(api): State<Api>,
    Caller(principal): Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<RevokedKey>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let Path(id) = id?;
    // A key of another tenant is as if it were not there.
    let auth = api.node.auth.clone();
    let is_ours = auth.list_keys().iter().any(|key| key.id == id && key.tenant == principal.tenant);
    if !is_ours {
        return Err(Fault::not_found("there is no such API key"));
    }
    let revoked = id.clone();
    on_disk(move || auth.revoke_key(&id)).await?;
    Ok(Json(RevokedKey { revoked }))
}
