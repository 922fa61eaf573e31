//! How a hub and its gateways find and trust each other.

use std::path::PathBuf;

use fanfare_auth::Secret;
use fanfare_model::{ByteSize, Duration};
use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The fewest bytes of a secret: as many as 128 random bits have in hexadecimal.
const SECRET_BYTES_MIN: usize = 32;

/// The section `engine.remote`, of the hub and of its gateways alike.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Gateways: where the hub serves `engine`, e.g. `https://hub.internal:8082`. `http` is for networks that nobody else
    /// can read: what is sent includes `secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What a gateway shows to the hub. The same on both, 32 bytes or more (`openssl rand -hex 32`). Whoever knows it may
    /// read and write everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// A file that holds the secret, instead of `secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Gateways: a file of certificates (PEM) of the authorities that the hub's certificate is checked with. Default: those
    /// that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Gateways: the certificate (PEM) that is shown to a hub whose listener asks for one (`client_ca_file`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Gateways: the key of that certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Gateways: the hub must answer within this time, or the call has failed. Default 5 s: publishers are told rather than
    /// kept waiting.
    pub timeout: Duration,
    /// Gateways: how long a broken connection waits before it is made again, at first. Doubled each time, with jitter, up to
    /// 20 times as long. Default 100 ms.
    pub reconnect_after: Duration,
    /// Hub: how many events may wait for one gateway that reads too slowly; beyond it they are left out, and the gateway
    /// reads the log instead. Default 8192, a second of a busy hub.
    pub waiting_events_max: u32,
    /// Hub: how many bytes of events may wait for one gateway, likewise. Default 16 MiB.
    pub waiting_bytes_max: ByteSize,
    /// Both: the most bytes of one message: a batch to publish, a page of history. Default 32 MiB: the largest batches of
    /// the API, of events that are as large as they may be.
    pub message_bytes_max: ByteSize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: None,
            secret: None,
            secret_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            timeout: Duration::from_secs(5),
            reconnect_after: Duration::from_millis(100),
            waiting_events_max: 8192,
            waiting_bytes_max: ByteSize::mib(16),
            message_bytes_max: ByteSize::mib(32),
        }
    }
}

impl Options {
    /// Checks what types cannot. The error names the key (within this section) and the fix.
    pub fn validate(&self) -> Result<(), String> {
        if let Some(url) = &self.url {
            if url.contains('@') {
                return Err("url: holds a user or a password, which is not used; set secret or secret_file".to_owned());
            }
            let parsed: Option<Uri> = url.parse().ok();
            let scheme = parsed.as_ref().and_then(Uri::scheme_str);
            if !matches!(scheme, Some("http" | "https")) || parsed.is_some_and(|url| url.path() != "/") {
                return Err(format!("url: {url:?} is not an address; write e.g. \"https://hub.internal:8082\""));
            }
        }
        if self.secret.is_some() && self.secret_file.is_some() {
            return Err("secret: is set beside secret_file; set one of them".to_owned());
        }
        if let Some(secret) = &self.secret {
            check_secret(secret)?;
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err("cert_file: is needed together with key_file; set both or none".to_owned());
        }
        let spans = [("timeout", self.timeout), ("reconnect_after", self.reconnect_after)];
        if let Some((key, _)) = spans.iter().find(|(_, span)| span.get().is_zero()) {
            return Err(format!("{key}: is zero, so every call would fail at once; write e.g. \"5s\""));
        }
        if self.waiting_events_max == 0 {
            return Err("waiting_events_max: is 0, so no gateway would be told of anything; write e.g. 8192".to_owned());
        }
        let sizes = [("waiting_bytes_max", self.waiting_bytes_max), ("message_bytes_max", self.message_bytes_max)];
        if let Some((key, size)) = sizes.iter().find(|(_, size)| !(1 << 20..=1 << 30).contains(&size.0)) {
            return Err(format!("{key}: {size} is out of range; write a size from \"1MiB\" to \"1GiB\""));
        }
        Ok(())
    }

    /// The secret, from wherever it is.
    pub(crate) fn secret(&self) -> Result<Secret, crate::Error> {
        let secret = match (&self.secret, &self.secret_file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(path)) => Secret::new(read("secret_file", path)?.trim()),
            (None, None) => {
                let text = "secret: is not set; hub and gateways need the same, e.g. from `openssl rand -hex 32`";
                return Err(crate::Error::Options(text.to_owned()));
            }
        };
        check_secret(&secret).map_err(crate::Error::Options)?;
        Ok(secret)
    }
}

fn check_secret(secret: &Secret) -> Result<(), String> {
    let size = secret.reveal().len();
    if size < SECRET_BYTES_MIN {
        return Err(format!(
            "secret: has {size} bytes; use at least {SECRET_BYTES_MIN}, e.g. of `openssl rand -hex 32`"
        ));
    }
    // It travels in a header.
    if !secret.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("secret: has other characters than letters, digits and signs of ASCII; use only those".to_owned());
    }
    Ok(())
}

/// The text of a file that the options name.
pub(crate) fn read(key: &'static str, path: &std::path::Path) -> Result<String, crate::Error> {
    std::fs::read_to_string(path).map_err(|source| crate::Error::File { key, path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_name_the_key_and_the_fix() {
        let wrong = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.validate().unwrap_err()
        };
        assert_eq!(Options::default().validate(), Ok(()));
        assert!(wrong(|options| options.url = Some("hub:8082".to_owned())).contains("https://hub.internal:8082"));
        assert!(wrong(|options| options.url = Some("https://hub/engine".to_owned())).starts_with("url:"));
        assert!(!wrong(|options| options.url = Some("https://a:hush@hub".to_owned())).contains("hush"));
        assert!(wrong(|options| options.secret = Some(Secret::new("short"))).contains("at least 32"));
        assert!(wrong(|options| options.secret = Some(Secret::new("with spaces ".repeat(4)))).contains("ASCII"));
        assert!(wrong(|options| options.cert_file = Some("a".into())).contains("key_file"));
        assert!(wrong(|options| options.timeout = Duration::from_secs(0)).starts_with("timeout:"));
        assert!(wrong(|options| options.waiting_events_max = 0).starts_with("waiting_events_max:"));
        assert!(wrong(|options| options.message_bytes_max = ByteSize(1)).contains("1MiB"));
    }

    #[test]
    fn a_secret_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{}\n", "s".repeat(32))).unwrap();
        let options = Options { secret_file: Some(file.path().to_owned()), ..Options::default() };
        assert_eq!(options.secret().unwrap().reveal(), "s".repeat(32));
        assert!(matches!(Options::default().secret(), Err(crate::Error::Options(text)) if text.contains("openssl")));
        let gone = Options { secret_file: Some("/nowhere/secret".into()), ..Options::default() };
        assert!(matches!(gone.secret(), Err(crate::Error::File { key: "secret_file", .. })));
    }
}
