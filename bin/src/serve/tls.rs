//! TLS of one listener: handshakes, and what they are made with, which changes when its files do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use fanfare_model::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::metrics::{self, Handshake};
use crate::config::TlsOptions;
use crate::failure::{Code, Failure};
use crate::tls::{self, Certificate, Identity, Unusable};

/// How much encrypted output waits for a socket that takes nothing: one record, the most that is encrypted at once.
const UNSENT_MAX: usize = 16 * 1024;
/// How long before its end a certificate is warned of: time enough to do it by hand.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// How one listener speaks TLS.
#[derive(Debug)]
pub(super) struct Tls {
    listener: String,
    options: TlsOptions,
    identity: ArcSwap<Identity>,
    /// A permit for each handshake.
    turns: Semaphore,
}

impl Tls {
    /// Reads the files that `options` names.
    pub(super) fn load(listener: &str, options: &TlsOptions) -> Result<Arc<Self>, Failure> {
        let identity = tls::server(options).map_err(|unusable| {
            Failure::new(Code::ConfigWrong, format!("the listener `{listener}` cannot speak TLS: tls.{unusable}"))
        })?;
        Ok(Arc::new(Self {
            listener: listener.to_owned(),
            options: options.clone(),
            identity: ArcSwap::from_pointee(identity),
            turns: Semaphore::new(options.handshakes_max.min(1 << 28) as usize),
        }))
    }

    /// Makes the handshake with the client of `socket`. `None`: it failed, which was counted, or took too long.
    pub(super) async fn accept(&self, socket: TcpStream, peer: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let limit = self.options.handshake_timeout.get();
        let (result, why) = match tokio::time::timeout(limit, self.handshake(socket)).await {
            Ok(Ok(stream)) => {
                metrics::handshake(Handshake::Completed);
                self.tell_who(&stream, peer);
                return Some(stream);
            }
            Ok(Err(error)) => (Handshake::Failed, error.to_string()),
            Err(_) => (Handshake::TimedOut, "took too long".to_owned()),
        };
        metrics::handshake(result);
        // Scanners come all the time: nothing for an operator, much for who looks for one client.
        tracing::debug!(listener = self.listener, peer = %peer, why, "TLS handshake failed");
        None
    }

    async fn handshake(&self, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        // Who says nothing takes nobody's turn.
        socket.readable().await?;
        let _turn = self.turns.acquire().await.map_err(std::io::Error::other)?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.identity.load().config));
        acceptor.accept_with(socket, |connection| connection.set_buffer_limit(Some(UNSENT_MAX))).await
    }

    /// Says in the log whose certificate a client has shown.
    fn tell_who(&self, stream: &TlsStream<TcpStream>, peer: SocketAddr) {
        let (_, connection) = stream.get_ref();
        let Some(shown) = connection.peer_certificates().and_then(<[_]>::first) else { return };
        let subject = Certificate::of(shown).map_or_else(String::new, |certificate| certificate.subject);
        tracing::info!(listener = self.listener, peer = %peer, subject, "a client has shown its certificate");
    }

    /// Which listener it is.
    pub(super) fn listener(&self) -> &str {
        &self.listener
    }

    /// The files that it is made of.
    pub(super) fn files(&self) -> impl Iterator<Item = &std::path::Path> {
        let TlsOptions { cert_file, key_file, client_ca_file, .. } = &self.options;
        [cert_file, key_file].into_iter().chain(client_ca_file).map(std::path::PathBuf::as_path)
    }

    /// Reads its files again; new connections then get what is in them. An error: they cannot be used, and all is as it
    /// was. Blocks.
    pub(super) fn reload(&self) -> Result<(), Unusable> {
        self.identity.store(Arc::new(tls::server(&self.options)?));
        Ok(())
    }

    /// The certificate that clients are shown.
    pub(super) fn certificate(&self) -> Certificate {
        self.identity.load().certificate.clone()
    }
}

impl Certificate {
    /// What an operator should know of it, if anything.
    pub(super) fn warning(&self, now: Timestamp) -> Option<&'static str> {
        if self.expires_at <= now {
            Some("the certificate has expired: clients refuse it")
        } else if self.expires_at <= now.plus(SOON) {
            Some("the certificate expires soon")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_warned_in_time() {
        let ends = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        let certificate = Certificate { subject: "CN=a".to_owned(), expires_at: ends };
        let before = |seconds| certificate.warning(ends.minus(Duration::from_secs(seconds)));
        assert_eq!(before(8 * 24 * 3600), None);
        assert!(before(6 * 24 * 3600).unwrap().contains("soon"));
        assert!(before(0).unwrap().contains("has expired"));
    }
}
