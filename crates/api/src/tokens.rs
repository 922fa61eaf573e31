//! Ending tokens before their time, and shutting users out.

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use fanfare_auth::{Action, Principal, Revocation, Revoked as Kept};
use fanfare_model::{Invalid, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::listing::{End, Listing};
use crate::params::{Opaque, Params};
use crate::{Api, body};

/// What to revoke: exactly one of `token_id`, `user` and `block_user`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user": "alice", "issued_before": 1_763_719_200}))]
pub(crate) struct Revoke {
    /// The token with this `jti`.
    token_id: Option<String>,
    /// Tokens of this user that were issued before `issued_before`.
    user: Option<String>,
    /// Whole seconds since 1970, as in `iat`, or RFC 3339. Not in the future. Default: now.
    #[schema(value_type = Option<i64>)]
    issued_before: Option<Moment>,
    /// Nobody with this user's name gets in until they are unblocked.
    block_user: Option<String>,
}

/// A moment as a token says it, or as a person does.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`issued_before` is whole seconds since 1970, or a string in the form of RFC 3339")]
enum Moment {
    Seconds(i64),
    Text(String),
}

/// What was revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Revoked {
    revoked: RevocationBody,
}

/// Something that is revoked: `token_id`, `user` with `issued_before`, or `block_user`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revocation, example = json!({"user": "alice", "issued_before": 1_763_719_200_000_000_i64}))]
pub(crate) struct RevocationBody {
    /// The token with this `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    /// Tokens of this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Those that were issued before this, in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<i64>,
    /// The user who is blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    block_user: Option<String>,
    /// When it was revoked, in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
    /// When it is forgotten, because every token that it concerns has ended by then. A block is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

impl From<Kept> for RevocationBody {
    fn from(kept: Kept) -> Self {
        let until = kept.until.map(Timestamp::as_micros);
        Self { at: Some(kept.at.as_micros()), until, ..Self::from(&kept.revocation) }
    }
}

impl From<&Revocation> for RevocationBody {
    fn from(revocation: &Revocation) -> Self {
        let none = Self { token_id: None, user: None, issued_before: None, block_user: None, at: None, until: None };
        match revocation {
            Revocation::Token { id, .. } => Self { token_id: Some(id.clone()), ..none },
            Revocation::UserTokens { user, issued_before, .. } => {
                Self { user: Some(user.to_string()), issued_before: Some(issued_before.as_micros()), ..none }
            }
            Revocation::Block { user, .. } => Self { block_user: Some(user.to_string()), ..none },
        }
    }
}

/// A page of what is revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevocationListBody {
    /// What is revoked. What concerned only tokens that have ended by themselves is forgotten.
    revocations: Vec<RevocationBody>,
    #[serde(flatten)]
    end: End,
}

/// Who is let in again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user": "alice"}))]
pub(crate) struct Unblock {
    /// The user.
    user: String,
}

/// Who was let in again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Unblocked {
    /// The user.
    #[schema(example = "alice")]
    unblocked: String,
}

/// Revoke tokens, or block a user
///
/// At every door of every node, and for resume tokens as well; sessions that it concerns end within a second (`revoked`).
/// Give exactly one of `token_id`, `user` and `block_user`. Needs `admin` on `*`.
#[utoipa::path(
    post,
    path = "/v1/tokens/revoke",
    operation_id = "revoke_tokens",
    tag = "tokens",
    request_body = Revoke,
    responses((status = 200, body = Revoked, description = "It is revoked.")),
)]
pub(crate) async fn revoke(
    State(api): State<Api>,
    Caller(principal): Caller,
    request: Request,
) -> Result<Json<Revoked>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let asked = body::read_json(request, &api.options).await?;
    let revocation = understand(asked, &principal, api.node.clock.now())?;
    let revoked = RevocationBody::from(&revocation);
    api.node.revoke(revocation).await?;
    Ok(Json(Revoked { revoked }))
}

fn understand(asked: Revoke, principal: &Principal, now: Timestamp) -> Result<Revocation, Fault> {
    let tenant = principal.tenant.clone();
    let user = |member: &str, text: String| UserId::new(text).map_err(|invalid| wrong(member, &invalid));
    match asked {
        Revoke { token_id: Some(id), user: None, issued_before: None, block_user: None } => {
            Ok(Revocation::Token { tenant, id })
        }
        Revoke { token_id: None, user: Some(name), issued_before, block_user: None } => {
            let issued_before = match issued_before {
                Some(Moment::Seconds(seconds)) => Timestamp::from_seconds(seconds),
                Some(Moment::Text(text)) => {
                    Timestamp::parse(&text).map_err(|invalid| wrong("issued_before", &invalid))?
                }
                None => now,
            };
            Ok(Revocation::UserTokens { tenant, user: user("user", name)?, issued_before })
        }
        Revoke { token_id: None, user: None, issued_before: None, block_user: Some(name) } => {
            Ok(Revocation::Block { tenant, user: user("block_user", name)? })
        }
        _ => Err(Fault::invalid(
            "the body needs exactly one of `token_id`, `user` (with `issued_before`, if not now) and `block_user`",
        )
        .at("")),
    }
}

fn wrong(member: &str, invalid: &Invalid) -> Fault {
    Fault::invalid(format_args!("{member}: {invalid}")).at(&format!("/{member}"))
}

/// List what is revoked
///
/// Of the credential's tenant. Needs `admin` on `*`.
#[utoipa::path(
    get,
    path = "/v1/tokens/revocations",
    operation_id = "list_revocations",
    tag = "tokens",
    params(
        ("after" = Option<String>, Query, description = "Where the page before ended."),
        ("limit" = Option<u64>, Query, description = "The most of the page. Default 100, at most 1000."),
    ),
    responses((status = 200, body = RevocationListBody, description = "A page of them.")),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Caller(principal): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<RevocationListBody>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let params = Params::parse(query.as_deref(), &["after", "limit"])?;
    let Listing { after, limit } = Listing::<Opaque>::of(&params, &api.options)?;
    let page = api.node.auth.list_revocations(&principal.tenant, after.as_deref(), limit);
    let revocations = page.revoked.into_iter().map(RevocationBody::from).collect();
    Ok(Json(RevocationListBody { revocations, end: End::at(page.next) }))
}

/// Let a blocked user in again
///
/// Tokens of the user that were revoked stay so. Needs `admin` on `*`.
#[utoipa::path(
    post,
    path = "/v1/tokens/unblock",
    operation_id = "unblock_user",
    tag = "tokens",
    request_body = Unblock,
    responses(
        (status = 200, body = Unblocked, description = "The user is not blocked any more."),
        (status = 404, body = crate::openapi::Problem, content_type = "application/problem+json", description = "The user is not blocked."),
    ),
)]
pub(crate) async fn unblock(
    State(api): State<Api>,
    Caller(principal): Caller,
    request: Request,
) -> Result<Json<Unblocked>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let asked: Unblock = body::read_json(request, &api.options).await?;
    let user = UserId::new(&asked.user).map_err(|invalid| wrong("user", &invalid))?;
    api.node.unblock(&principal.tenant, &user).await?;
    Ok(Json(Unblocked { unblocked: asked.user }))
}
