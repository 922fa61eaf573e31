//! Certificates for development: an authority that signs one for a server and one for a client, and is then forgotten.

use fanfare_model::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// A certificate and its private key, as PEM.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub certificate: String,
    pub key: String,
}

/// What one authority has signed.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// The authority's own certificate, as PEM. Its key is gone, so it never signs another.
    pub authority: String,
    /// For a server of the names that were asked for.
    pub server: Pair,
    /// For a client.
    pub client: Pair,
}

/// Makes certificates that are good for a year from `now`: for a server that is reached under `names` (host names and
/// addresses), and for a client whose common name is `client`. An error: a name that cannot be in a certificate.
pub(crate) fn make(names: &[String], client: &str, now: Timestamp) -> Result<Made, Error> {
    let mut authority = params(Vec::new(), "Fanfare development", now)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let sign = |mut of: CertificateParams, purpose| {
        of.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        of.extended_key_usages = vec![purpose];
        of.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = of.signed_by(&key, &authority)?;
        Ok::<_, Error>(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    };
    let server_name = names.first().map_or("localhost", String::as_str);
    let server = sign(params(names.to_vec(), server_name, now)?, ExtendedKeyUsagePurpose::ServerAuth)?;
    let client = sign(params(Vec::new(), client, now)?, ExtendedKeyUsagePurpose::ClientAuth)?;
    Ok(Made { authority: authority.pem(), server, client })
}

fn params(names: Vec<String>, common_name: &str, now: Timestamp) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    // Clocks of other machines may be behind; and not longer than browsers take.
    let midnight = |days| {
        let day = day(now, days);
        date_time_ymd(day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (midnight(-1), midnight(365));
    Ok(params)
}

/// The day that is so many days from `now`.
fn day(now: Timestamp, days: i64) -> Date {
    let there = jiff::Timestamp::from_second(now.as_seconds().saturating_add(days * 24 * 3600));
    there.unwrap_or_default().to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::tls::Certificate;

    #[test]
    fn certificates_say_whose_they_are_and_end_in_a_year() {
        let now = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        let made = make(&["localhost".to_owned(), "127.0.0.1".to_owned()], "billing", now).unwrap();
        let read = |pem: &str| Certificate::of(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let client = read(&made.client.certificate);
        assert_eq!(client.subject, "CN=billing");
        assert_eq!(client.expires_at, Timestamp::parse("2027-11-21T00:00:00Z").unwrap());
        assert_eq!(read(&made.server.certificate).subject, "CN=localhost");
        assert!(make(&["not ascii: ü".to_owned()], "x", now).is_err());
    }
}
