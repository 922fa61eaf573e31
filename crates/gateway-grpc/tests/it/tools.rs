//! Health and reflection.

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{Choices, node};

#[tokio::test]
async fn the_node_serves_until_it_is_told_to_stop() {
    let test = node(Choices::default()).await;
    let mut health = HealthClient::new(test.channel().await);
    let of = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "fanfare.v1.Events"] {
        let response = health.check(of(service)).await.unwrap();
        assert_eq!(response.into_inner().status(), ServingStatus::Serving);
    }
    assert_eq!(health.check(of("fanfare.v1.Hooks")).await.unwrap_err().code(), Code::NotFound);
    let mut unknown = health.watch(of("x")).await.unwrap().into_inner();
    assert_eq!(unknown.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    let mut watching = health.watch(of("")).await.unwrap().into_inner();
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    test.node.life.drain();
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(watching.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn what_is_served_can_be_asked() {
    let test = node(Choices::default()).await;
    let mut client = ServerReflectionClient::new(test.channel().await);
    let ask = |message| ServerReflectionRequest { message_request: Some(message), ..Default::default() };
    let requests = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("fanfare.v1.Events.Subscribe".to_owned())),
        ask(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned())),
    ]);
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    let listed = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(listed) = listed else { panic!("{listed:?}") };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let expected =
        ["Events", "Presence", "Session", "Sessions", "Tokens", "Topics"].map(|name| format!("fanfare.v1.{name}"));
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health".to_owned()));
    assert!(!names.contains(&"fanfare.v1.Hooks".to_owned()), "it is the application's");
    for what in ["a method", "the details of a status"] {
        let found = answers.message().await.unwrap().unwrap().message_response.unwrap();
        assert!(matches!(found, MessageResponse::FileDescriptorResponse(_)), "{what}: {found:?}");
    }
}
