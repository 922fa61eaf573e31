//! Unary calls: who calls, how long it may take, and what is answered when it fails.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any};
use fanfare_auth::Principal;
use fanfare_model::Kind;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use metrics::{counter, histogram};
use prost::Message;
use tokio::time::Instant;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::{caller, deadline, metrics as names};

/// A call of a backend.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) principal: Arc<Principal>,
    pub(crate) headers: Arc<HeaderMap>,
}

/// The route of a method for backends. Nothing is read of those who are not let in.
pub(crate) fn unary<Req, Res, F, Fut>(method: &'static str, handler: F) -> MethodRouter<Arc<Gateway>>
where
    Req: Message + Default + Send + 'static,
    Res: Message + Send + 'static,
    F: Fn(Call, Req) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Res, Fault>> + Send + 'static,
{
    any(move |State(gateway): State<Arc<Gateway>>, request: Request| async move {
        if let Some(response) = no_call(&request) {
            return response;
        }
        let begun = Instant::now();
        let response = serve(gateway, request, handler).await.unwrap_or_else(|fault| Status::from(fault).into_http());
        let (response, code) = explained(response);
        counter!(names::CALLS, "method" => method, "status" => names::name(code)).increment(1);
        histogram!(names::CALL_SECONDS, "method" => method).record(begun.elapsed());
        response
    })
}

/// The answer to a request that is no call of gRPC; those of browsers have been translated before. Every method of HTTP
/// comes here, because a preflight must, which is answered before (`web.rs`).
pub(crate) fn no_call(request: &Request) -> Option<Response> {
    if request.method() != Method::POST {
        return Some((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, HeaderValue::from_static("POST"))]).into_response());
    }
    let kind = request.headers().get(CONTENT_TYPE);
    let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    (!is_grpc).then(|| StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response())
}

/// How long a call may take: what the client allows, if that is less than what the server does.
pub(crate) fn limit(gateway: &Gateway, headers: &HeaderMap) -> Result<Duration, Fault> {
    let most = gateway.options.call_timeout.get();
    Ok(deadline::of(headers)?.map_or(most, |wanted| wanted.min(most)))
}

pub(crate) fn too_late() -> Fault {
    Fault::new(Kind::Timeout, "it took longer than the call's deadline; it may or may not have been done")
}

async fn serve<Req, Res, F, Fut>(
    gateway: Arc<Gateway>,
    request: Request,
    handler: F,
) -> Result<http::Response<tonic::body::Body>, Fault>
where
    Req: Message + Default + Send + 'static,
    Res: Message + Send + 'static,
    F: Fn(Call, Req) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Res, Fault>> + Send + 'static,
{
    let limit = limit(&gateway, request.headers())?;
    let call = async {
        let (head, body) = request.into_parts();
        let call = Call {
            principal: Arc::new(caller::server(&gateway.node, &head.headers).await?),
            headers: Arc::new(head.headers.clone()),
            gateway: Arc::clone(&gateway),
        };
        let service = tower::service_fn(|request: tonic::Request<Req>| {
            let done = Box::pin(handler(call.clone(), request.into_inner()));
            async move { done.await.map(tonic::Response::new).map_err(Status::from) }
        });
        let mut grpc = Grpc::new(ProstCodec::<Res, Req>::default())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(gateway.options.message_bytes_max.as_usize());
        Ok(grpc.unary(service, http::Request::from_parts(head, body)).await)
    };
    tokio::time::timeout(limit, call).await.map_err(|_| too_late())?
}

/// The answer and its status. A status of the library has no details, and blames the server for what the client sent.
fn explained(response: http::Response<tonic::body::Body>) -> (Response, Code) {
    let Some(status) = response.extensions().get::<Status>() else { return (response.map(Body::new), Code::Ok) };
    let fault = match status.code() {
        _ if !status.details().is_empty() => None,
        Code::OutOfRange | Code::ResourceExhausted => {
            Some(Fault::new(Kind::TooLarge, "the message is larger than `grpc.message_bytes_max` allows"))
        }
        Code::Internal => Some(Fault::new(Kind::Invalid, "the request is not one protobuf message of this method")),
        _ => None,
    };
    let Some(fault) = fault else {
        let code = status.code();
        return (response.map(Body::new), code);
    };
    let status = Status::from(fault);
    let code = status.code();
    (status.into_http(), code)
}
