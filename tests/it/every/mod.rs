//! What every transport promises, written once and run over each: SSE, WebSocket in JSON and protobuf, and gRPC's two
//! streams.

mod authority;
mod delivery;
mod presence;
mod recovery;

/// A test for each transport, of one function that takes it.
macro_rules! over_every_transport {
    ($($behaviour:ident),+ $(,)?) => {
        mod sse { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Transport::Sse).await; })+ }
        mod ws_json { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Transport::WsJson).await; })+ }
        mod ws_proto { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Transport::WsProto).await; })+ }
        mod grpc_subscribe { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Transport::GrpcSubscribe).await; })+ }
        mod grpc_session { $(#[tokio::test] async fn $behaviour() { super::$behaviour(fanfare_tests::Transport::GrpcSession).await; })+ }
    };
}
use over_every_transport;
