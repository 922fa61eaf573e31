//! What a certificate says of itself.

use fanfare_model::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Whose it is, and how long it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The subject's distinguished name, e.g. `CN=billing, O=Example`.
    pub subject: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Certificate {
    /// What `der` says; `None` if it is no certificate.
    pub(crate) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            subject: certificate.subject().to_string(),
            expires_at: Timestamp::from_seconds(certificate.validity().not_after.timestamp()),
        })
    }
}
