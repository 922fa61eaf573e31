//! The connection to the hub, and how long a call may take.

use std::future::Future;
use std::time::Duration;

use fanfare_proto::engine::cursors_client::CursorsClient;
use fanfare_proto::engine::engine_client::EngineClient;
use fanfare_proto::engine::leases_client::LeasesClient;
use fanfare_proto::engine::presence_client::PresenceClient;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status};

use crate::hub::shown;
use crate::metrics::{Calls, Service};
use crate::options::read;
use crate::{Error, Options};

/// After how long without a sign of life the hub is asked for one, and how long that may take: a hub that vanished is
/// noticed within seconds.
const PROBE_AFTER: Duration = Duration::from_secs(3);
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How much may be sent ahead to this node: of pages of history, and of news.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// What every call goes through.
pub(super) type Wire = InterceptedService<Channel, Show>;

pub(super) struct Link {
    wire: Wire,
    url: String,
    timeout: Duration,
    message_bytes_max: usize,
    calls: Calls,
}

/// Shows the secret.
#[derive(Clone)]
pub(super) struct Show(MetadataValue<Ascii>);

impl Interceptor for Show {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Link {
    /// Nothing is sent yet.
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let Some(url) = options.url.clone() else {
            let text = "url: is not set; write where the hub serves `engine`, e.g. \"https://hub.internal:8082\"";
            return Err(Error::Options(text.to_owned()));
        };
        let mut header = MetadataValue::try_from(shown(&options.secret()?))
            .map_err(|_| Error::Options("secret: cannot be sent in a header; use letters and digits".to_owned()))?;
        header.set_sensitive(true);
        let wrong = |error: tonic::transport::Error| Error::Options(format!("url: {url:?} cannot be used ({error})"));
        let endpoint = Endpoint::from_shared(url.clone())
            .and_then(|endpoint| endpoint.user_agent(concat!("fanfare/", env!("CARGO_PKG_VERSION"))))
            .map_err(wrong)?
            .connect_timeout(options.timeout.get())
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PROBE_AFTER)
            .keep_alive_timeout(PROBE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let endpoint =
            if url.starts_with("https:") { endpoint.tls_config(tls(options)?).map_err(wrong)? } else { endpoint };
        Ok(Self {
            wire: InterceptedService::new(endpoint.connect_lazy(), Show(header)),
            url,
            timeout: options.timeout.get(),
            message_bytes_max: options.message_bytes_max.as_usize(),
            calls: Calls::new(),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How long a call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The most bytes that the events of one call should have: the rest of a message is for what is around them.
    pub(super) fn batch_bytes_max(&self) -> usize {
        self.message_bytes_max / 2
    }

    pub(super) fn engine(&self) -> EngineClient<Wire> {
        EngineClient::new(self.wire.clone())
            .max_decoding_message_size(self.message_bytes_max)
            .max_encoding_message_size(self.message_bytes_max)
    }

    pub(super) fn leases(&self) -> LeasesClient<Wire> {
        LeasesClient::new(self.wire.clone()).max_decoding_message_size(self.message_bytes_max)
    }

    pub(super) fn cursors(&self) -> CursorsClient<Wire> {
        CursorsClient::new(self.wire.clone()).max_decoding_message_size(self.message_bytes_max)
    }

    pub(super) fn presence(&self) -> PresenceClient<Wire> {
        PresenceClient::new(self.wire.clone()).max_decoding_message_size(self.message_bytes_max)
    }

    /// What a call comes to, within the time that calls have.
    pub(super) fn answer<'a, A: Send + 'a>(
        &'a self,
        service: Service,
        call: impl Future<Output = Result<Response<A>, Status>> + Send + 'a,
    ) -> BoxFuture<'a, Result<A, Status>> {
        self.answer_after(service, Duration::ZERO, call)
    }

    /// The same of a call that the hub answers only after `wait`, if there is nothing to say before.
    pub(super) fn answer_after<'a, A: Send + 'a>(
        &'a self,
        service: Service,
        wait: Duration,
        call: impl Future<Output = Result<Response<A>, Status>> + Send + 'a,
    ) -> BoxFuture<'a, Result<A, Status>> {
        // Boxed, because a call has kilobytes of state.
        let call = call.boxed();
        async move {
            let answer = tokio::time::timeout(wait.saturating_add(self.timeout), call).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the hub did not answer in time")));
            self.count(service, &answer);
            answer.map(Response::into_inner)
        }
        .boxed()
    }

    fn count<A>(&self, service: Service, answer: &Result<A, Status>) {
        match answer.as_ref().map_err(Status::code) {
            Ok(_) => self.calls.done(service),
            Err(Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal) => {
                self.calls.failed(service);
            }
            Err(_) => self.calls.refused(service),
        }
    }
}

fn tls(options: &Options) -> Result<ClientTlsConfig, Error> {
    let tls = match &options.ca_file {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("ca_file", path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match (&options.cert_file, &options.key_file) {
        (Some(cert), Some(key)) => {
            Ok(tls.identity(Identity::from_pem(read("cert_file", cert)?, read("key_file", key)?)))
        }
        _ => Ok(tls),
    }
}
