//! Asking over HTTP: a POST with JSON, a 200 with JSON.

use std::sync::Arc;

use fanfare_session::{Ask, Verdict};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode, Url};

use crate::fault::{Fault, What, chain};
use crate::signature::Signer;
use crate::{Error, answer, question};

pub(crate) struct Http {
    client: Client,
    url: Url,
    headers: HeaderMap,
    bytes_max: usize,
    signer: Arc<Signer>,
}

impl Http {
    pub(crate) fn new(
        url: Url,
        mut headers: HeaderMap,
        bytes_max: usize,
        authorities: Option<&[u8]>,
        signer: Arc<Signer>,
    ) -> Result<Self, Error> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // A redirect is not followed, because whoever is sent there gets what was meant for the application; and no
        // proxy of the environment is used, because the application is ours. The line keeps the time.
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("fanfare/", env!("CARGO_PKG_VERSION")));
        let builder = match authorities {
            Some(pem) => builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(tls)?),
            // Nothing is checked then; and a system without certificates is not refused.
            None if url.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        Ok(Self { client: builder.build().map_err(tls)?, url, headers, bytes_max, signer })
    }

    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Verdict, Fault> {
        let Some(body) = question::to_json(ask) else {
            return Err(Fault::new(What::Unreadable, "the question cannot be written"));
        };
        let mut headers = self.headers.clone();
        self.signer.sign(&body, &mut headers);
        let request = self.client.post(self.url.clone()).headers(headers).body(body);
        let response = request.send().await.map_err(fault)?;
        if response.status() != StatusCode::OK {
            return Err(Fault::new(What::Status, response.status()));
        }
        answer::from_json(&self.body(response).await?, ask)
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Fault> {
        let too_large =
            || Fault::new(What::TooLarge, format_args!("the answer has more than {} bytes", self.bytes_max));
        if response.content_length().is_some_and(|bytes| bytes > self.bytes_max as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            if body.len() + chunk.len() > self.bytes_max {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn tls(error: reqwest::Error) -> Error {
    Error::Tls(error.into())
}

fn fault(error: reqwest::Error) -> Fault {
    let what = if error.is_timeout() { What::Timeout } else { What::Unreachable };
    Fault::new(what, chain(&error.without_url()))
}
