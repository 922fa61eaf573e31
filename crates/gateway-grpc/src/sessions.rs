//! `Sessions`: what the application wants of the client sessions of all nodes.

use fanfare_auth::Action;
use fanfare_cluster::NodeId;
use fanfare_dialect_proto as dialect;
use fanfare_model::{SessionId, Topic, UserId};
use fanfare_proto::v1::{self, sessions_selector};
use fanfare_session::{From, Query, Reached, SessionInfo, Whose, Wish};

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
    let Reached { what: page, nodes, silent } = call.gateway.node.everywhere().list(&query).await;
    let next = page.sessions.last().filter(|_| page.more).map(|(_, info)| info.id.as_str().to_owned());
    Ok(v1::ListSessionsResponse {
        total: page.total as u64,
        next: next.unwrap_or_default(),
        nodes: count(nodes),
        silent: count(silent),
        sessions: page.sessions.into_iter().map(told).collect(),
    })
}

fn told((node, info): (NodeId, SessionInfo)) -> v1::SessionInfo {
    v1::SessionInfo {
        id: info.id.into(),
        user: info.user.map(String::from).unwrap_or_default(),
        protocol: info.protocol.as_str().to_owned(),
        connected_at: info.connected_at.as_micros(),
        expires_at: info.expires_at.map(fanfare_model::Timestamp::as_micros),
        address: info.address.map(|address| address.to_string()).unwrap_or_default(),
        client: info.client.map(|client| client.as_ref().to_owned()).unwrap_or_default(),
        node: node.as_str().to_owned(),
    }
}

pub(crate) async fn disconnect(call: Call, request: v1::SessionsSelector) -> Result<v1::SessionsAffected, Fault> {
    call.principal.authorize_any(Action::Admin)?;
    let wish = Wish::Disconnect(whose(&call, Some(request))?);
    carry_out(&call, &wish).await
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
    carry_out(&call, &Wish::Subscribe { whose, topics }).await
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
    carry_out(&call, &Wish::Unsubscribe { whose, topics }).await
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

/// Does what the application wants, on all nodes.
async fn carry_out(call: &Call, wish: &Wish) -> Result<v1::SessionsAffected, Fault> {
    let reached = call.gateway.node.everywhere().carry_out(wish).await;
    let Reached { what: sessions, nodes, silent } =
        reached.found(wish.whose()).map_err(|error| Fault::new(error.kind(), error))?;
    tracing::info!(
        target: "fanfare::security",
        what = wish.word(),
        sessions,
        nodes,
        silent,
        tenant = call.principal.tenant.as_str(),
        issuer = &*call.principal.issuer,
        "sessions told by an administrator"
    );
    Ok(v1::SessionsAffected { sessions: count(sessions), nodes: count(nodes), silent: count(silent) })
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
