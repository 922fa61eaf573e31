//! How questions are signed: Standard Webhooks (<https://www.standardwebhooks.com>), symmetric.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_model::{Clock, EventId, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// The key that a secret stands for. `Err` continues the name of the key in the configuration.
pub(crate) fn key(secret: &str) -> Result<hmac::Key, &'static str> {
    let text = secret
        .strip_prefix(PREFIX)
        .ok_or("does not begin with `whsec_`; make one with: echo whsec_$(head -c 32 /dev/urandom | base64)")?;
    let bytes = STANDARD.decode(text).map_err(|_| "is not base64 (standard alphabet, padded) after `whsec_`")?;
    if !(24..=64).contains(&bytes.len()) {
        return Err("does not stand for 24 to 64 bytes; make one with: echo whsec_$(head -c 32 /dev/urandom | base64)");
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// Signs questions with every secret.
pub(crate) struct Signer {
    keys: Vec<hmac::Key>,
    clock: Arc<dyn Clock>,
}

impl Signer {
    pub(crate) fn new(keys: Vec<hmac::Key>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock }
    }

    /// Adds id, time and signatures of a question to its headers. The id is the question's own: the application can
    /// tell a question that it has seen.
    pub(crate) fn sign(&self, body: &[u8], headers: &mut HeaderMap) {
        let (id, at) = (EventId::generate(), self.clock.now());
        headers.insert(TIMESTAMP, HeaderValue::from(at.as_seconds()));
        if let Some(signatures) = self.signatures(id.as_str(), at, body) {
            insert(headers, SIGNATURE, &signatures);
        }
        insert(headers, ID, id.as_str());
    }

    fn signatures(&self, id: &str, at: Timestamp, body: &[u8]) -> Option<String> {
        let head = format!("{id}.{}.", at.as_seconds());
        let signature = |key| {
            let mut context = hmac::Context::with_key(key);
            context.update(head.as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        };
        let signatures: Vec<_> = self.keys.iter().map(signature).collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    // What is made here is of characters that a header may have.
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use fanfare_model::ManualClock;

    use super::*;

    /// The vector of the specification's reference libraries.
    #[test]
    fn it_signs_as_the_reference_libraries_do() {
        let at = Timestamp::from_seconds(1_614_265_330);
        let of = |secrets: &[&str]| {
            let keys = secrets.iter().map(|secret| key(secret).unwrap()).collect();
            let signer = Signer::new(keys, Arc::new(ManualClock::new(at)));
            signer.signatures("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b"{\"test\": 2432232314}")
        };
        let known = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(of(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).as_deref(), Some(known));
        let both = of(&["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
        assert!(both.starts_with("v1,") && both.ends_with(&format!(" {known}")), "{both}");
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        for secret in [
            "",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_",
            "whsec_AAAA",
            "whsec_???",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        ] {
            assert!(key(secret).is_err(), "{secret}");
        }
    }
}
