//! `Events.PublishStream`: publishes without end, each answered in its turn.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use fanfare_auth::Principal;
use fanfare_model::{Kind, SessionId};
use fanfare_proto::v1;
use fanfare_session::client::Peer;
use fanfare_session::{Protocol, Session, SessionInfo};
use futures_util::{FutureExt as _, Stream, StreamExt as _, future, stream};
use metrics::counter;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::call::no_call;
use crate::fault::{Fault, farewell};
use crate::gateway::Gateway;
use crate::publish::{Publisher, traceparent};
use crate::{caller, metrics as names};

const METHOD: &str = "Events/PublishStream";

pub(crate) async fn open(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    if let Some(response) = no_call(&request) {
        return response;
    }
    match begin(gateway, request).await {
        Ok(response) => response,
        Err(fault) => {
            let status = Status::from(fault);
            counter!(names::STREAMS, "method" => METHOD, "status" => names::name(status.code())).increment(1);
            status.into_http()
        }
    }
}

async fn begin(gateway: Arc<Gateway>, request: Request) -> Result<Response, Fault> {
    let (head, body) = request.into_parts();
    let principal = Arc::new(caller::server(&gateway.node, &head.headers).await?);
    let peer = caller::peer(&head);
    let session = Arc::new(register(&gateway, &principal, &peer)?);
    let unanswered_max = gateway.options.publish_unanswered_max;
    let mut grpc = Grpc::new(ProstCodec::<v1::PublishResponse, v1::PublishRequest>::default())
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(gateway.options.message_bytes_max.as_usize());
    let publisher = Arc::new(Publisher { gateway, principal, traceparent: traceparent(&head.headers) });
    let service = tower::service_fn(|requests: tonic::Request<Streaming<v1::PublishRequest>>| {
        let requests = requests.into_inner();
        let answers = answers(Arc::clone(&publisher), Arc::clone(&session), requests, unanswered_max);
        future::ready(Ok(tonic::Response::new(answers.boxed())))
    });
    let response = grpc.streaming(service, http::Request::from_parts(head, body)).await;
    Ok(response.map(Body::new))
}

/// It lasts, so it is a session: it ends with its credential, is listed, and is sent away when the node stops.
fn register(gateway: &Gateway, principal: &Arc<Principal>, peer: &Peer) -> Result<Session, Fault> {
    let info = SessionInfo {
        id: SessionId::generate(),
        tenant: principal.tenant.clone(),
        user: principal.user.clone(),
        protocol: Protocol::Grpc,
        connected_at: gateway.node.clock.now(),
        expires_at: principal.expires_at,
        address: peer.address,
        client: peer.agent.clone(),
    };
    Ok(gateway.node.sessions.register(info, Arc::clone(principal))?)
}

/// An answer for each request, in their order. No more is read while `unanswered_max` are not answered, or the client
/// takes no answers. What was read before the session ended is still answered.
fn answers(
    publisher: Arc<Publisher>,
    session: Arc<Session>,
    requests: Streaming<v1::PublishRequest>,
    unanswered_max: usize,
) -> impl Stream<Item = Result<v1::PublishResponse, Status>> + Send {
    let ended = Arc::clone(&session);
    let answers = requests
        .take_until(async move { ended.ended().await })
        .map(move |request| {
            let publisher = Arc::clone(&publisher);
            async move { Ok(answer(&publisher, request.map_err(unreadable)?).await) }
        })
        // It first polls them in their order, and that is when they get their place in the log.
        .buffered(unanswered_max);
    let counted = Counted(Code::Cancelled);
    let last = stream::once(async move {
        let mut counted = counted;
        let status = session.ended().now_or_never().map(farewell);
        counted.0 = status.as_ref().map_or(Code::Ok, Status::code);
        status.map(Err)
    });
    answers.chain(last.filter_map(future::ready))
}

async fn answer(publisher: &Publisher, request: v1::PublishRequest) -> v1::PublishResponse {
    let id = request.id;
    match publisher.publish(request).await {
        Ok(response) => response,
        Err(fault) => v1::PublishResponse { results: Vec::new(), id, error: Some(fault.to_error()) },
    }
}

/// What the library says of a message has no details, and blames the server for what the client sent.
fn unreadable(status: Status) -> Status {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            Fault::new(Kind::TooLarge, "the message is larger than `grpc.message_bytes_max` allows").into()
        }
        Code::Internal => {
            Fault::new(Kind::Invalid, "the message is not a `fanfare.v1.PublishRequest` in protobuf").into()
        }
        _ => status,
    }
}

/// Counts the end of a stream, with the status that is known when it is dropped.
struct Counted(Code);

impl Drop for Counted {
    fn drop(&mut self) {
        counter!(names::STREAMS, "method" => METHOD, "status" => names::name(self.0)).increment(1);
    }
}
