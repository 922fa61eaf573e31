//! Clients of the gRPC gateway, made with tonic.

use std::net::SocketAddr;

use fanfare_proto::v1::events_client::EventsClient;
use fanfare_proto::v1::session_client::SessionClient;
use fanfare_proto::v1::{ClientFrame, ServerFrame, SubscribeRequest};
use serde_json::Value;
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::frames;

/// A connection to `to`.
pub async fn channel(to: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{to}")).expect("an address is a URI");
    endpoint.connect().await.expect("the server accepts")
}

/// A request with a credential.
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).expect("a token is plain text");
    request.metadata_mut().insert("authorization", value);
    request
}

/// The stable code in a status's details.
pub fn code_of(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    let info = status.get_details_error_info();
    info.unwrap_or_else(|| panic!("{status:?} has no ErrorInfo")).reason
}

/// A stream of frames, one way or both.
pub struct Frames {
    /// `None`: this stream only listens.
    requests: Option<mpsc::Sender<ClientFrame>>,
    replies: Streaming<ServerFrame>,
}

/// How a stream ended.
#[derive(Debug)]
pub struct Ended(pub Status);

impl Frames {
    /// Opens a session; the token goes into `connect`, not here.
    pub async fn session(to: SocketAddr) -> Self {
        Self::session_with(to, None).await.expect("a stream opens")
    }

    /// Opens a session with a credential in the metadata.
    pub async fn session_with(to: SocketAddr, token: Option<&str>) -> Result<Self, Status> {
        let (requests, inbox) = mpsc::channel(64);
        let stream = tokio_stream::wrappers::ReceiverStream::new(inbox);
        let request = match token {
            Some(token) => with_token(stream, token),
            None => Request::new(stream),
        };
        let replies = SessionClient::new(channel(to).await).open(request).await?.into_inner();
        Ok(Self { requests: Some(requests), replies })
    }

    /// Subscribes without a session.
    pub async fn subscribe(to: SocketAddr, token: &str, request: SubscribeRequest) -> Result<Self, Status> {
        let replies = EventsClient::new(channel(to).await)
            .max_decoding_message_size(64 << 20)
            .subscribe(with_token(request, token))
            .await?
            .into_inner();
        Ok(Self { requests: None, replies })
    }

    /// Sends a request, in its JSON form.
    pub async fn send(&mut self, frame: &Value) {
        let requests = self.requests.as_ref().expect("this stream only listens");
        // An error means that the stream has ended, which the next read shows.
        let _ = requests.send(frames::request(frame)).await;
    }

    /// The next frame in its JSON form, or how the stream ended.
    pub async fn receive(&mut self) -> Result<Value, Ended> {
        match self.replies.message().await {
            Ok(Some(frame)) => Ok(frames::said(frame)),
            Ok(None) => Err(Ended(Status::new(Code::Ok, "the stream ended"))),
            Err(status) => Err(Ended(status)),
        }
    }
}
