//! Which path is whose.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use fanfare_session::Node;
use tonic::Status;
use tonic_web::GrpcWebLayer;

use crate::call::unary;
use crate::gateway::Gateway;
use crate::{
    Options, consumers, health, presence, publish, publish_stream, pull, reflection, session, sessions, subscribe,
    tokens, topics, web,
};

/// The services that are served; `Hooks` is one that the application serves.
pub(crate) const SERVICES: [&str; 6] = [
    "fanfare.v1.Events",
    "fanfare.v1.Session",
    "fanfare.v1.Topics",
    "fanfare.v1.Presence",
    "fanfare.v1.Sessions",
    "fanfare.v1.Tokens",
];

/// For whom a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doors {
    /// For clients only: `Events.Subscribe` and `Session`. A credential of a backend that has leaked opens nothing there.
    Clients,
    /// For backends as well: every method.
    All,
}

/// The routes on the worker of `node`, to be merged with those of other gateways. The server must run them on the
/// runtime of that worker, over HTTP/2, and over HTTP/1.1 for browsers; the client's address is taken from an
/// `axum::extract::ConnectInfo<SocketAddr>` among the request's extensions.
pub fn router(node: Node, options: Arc<Options>, doors: Doors) -> Router {
    let gateway = Gateway::new(node.clone(), Arc::clone(&options));
    gateway.start();
    let mut router = Router::new();
    for (path, route) in client_methods() {
        router = router.route(path, route);
    }
    if doors == Doors::All {
        for (path, route) in server_methods() {
            router = router.route(path, route);
        }
    }
    for service in SERVICES {
        router = router.route(&format!("/{service}/{{*rest}}"), any(no_such_method));
    }
    health::add_to(reflection::add_to(router.with_state(gateway)), node.life)
        .layer(GrpcWebLayer::new())
        .layer(axum::middleware::from_fn_with_state(options, web::serve))
}

type Route = MethodRouter<Arc<Gateway>>;

/// The methods for clients.
fn client_methods() -> [(&'static str, Route); 2] {
    [("/fanfare.v1.Events/Subscribe", any(subscribe::open)), ("/fanfare.v1.Session/Open", any(session::open))]
}

/// The methods for backends.
fn server_methods() -> [(&'static str, Route); 23] {
    [
        ("/fanfare.v1.Events/Publish", unary("Events/Publish", publish::publish)),
        ("/fanfare.v1.Events/PublishStream", any(publish_stream::open)),
        ("/fanfare.v1.Events/Pull", unary("Events/Pull", pull::pull)),
        ("/fanfare.v1.Events/Ack", unary("Events/Ack", consumers::ack)),
        ("/fanfare.v1.Events/Cursors", unary("Events/Cursors", consumers::cursors)),
        ("/fanfare.v1.Events/Seek", unary("Events/Seek", consumers::seek)),
        ("/fanfare.v1.Topics/List", unary("Topics/List", topics::list)),
        ("/fanfare.v1.Topics/Get", unary("Topics/Get", topics::get)),
        ("/fanfare.v1.Topics/History", unary("Topics/History", topics::history)),
        ("/fanfare.v1.Topics/Purge", unary("Topics/Purge", topics::purge)),
        ("/fanfare.v1.Topics/Truncate", unary("Topics/Truncate", topics::truncate)),
        ("/fanfare.v1.Presence/Members", unary("Presence/Members", presence::members)),
        ("/fanfare.v1.Presence/Occupancy", unary("Presence/Occupancy", presence::occupancy)),
        ("/fanfare.v1.Presence/TopicsOf", unary("Presence/TopicsOf", presence::topics_of)),
        ("/fanfare.v1.Presence/RemoveUser", unary("Presence/RemoveUser", presence::remove_user)),
        ("/fanfare.v1.Sessions/List", unary("Sessions/List", sessions::list)),
        ("/fanfare.v1.Sessions/Disconnect", unary("Sessions/Disconnect", sessions::disconnect)),
        ("/fanfare.v1.Sessions/Subscribe", unary("Sessions/Subscribe", sessions::subscribe)),
        ("/fanfare.v1.Sessions/Unsubscribe", unary("Sessions/Unsubscribe", sessions::unsubscribe)),
        ("/fanfare.v1.Tokens/Revoke", unary("Tokens/Revoke", tokens::revoke)),
        ("/fanfare.v1.Tokens/Revocations", unary("Tokens/Revocations", tokens::revocations)),
        ("/fanfare.v1.Tokens/Unblock", unary("Tokens/Unblock", tokens::unblock)),
        ("/fanfare.v1.Tokens/Ticket", unary("Tokens/Ticket", tokens::ticket)),
    ]
}

async fn no_such_method(request: Request) -> Response {
    let message = format!(
        "there is no method {} here; the reflection service lists what there is, and methods for backends are served \
         where the API is",
        request.uri().path()
    );
    std::future::ready(Status::unimplemented(message).into_http()).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_every_service_has_its_path() {
        let set = FileDescriptorSet::decode(fanfare_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut declared = BTreeSet::new();
        for service in set.file.iter().flat_map(|file| &file.service) {
            let name = format!("fanfare.v1.{}", service.name());
            if SERVICES.contains(&&*name) {
                declared.extend(service.method.iter().map(|method| format!("/{name}/{}", method.name())));
            } else {
                assert_eq!(name, "fanfare.v1.Hooks");
            }
        }
        let methods = client_methods().into_iter().chain(server_methods());
        let served: BTreeSet<_> = methods.map(|(path, _)| path.to_owned()).collect();
        assert_eq!(served, declared);
    }
}
