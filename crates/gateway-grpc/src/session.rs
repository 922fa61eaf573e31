//! `Session.Open`: all that a client may do, over one stream.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use fanfare_lifecycle::Phase;
use fanfare_model::Kind;
use fanfare_session::client::Client;
use tokio::time::Instant;
use tonic::Status;

use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::stream::{Arriving, Begun, Frames, answer};
use crate::{caller, codec, deadline};

pub(crate) async fn open(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    answer(&gateway, "Session/Open", request, begin).await
}

/// A client is let in by the credential of its call; without one its first frame must say who it is.
async fn begin(gateway: Arc<Gateway>, request: Request) -> Result<Begun, Status> {
    let (head, body) = request.into_parts();
    let options = &gateway.options;
    if gateway.node.life.phase() >= Phase::Draining {
        return Err(Fault::new(Kind::Unavailable, "this node is stopping; connect again").into());
    }
    let deadline = deadline::of(&head.headers)?.map(|time| Instant::now() + time);
    let principal = caller::client(&gateway.node, &head.headers).await?;
    let commands = codec::messages(&head.headers, body, options.message_bytes_max.as_usize())?;
    let mut client = Box::new(Client::new(Arc::clone(&gateway.host), Arc::new(Frames), caller::peer(&head)));
    let (mut over, mut arriving) = (None, None);
    if let Some(principal) = principal {
        over = client.enter(principal).await.err();
    } else {
        let permit = Arc::clone(&gateway.arrivals)
            .try_acquire_owned()
            .map_err(|_| Fault::new(Kind::Overloaded, "too many sessions wait to say who they are"))?;
        arriving = Some(Arriving { permit, until: Instant::now() + options.connect_timeout.get() });
    }
    Ok(Begun { client, commands: Some(commands), arriving, deadline, until_live: None, over })
}
