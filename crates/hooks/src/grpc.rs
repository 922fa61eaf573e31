//! Asking over gRPC: the service `fanfare.v1.Hooks`, which the application implements.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fanfare_proto::v1::HookRequest;
use fanfare_proto::v1::hooks_client::HooksClient;
use fanfare_session::{Ask, Hook, Verdict};
use http::HeaderMap;
use prost::Message as _;
use reqwest::Url;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use crate::fault::{Fault, What, chain};
use crate::signature::Signer;
use crate::{Error, answer, question};

/// After how long without a sign of life the application is asked for one, and how long that may take: so that a
/// connection that a firewall forgot is made again.
const PROBE_AFTER: Duration = Duration::from_secs(20);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Grpc {
    endpoint: Endpoint,
    /// Made at the first question, because it starts a task.
    client: OnceLock<HooksClient<Channel>>,
    headers: HeaderMap,
    bytes_max: usize,
    signer: Arc<Signer>,
}

impl Grpc {
    pub(crate) fn new(
        url: &Url,
        headers: HeaderMap,
        bytes_max: usize,
        authorities: Option<&[u8]>,
        signer: Arc<Signer>,
    ) -> Result<Self, Error> {
        let tls = |error: tonic::transport::Error| Error::Tls(error.into());
        let encrypted = url.scheme() == "grpcs";
        let scheme = if encrypted { "https" } else { "http" };
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let endpoint = Endpoint::from_shared(format!("{scheme}://{authority}"))
            .and_then(|endpoint| endpoint.user_agent(concat!("fanfare/", env!("CARGO_PKG_VERSION"))))
            .map_err(|error| Error::Options(format!("`hooks` has a gRPC address that is none: {error}")))?
            .http2_keep_alive_interval(PROBE_AFTER)
            .keep_alive_timeout(PROBE_TIMEOUT);
        let endpoint = match (encrypted, authorities) {
            (false, _) => endpoint,
            (true, Some(pem)) => {
                endpoint.tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))).map_err(tls)?
            }
            (true, None) => endpoint.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(tls)?,
        };
        Ok(Self { endpoint, client: OnceLock::new(), headers, bytes_max, signer })
    }

    pub(crate) async fn ask(&self, ask: &Ask, deadline: Instant) -> Result<Verdict, Fault> {
        let mut client = self.client().clone();
        let request = self.request(ask, deadline);
        let response = match ask.hook {
            Hook::Connect => client.connect(request).await,
            Hook::Subscribe => client.subscribe(request).await,
            Hook::Publish => client.publish(request).await,
            Hook::Refresh => client.refresh(request).await,
        };
        answer::from_proto(response.map_err(|status| fault(&status))?.into_inner(), ask)
    }

    fn client(&self) -> &HooksClient<Channel> {
        self.client
            .get_or_init(|| HooksClient::new(self.endpoint.connect_lazy()).max_decoding_message_size(self.bytes_max))
    }

    fn request(&self, ask: &Ask, deadline: Instant) -> Request<HookRequest> {
        let question = question::to_proto(ask);
        let mut headers = self.headers.clone();
        // The bytes that are sent: the same message, with the same map, is encoded in the same order.
        self.signer.sign(&question.encode_to_vec(), &mut headers);
        let mut request = Request::new(question);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        request
    }
}

fn fault(status: &Status) -> Fault {
    let what = match status.code() {
        Code::Unavailable => What::Unreachable,
        Code::DeadlineExceeded | Code::Cancelled => What::Timeout,
        Code::OutOfRange => What::TooLarge,
        _ => What::Status,
    };
    Fault::new(what, chain(status))
}
