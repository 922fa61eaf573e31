//! Certificates and keys in PEM files.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Unusable;

/// What is read from the file that `key` names.
pub(super) struct PemFile<'a> {
    pub key: &'static str,
    pub path: &'a Path,
}

impl PemFile<'_> {
    /// Every certificate in it, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Unusable> {
        let all = CertificateDer::pem_file_iter(self.path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let all: Vec<_> = all.map_err(|error| self.unreadable(&error))?;
        if all.is_empty() {
            return Err(self.without("certificate", "CERTIFICATE"));
        }
        Ok(all)
    }

    /// The first private key in it.
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, Unusable> {
        PrivateKeyDer::from_pem_file(self.path).map_err(|error| match error {
            pem::Error::NoItemsFound => self.without("private key that is not encrypted", "PRIVATE KEY"),
            other => self.unreadable(&other),
        })
    }

    /// Its certificates as authorities that are trusted.
    pub(super) fn authorities(&self) -> Result<RootCertStore, Unusable> {
        let mut store = RootCertStore::empty();
        for certificate in self.certificates()? {
            store.add(certificate).map_err(|error| {
                self.wrong(&format!("holds what is no certificate of an authority ({error})"), "put authorities there")
            })?;
        }
        Ok(store)
    }

    pub(super) fn wrong(&self, what: &str, fix: &'static str) -> Unusable {
        Unusable { key: self.key, what: format!("{} {what}", self.path.display()), fix }
    }

    fn without(&self, noun: &str, label: &str) -> Unusable {
        self.wrong(&format!("holds no {noun} (no line -----BEGIN {label}-----)"), "name a PEM file")
    }

    fn unreadable(&self, error: &pem::Error) -> Unusable {
        match error {
            pem::Error::Io(error) => {
                self.wrong(&format!("cannot be read ({error})"), "see that it exists and that this user may read it")
            }
            other => self.wrong(&format!("is not PEM ({other})"), "name a PEM file"),
        }
    }
}
