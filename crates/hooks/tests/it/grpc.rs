//! Questions and answers over gRPC, with tonic's own server.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Data, Topic};
use fanfare_proto::v1::hook_response::Verdict as Said;
use fanfare_proto::v1::hooks_server::{Hooks, HooksServer};
use fanfare_proto::v1::{self, HookAllow, HookDeny, HookRequest, HookResponse};
use fanfare_session::{Hook, Verdict};
use parking_lot::Mutex;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::asking::{Asking, allowed, ask, draft, is_unavailable};

type Respond = dyn Fn(&HookRequest) -> Result<Option<Said>, Status> + Send + Sync;

/// An application that answers as a test says; `None` is never.
#[derive(Clone)]
pub(crate) struct Application {
    pub(crate) address: SocketAddr,
    respond: Arc<Respond>,
    received: Arc<Mutex<Vec<(MetadataMap, HookRequest)>>>,
}

/// No answer at all.
const NEVER: &str = "never";

impl Application {
    pub(crate) async fn start(
        tls: Option<ServerTlsConfig>,
        respond: impl Fn(&HookRequest) -> Result<Option<Said>, Status> + Send + Sync + 'static,
    ) -> (Self, Lifecycle) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = Self { address, respond: Arc::new(respond), received: Arc::default() };
        let life = this.serve(tls, listener);
        (this, life)
    }

    /// Serves until the life is over.
    fn serve(&self, tls: Option<ServerTlsConfig>, listener: TcpListener) -> Lifecycle {
        let life = Lifecycle::new();
        let (service, hard) = (HooksServer::new(self.clone()), life.hard().clone());
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        life.spawn(TaskKind::Background, "application", async move {
            let incoming = TcpListenerStream::new(listener);
            server.add_service(service).serve_with_incoming_shutdown(incoming, hard.cancelled()).await.unwrap();
        });
        life
    }

    async fn answer(&self, request: Request<HookRequest>, called: &str) -> Result<Response<HookResponse>, Status> {
        let (metadata, _, question) = request.into_parts();
        assert_eq!(question.hook, called);
        let verdict = (self.respond)(&question);
        self.received.lock().push((metadata, question));
        match verdict {
            Err(status) if status.message() == NEVER => std::future::pending().await,
            verdict => verdict.map(|verdict| Response::new(HookResponse { verdict })),
        }
    }
}

#[tonic::async_trait]
impl Hooks for Application {
    async fn connect(&self, request: Request<HookRequest>) -> Result<Response<HookResponse>, Status> {
        self.answer(request, "connect").await
    }
    async fn subscribe(&self, request: Request<HookRequest>) -> Result<Response<HookResponse>, Status> {
        self.answer(request, "subscribe").await
    }
    async fn publish(&self, request: Request<HookRequest>) -> Result<Response<HookResponse>, Status> {
        self.answer(request, "publish").await
    }
    async fn refresh(&self, request: Request<HookRequest>) -> Result<Response<HookResponse>, Status> {
        self.answer(request, "refresh").await
    }
}

pub(crate) fn yes() -> Said {
    Said::Allow(HookAllow::default())
}

/// HMAC-SHA256 written out (RFC 2104), to check what another library made.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

#[tokio::test]
async fn a_question_is_the_message_and_is_signed() {
    let (application, _life) = Application::start(None, |_| Ok(Some(yes()))).await;
    let url = format!("grpc://{}", application.address);
    let secrets = "secrets = [\"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\", \"whsec_/////////////////////////////////////////w==\"]";
    for hook in Hook::ALL {
        let asking = Asking::at(hook, &url, "headers = { authorization = \"Bearer x\" }", secrets);
        allowed(asking.ask(ask(hook)).await);
        assert_eq!(asking.counted(hook, "allowed"), 1);
    }
    let received = application.received.lock().clone();
    assert_eq!(received.len(), Hook::ALL.len());
    for ((metadata, question), hook) in received.into_iter().zip(Hook::ALL) {
        let text = |name: &str| metadata.get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(text("authorization"), "Bearer x");
        assert!(metadata.contains_key("grpc-timeout"));
        let mut signed = format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).into_bytes();
        signed.extend(question.encode_to_vec());
        let keys = [(0..24).collect::<Vec<u8>>(), vec![255; 31]];
        let signatures = keys.map(|key| format!("v1,{}", STANDARD.encode(hmac(&key, &signed))));
        assert_eq!(text("webhook-signature"), signatures.join(" "));

        assert_eq!(
            (question.tenant.as_str(), question.session.as_str(), question.user.as_str()),
            ("default", "s1", "alice")
        );
        assert_eq!((question.protocol.as_str(), question.address.as_str()), ("websocket", "192.0.2.7"));
        assert_eq!((question.client.as_str(), &question.info[..]), ("web/1.2", &b"{\"role\":\"guest\"}"[..]));
        let is_about_topic = matches!(hook, Hook::Subscribe | Hook::Publish);
        assert_eq!(question.topic, if is_about_topic { "chat:42" } else { "" });
        assert_eq!(question.message, (hook == Hook::Publish).then(|| v1::Message::from(&draft())));
    }
}

