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

/// A connection to `to`, which must succeed.
pub async fn channel(to: SocketAddr) -> Channel {
    try_channel(to).await.expect("the server accepts")
}

/// A connection to `to`; a failure as tonic shows one of a later call.
async fn try_channel(to: SocketAddr) -> Result<Channel, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{to}")).expect("an address is a URI");
    endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))
}

/// A request with a credential.
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).expect("a token is plain text");
    request.metadata_mut().insert("authorization", value);
    request
}

/// The stable code in a status's details, which must be there.
pub fn code_of(status: &Status) -> String {
    try_code_of(status).unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"))
}

/// The same; `None` if the status does not come from the server but from the way to it.
pub(crate) fn try_code_of(status: &Status) -> Option<String> {
    use tonic_types::StatusExt as _;
    Some(status.get_details_error_info()?.reason)
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
    pub async fn session(to: SocketAddr) -> Result<Self, Status> {
        let (requests, inbox) = mpsc::channel(64);
        let request = Request::new(tokio_stream::wrappers::ReceiverStream::new(inbox));
        let replies = SessionClient::new(try_channel(to).await?).open(request).await?.into_inner();
        Ok(Self { requests: Some(requests), replies })
    }

    /// Subscribes without a session.
    pub async fn subscribe(to: SocketAddr, token: &str, request: SubscribeRequest) -> Result<Self, Status> {
        let replies = EventsClient::new(try_channel(to).await?)
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
