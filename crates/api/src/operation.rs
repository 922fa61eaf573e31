//! Every route of the API in one table.

use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
#[cfg(test)]
use http::Method;

use crate::{
    Api, consumers, events, health, keys, metrics, nodes, openapi, orders, presence, publish, pull, sessions, tickets,
    tokens, topic_list, topics,
};

/// Declares the operations once: name, method, path, handler.
macro_rules! operations {
    ($($name:ident = $text:literal, $method:ident $path:literal, $handler:path;)*) => {
        /// Something that the API can be asked to do: a method and a path.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Operation {
            $($name,)*
        }

        impl Operation {
            /// The name: `operationId` in the `OpenAPI` document, `route` in metrics.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            #[cfg(test)]
            pub(crate) const fn method(self) -> Method {
                match self {
                    $(Self::$name => Method::$method,)*
                }
            }

            pub(crate) const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)*
                }
            }

            fn route(self) -> MethodRouter<Api> {
                match self {
                    $(Self::$name => self.accounted(MethodFilter::$method, $handler),)*
                }
            }
        }
    };
}

operations! {
    Publish = "publish", POST "/v1/publish", publish::publish;
    PublishRaw = "publish_raw", POST "/v1/topics/{topic}/events", publish::publish_raw;
    ReadEvents = "read_events", GET "/v1/topics/{topic}/events", events::read;
    DeleteEvents = "delete_events", DELETE "/v1/topics/{topic}/events", topics::delete_events;
    GetTopic = "get_topic", GET "/v1/topics/{topic}", topics::get;
    ListTopics = "list_topics", GET "/v1/topics", topic_list::list;
    ListSessions = "list_sessions", GET "/v1/sessions", sessions::list;
    CountSessions = "count_sessions", GET "/v1/sessions/count", sessions::count;
    EndSession = "end_session", DELETE "/v1/sessions/{id}", sessions::end;
    EndSessionsOfUser = "end_sessions_of_user", DELETE "/v1/users/{user}/sessions", sessions::end_of_user;
    SubscribeSession = "subscribe_session", POST "/v1/sessions/{id}/subscribe", orders::subscribe;
    UnsubscribeSession = "unsubscribe_session", POST "/v1/sessions/{id}/unsubscribe", orders::unsubscribe;
    DisconnectSession = "disconnect_session", POST "/v1/sessions/{id}/disconnect", sessions::disconnect;
    SubscribeUser = "subscribe_user", POST "/v1/users/{user}/subscribe", orders::subscribe_user;
    UnsubscribeUser = "unsubscribe_user", POST "/v1/users/{user}/unsubscribe", orders::unsubscribe_user;
    DisconnectUser = "disconnect_user", POST "/v1/users/{user}/disconnect", sessions::disconnect_user;
    ReadPresence = "read_presence", GET "/v1/topics/{topic}/presence", presence::read;
    ReadOccupancy = "read_occupancy", POST "/v1/presence/occupancy", presence::occupancy;
    ListTopicsOfUser = "list_topics_of_user", GET "/v1/users/{user}/topics", presence::topics_of_user;
    RemoveUser = "remove_user", DELETE "/v1/users/{user}/presence", presence::remove_user;
    PullEvents = "pull_events", POST "/v1/topics/{topic}/pull", pull::pull;
    AckEvents = "ack_events", POST "/v1/topics/{topic}/ack", pull::ack;
    ListConsumers = "list_consumers", GET "/v1/consumers", consumers::list;
    SeekConsumer = "seek_consumer", PUT "/v1/topics/{topic}/consumers/{consumer}", consumers::seek;
    ForgetConsumer = "forget_consumer", DELETE "/v1/topics/{topic}/consumers/{consumer}", consumers::forget;
    RevokeTokens = "revoke_tokens", POST "/v1/tokens/revoke", tokens::revoke;
    ListRevocations = "list_revocations", GET "/v1/tokens/revocations", tokens::list;
    UnblockUser = "unblock_user", POST "/v1/tokens/unblock", tokens::unblock;
    CreateTicket = "create_ticket", POST "/v1/tickets", tickets::create;
    CreateKey = "create_key", POST "/v1/keys", keys::create;
    ListKeys = "list_keys", GET "/v1/keys", keys::list;
    RevokeKey = "revoke_key", DELETE "/v1/keys/{id}", keys::revoke;
    ListNodes = "list_nodes", GET "/v1/nodes", nodes::list;
    OpenApi = "openapi", GET "/openapi.json", openapi::document;
    Docs = "docs", GET "/docs", openapi::page;
    Livez = "livez", GET "/livez", health::livez;
    Readyz = "readyz", GET "/readyz", health::readyz;
}

impl Operation {
    /// Those of [`crate::router`].
    pub(crate) const API: &[Self] = &[
        Self::Publish,
        Self::PublishRaw,
        Self::ReadEvents,
        Self::DeleteEvents,
        Self::GetTopic,
        Self::ListTopics,
        Self::ListSessions,
        Self::CountSessions,
        Self::EndSession,
        Self::EndSessionsOfUser,
        Self::SubscribeSession,
        Self::UnsubscribeSession,
        Self::DisconnectSession,
        Self::SubscribeUser,
        Self::UnsubscribeUser,
        Self::DisconnectUser,
        Self::ReadPresence,
        Self::ReadOccupancy,
        Self::ListTopicsOfUser,
        Self::RemoveUser,
        Self::PullEvents,
        Self::AckEvents,
        Self::ListConsumers,
        Self::SeekConsumer,
        Self::ForgetConsumer,
        Self::RevokeTokens,
        Self::ListRevocations,
        Self::UnblockUser,
        Self::CreateTicket,
        Self::CreateKey,
        Self::ListKeys,
        Self::RevokeKey,
        Self::ListNodes,
        Self::OpenApi,
        Self::Docs,
    ];
    /// Those of [`crate::health_router`].
    pub(crate) const HEALTH: &[Self] = &[Self::Livez, Self::Readyz];

    pub(crate) fn router(operations: &[Self]) -> Router<Api> {
        operations.iter().fold(Router::new(), |router, operation| router.route(operation.path(), operation.route()))
    }

    fn accounted<H, T>(self, filter: MethodFilter, handler: H) -> MethodRouter<Api>
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        on(filter, handler).route_layer(from_fn_with_state(self.name(), account))
    }
}

/// Counts and times what a route answers.
pub(crate) async fn account(State(route): State<&'static str>, request: Request, next: Next) -> Response {
    let since = Instant::now();
    let response = next.run(request).await;
    metrics::answered(route, response.status(), since.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_openapi_document_names_every_route_and_no_other() {
        let document: serde_json::Value = serde_json::from_slice(openapi::Document::with(&[]).json()).unwrap();
        let mut described: Vec<(String, String, String)> = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                described.push((path.clone(), method.to_uppercase(), name));
            }
        }
        let mut served: Vec<_> = [Operation::API, Operation::HEALTH]
            .concat()
            .iter()
            .map(|o| (o.path().to_owned(), o.method().to_string(), o.name().to_owned()))
            .chain([("/metrics".to_owned(), "GET".to_owned(), "metrics".to_owned())])
            .collect();
        described.sort();
        served.sort();
        assert_eq!(described, served);
    }
}