#[tokio::test]
async fn verdicts_are_read() {
    let (application, _life) = Application::start(None, |question| {
        Ok(Some(match question.hook.as_str() {
            "connect" => Said::Allow(HookAllow { subscribe: vec!["inbox:alice".to_owned()], message: None }),
            "publish" => {
                let data = Some(v1::message::Data::Text("x".to_owned()));
                let message = Some(v1::Message { data, ..v1::Message::default() });
                Said::Allow(HookAllow { message, ..HookAllow::default() })
            }
            _ => Said::Deny(HookDeny { reason: "full".to_owned(), disconnect: true }),
        }))
    })
    .await;
    let url = format!("grpc://{}", application.address);
    let asking = |hook| Asking::at(hook, &url, "", "");
    let topics = allowed(asking(Hook::Connect).ask(ask(Hook::Connect)).await).subscribe;
    assert_eq!(topics, [Topic::new("inbox:alice").unwrap()]);
    let changed = allowed(asking(Hook::Publish).ask(ask(Hook::Publish)).await).draft.unwrap();
    assert_eq!((changed.id, changed.user), (draft().id, draft().user));
    assert_eq!(changed.data, Data::text("x"));
    let denied = asking(Hook::Subscribe).ask(ask(Hook::Subscribe)).await;
    assert!(matches!(denied, Verdict::Deny { reason, disconnect: true } if reason == "full"));
}

#[tokio::test]
async fn what_is_no_answer_has_its_reason() {
    let (application, _life) = Application::start(None, |question| match question.user.as_str() {
        "nothing" => Ok(None),
        "error" => Err(Status::permission_denied("not an answer")),
        "large" => Ok(Some(Said::Deny(HookDeny { reason: "x".repeat(5000), disconnect: false }))),
        "bad" => Ok(Some(Said::Allow(HookAllow { subscribe: vec![String::new()], message: None }))),
        _ => Err(Status::unknown(NEVER)),
    })
    .await;
    let url = format!("grpc://{}", application.address);
    let cases = [
        ("nothing", "unreadable"),
        ("error", "status"),
        ("large", "too_large"),
        ("bad", "unreadable"),
        ("never", "timeout"),
    ];
    for (user, why) in cases {
        let asking = Asking::at(Hook::Connect, &url, "timeout = \"3s\"", "answer_bytes_max = \"1KiB\"");
        let mut question = ask(Hook::Connect);
        question.user = Some(fanfare_model::UserId::new(user).unwrap());
        assert!(is_unavailable(&asking.ask(question).await), "{user}");
        assert_eq!(asking.counted(Hook::Connect, why), 1, "{user}");
    }
}

#[tokio::test]
async fn an_application_that_is_not_there_yet_is_asked_when_it_is() {
    let (application, life) = Application::start(None, |_| Ok(Some(yes()))).await;
    let address = application.address;
    let asking = Asking::at(Hook::Connect, &format!("grpc://{address}"), "", "breaker = { failures = 0 }");
    allowed(asking.ask(ask(Hook::Connect)).await);
    life.stop();
    life.ended().await;
    let gone = asking.ask(ask(Hook::Connect)).await;
    assert!(is_unavailable(&gone), "{gone:?}");
    // At the same address again.
    let listener = TcpListener::bind(address).await.unwrap();
    let life = application.serve(None, listener);
    let back = async {
        while is_unavailable(&asking.ask(ask(Hook::Connect)).await) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), back).await.unwrap();
    life.stop();
}
