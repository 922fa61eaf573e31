//! `Tokens`: ending tokens before their time, shutting users out, and tickets.

use fanfare_auth::{Action, Grant, Pattern, Revocation};
use fanfare_model::{Timestamp, UserId};
use fanfare_proto::v1::{self, revocation, revoke_request};

use crate::call::Call;
use crate::fault::Fault;
use crate::paging::{given, limit, needed};

pub(crate) async fn revoke(call: Call, request: v1::RevokeRequest) -> Result<v1::RevokeResponse, Fault> {
    use revoke_request::What;
    call.principal.authorize_any(Action::Admin)?;
    let tenant = call.principal.tenant.clone();
    let revocation = match request.what {
        Some(What::TokenId(id)) if !id.is_empty() => Revocation::Token { tenant, id },
        Some(What::User(user)) => {
            let issued_before = call.gateway.node.clock.now();
            Revocation::UserTokens { tenant, user: needed("user", &user)?, issued_before }
        }
        Some(What::UserTokens(v1::UserTokens { user, issued_before })) => {
            let issued_before = Timestamp::from_micros(issued_before);
            Revocation::UserTokens { tenant, user: needed("user_tokens.user", &user)?, issued_before }
        }
        Some(What::BlockUser(user)) => Revocation::Block { tenant, user: needed("block_user", &user)? },
        Some(What::TokenId(_)) | None => {
            return Err(Fault::field("what", "is none of `token_id`, `user`, `user_tokens` and `block_user`"));
        }
    };
    call.gateway.node.revoke(revocation).await?;
    Ok(v1::RevokeResponse {})
}

pub(crate) async fn revocations(call: Call, request: v1::RevocationsRequest) -> Result<v1::RevocationsResponse, Fault> {
    use revocation::What;
    call.principal.authorize_any(Action::Admin)?;
    let after = (!request.after.is_empty()).then_some(request.after.as_str());
    let limit = limit(request.limit, &call.gateway.options)?;
    let page = call.gateway.node.auth.list_revocations(&call.principal.tenant, after, limit);
    let told = page.revoked.into_iter().map(|revoked| {
        let what = match revoked.revocation {
            Revocation::Token { id, .. } => What::TokenId(id),
            Revocation::UserTokens { user, issued_before, .. } => {
                What::UserTokens(v1::UserTokens { user: user.into(), issued_before: issued_before.as_micros() })
            }
            Revocation::Block { user, .. } => What::BlockUser(user.into()),
        };
        v1::Revocation { what: Some(what), at: revoked.at.as_micros(), until: revoked.until.map(Timestamp::as_micros) }
    });
    let listed = v1::RevocationsResponse { revocations: told.collect(), next: page.next.unwrap_or_default() };
    std::future::ready(Ok(listed)).await
}

pub(crate) async fn unblock(call: Call, request: v1::UnblockRequest) -> Result<v1::UnblockResponse, Fault> {
    call.principal.authorize_any(Action::Admin)?;
    let user: UserId = needed("user", &request.user)?;
    call.gateway.node.unblock(&call.principal.tenant, &user).await?;
    Ok(v1::UnblockResponse {})
}

/// A ticket allows to listen to its topics, and to see who is there.
pub(crate) async fn ticket(call: Call, request: v1::TicketRequest) -> Result<v1::TicketResponse, Fault> {
    call.principal.authorize_any(Action::Admin)?;
    let (count, most) = (request.topics.len(), call.gateway.options.topics_max);
    if !(1..=most).contains(&count) {
        return Err(Fault::field("topics", format_args!("are {count}; 1 to {most} are allowed")));
    }
    let read = |(index, text): (usize, &String)| {
        Pattern::parse(text).map_err(|invalid| Fault::field(format!("topics[{index}]"), invalid))
    };
    let topics = request.topics.iter().enumerate().map(read).collect::<Result<_, Fault>>()?;
    let grants = [Grant { topics, allow: vec![Action::Subscribe, Action::History, Action::Presence] }];
    let (user, origin) = (given("user", &request.user)?, given_text(request.origin));
    let ticket = call.gateway.node.auth.ticket_for(call.principal.tenant.clone(), user, &grants, origin)?;
    let response = v1::TicketResponse { ticket: ticket.text, expires_in: ticket.expires_in.as_secs() };
    std::future::ready(Ok(response)).await
}

fn given_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
