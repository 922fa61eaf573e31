//! `Sessions`: what the application wants of the client sessions of this node.

use fanfare_auth::Action;
use fanfare_dialect_proto as dialect;
use fanfare_model::{Kind, SessionId, Topic, UserId};
use fanfare_proto::v1::{self, sessions_selector};
use fanfare_session::{From, Query, SessionInfo, Whose};

use crate::call::Call;
use crate::fault::Fault;
use crate::paging::{given, limit, needed};

pub(crate) async fn list(call: Call, request: v1::ListSessionsRequest) -> Result<v1::ListSessionsResponse, Fault> {
    call.principal.authorize_any(Action::Admin)?;
    let query = Query {
        tenant: call.principal.tenant.clone(),
        user: given::<UserId>("user", &request.user)?,
        after: given::<SessionId>("after", &request.after)?,
        limit: limit(request.limit, &call.gateway.options)?,
    };
    let page = call.gateway.node.sessions.list(&query);
    let next = page.sessions.last().filter(|_| page.more).map(|info| info.id.as_str().to_owned());
    let sessions = page.sessions.into_iter().map(told).collect();
    let listed = v1::ListSessionsResponse { sessions, total: page.total as u64, next: next.unwrap_or_default() };
    std::future::ready(Ok(listed)).await
}

fn told(info: SessionInfo) -> v1::SessionInfo {
    v1::SessionInfo {
        id: info.id.into(),
        user: info.user.map(String::from).unwrap_or_default(),
        protocol: info.protocol.as_str().to_owned(),
        connected_at: info.connected_at.as_micros(),
        expires_at: info.expires_at.map(fanfare_model::Timestamp::as_micros),
        address: info.address.map(|address| address.to_string()).unwrap_or_default(),
        client: info.client.map(|client| client.as_ref().to_owned()).unwrap_or_default(),
    }
}

pub(crate) async fn disconnect(call: Call, request: v1::SessionsSelector) -> Result<v1::SessionsAffected, Fault> {
    call.principal.authorize_any(Action::Admin)?;
    let whose = whose(&call, Some(request))?;
    let sessions = &call.gateway.node.sessions;
    let count = match &whose {
        Whose::Session(tenant, id) => usize::from(sessions.disconnect(tenant, id)),
        Whose::User(tenant, user) => sessions.disconnect_user(tenant, user),
    };
    std::future::ready(affected(&call, &whose, count, "disconnect")).await
}

pub(crate) async fn subscribe(
    call: Call,
    request: v1::SubscribeSessionsRequest,
) -> Result<v1::SessionsAffected, Fault> {
    call.principal.authorize_any(Action::Admin)?;
    let whose = whose(&call, request.sessions)?;
    let mut topics: Vec<(Topic, From)> = Vec::new();
    for (index, v1::TopicFrom { topic, from }) in request.topics.into_iter().enumerate() {
        let field = |name: &str| format!("topics[{index}].{name}");
        let from = dialect::from(from).map_err(|invalid| Fault::field(field("from"), invalid))?;
        topics.push((needed(&field("topic"), &topic)?, from));
    }
    check_count(topics.len(), &call)?;
    let sessions = &call.gateway.node.sessions;
    let told = topics.iter().map(|(topic, from)| sessions.subscribe(&whose, topic, from)).max();
    std::future::ready(affected(&call, &whose, told.unwrap_or(0), "subscribe")).await
}

pub(crate) async fn unsubscribe(
    call: Call,
    request: v1::UnsubscribeSessionsRequest,
) -> Result<v1::SessionsAffected, Fault> {
    call.principal.authorize_any(Action::Admin)?;
    let whose = whose(&call, request.sessions)?;
    let read = |(index, text): (usize, &String)| needed(&format!("topics[{index}]"), text);
    let topics: Vec<Topic> = request.topics.iter().enumerate().map(read).collect::<Result<_, Fault>>()?;
    check_count(topics.len(), &call)?;
    let sessions = &call.gateway.node.sessions;
    let told = topics.iter().map(|topic| sessions.unsubscribe(&whose, topic)).max();
    std::future::ready(affected(&call, &whose, told.unwrap_or(0), "unsubscribe")).await
}

fn check_count(topics: usize, call: &Call) -> Result<(), Fault> {
    let most = call.gateway.options.topics_max;
    if (1..=most).contains(&topics) {
        return Ok(());
    }
    Err(Fault::field("topics", format_args!("are {topics}; 1 to {most} are allowed")))
}

fn whose(call: &Call, selector: Option<v1::SessionsSelector>) -> Result<Whose, Fault> {
    let tenant = call.principal.tenant.clone();
    match selector.and_then(|selector| selector.whose) {
        Some(sessions_selector::Whose::Session(id)) => Ok(Whose::Session(tenant, needed("session", &id)?)),
        Some(sessions_selector::Whose::User(user)) => Ok(Whose::User(tenant, needed("user", &user)?)),
        None => Err(Fault::field("whose", "is neither `session` nor `user`")),
    }
}

fn affected(call: &Call, whose: &Whose, sessions: usize, what: &'static str) -> Result<v1::SessionsAffected, Fault> {
    if sessions == 0 && matches!(whose, Whose::Session(..)) {
        return Err(Fault::new(Kind::NotFound, "there is no such session on this node"));
    }
    tracing::info!(
        target: "fanfare::security",
        what,
        sessions,
        tenant = call.principal.tenant.as_str(),
        issuer = &*call.principal.issuer,
        "sessions told by an administrator"
    );
    Ok(v1::SessionsAffected { sessions: u32::try_from(sessions).unwrap_or(u32::MAX) })
}
