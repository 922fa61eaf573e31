//! The gRPC services, called with tonic.

mod consumers;
mod publish;
mod services;
mod statuses;

use std::net::SocketAddr;

use fanfare_proto::v1;
use fanfare_proto::v1::events_client::EventsClient;
use fanfare_tests::grpc::channel;
use serde_json::{Value, json};
use tonic::transport::Channel;

async fn events(to: SocketAddr) -> EventsClient<Channel> {
    EventsClient::new(channel(to).await)
}

/// A message of JSON data.
fn message(data: impl Into<Value>) -> v1::Message {
    fanfare_tests::frames::message(&json!({"data": data.into()}))
}

fn item(topic: &str, data: impl Into<Value>) -> v1::PublishItem {
    v1::PublishItem { topic: topic.to_owned(), message: Some(message(data)) }
}

/// The data of events, as JSON.
fn data(events: Vec<v1::Event>) -> Vec<Value> {
    events.into_iter().map(|event| fanfare_tests::frames::event(event)["data"].clone()).collect()
}
