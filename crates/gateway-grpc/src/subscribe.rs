//! `Events.Subscribe`: a session whose commands are the topics of one request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use fanfare_model::{Tenant, Topic, TopicKey};
use fanfare_proto::v1;
use fanfare_session::Goodbye;
use fanfare_session::client::{self, Client, Command, Dialect, Incoming, RequestId, Subscribe};
use futures_util::StreamExt as _;
use http::request::Parts;
use prost::Message as _;
use tokio::time::Instant;
use tonic::Status;

use crate::call::{limit, too_late};
use crate::fault::{Fault, farewell};
use crate::gateway::Gateway;
use crate::stream::{Begun, Listener, answer};
use crate::wanted::Wanted;
use crate::{caller, codec, deadline};

pub(crate) async fn open(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    answer(&gateway, "Events/Subscribe", request, begin).await
}

/// Opens every topic before the answer begins: if one cannot be opened, the call fails as a whole.
async fn begin(gateway: Arc<Gateway>, request: Request) -> Result<Begun, Status> {
    let (head, body) = request.into_parts();
    let deadline = deadline::of(&head.headers)?.map(|time| Instant::now() + time);
    let limit = limit(&gateway, &head.headers)?;
    let opening = async {
        let wanted = read(&gateway, &head, body).await?;
        Opening::new(&gateway, &head).open(wanted).await
    };
    let (client, until_live) = tokio::time::timeout(limit, opening).await.map_err(|_| too_late())??;
    Ok(Begun { client, commands: None, arriving: None, deadline, until_live, over: None })
}

async fn read(gateway: &Gateway, head: &Parts, body: Body) -> Result<Wanted, Status> {
    let mut messages = codec::messages(&head.headers, body, gateway.options.message_bytes_max.as_usize())?;
    let message = messages.next().await.transpose()?.ok_or_else(|| Fault::field("request", "is missing"))?;
    let request = v1::SubscribeRequest::decode(message)
        .map_err(|_| Fault::field("request", "is not a `fanfare.v1.SubscribeRequest` in protobuf"))?;
    Ok(Wanted::read(request, gateway.options.topics_max)?)
}

struct Opening<'a> {
    gateway: &'a Gateway,
    head: &'a Parts,
    listener: Arc<Listener>,
    client: Box<Client>,
}

impl<'a> Opening<'a> {
    fn new(gateway: &'a Gateway, head: &'a Parts) -> Self {
        let listener = Arc::new(Listener::default());
        let dialect = Arc::clone(&listener) as Arc<dyn Dialect>;
        let client = Box::new(Client::new(Arc::clone(&gateway.listening), dialect, caller::peer(head)));
        Self { gateway, head, listener, client }
    }

    async fn open(mut self, wanted: Wanted) -> Result<(Box<Client>, Option<Arc<Listener>>), Status> {
        let Wanted { topics, continuation, on_slow, presence, until_live } = wanted;
        let principal = caller::listener(&self.gateway.node, &self.head.headers).await?;
        let tenant = principal.tenant.clone();
        let entered = self.client.enter_at(principal, continuation.clone()).await;
        entered.map_err(|goodbye| self.turned_away(goodbye))?;
        // The server's own topics are no reason to fail: the client hears of each in the stream.
        self.listener.take_fault();
        if topics.is_empty() && self.listener.is_empty() {
            return Err(Fault::field("topics", "name no topic, and the token has none of its own").into());
        }
        for (topic, from) in topics {
            let begun = continuation.as_ref().is_some_and(|continuation| continuation.position_of(&topic).is_some());
            if self.listener.has(&topic) {
                if begun && !presence {
                    continue;
                }
                self.command(None, Command::Unsubscribe { topic: topic.clone() }, &topic).await?;
            }
            let subscribe = Subscribe { on_slow, presence, ..Subscribe::new(topic.clone(), from) };
            self.command(Some(RequestId(0)), Command::Subscribe(subscribe), &topic).await?;
        }
        if until_live {
            aim(self.gateway, &self.listener, &tenant).await?;
        }
        Ok((self.client, until_live.then_some(self.listener)))
    }

    async fn command(&mut self, id: Option<RequestId>, command: Command, topic: &Topic) -> Result<(), Status> {
        let request = Incoming::Request(client::Request { id, command });
        let done = self.client.handle(request).await;
        if let Some(fault) = self.listener.take_fault() {
            return Err(fault.of(topic).into());
        }
        done.map_err(farewell)
    }

    fn turned_away(&self, goodbye: Goodbye) -> Status {
        self.listener.take_fault().map_or_else(|| farewell(goodbye), Status::from)
    }
}

/// A stream that ends when it has caught up ends where the logs are now.
async fn aim(gateway: &Gateway, listener: &Listener, tenant: &Tenant) -> Result<(), Fault> {
    let behind = listener.behind();
    let keys = behind.iter().map(|topic| TopicKey::new(tenant.clone(), topic.clone())).collect();
    let heads = gateway.node.bus.heads(keys).await?;
    listener.aim(behind.into_iter().zip(heads).map(|(topic, head)| (topic, head.last)).collect());
    Ok(())
}
