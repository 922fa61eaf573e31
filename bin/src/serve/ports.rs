//! Which addresses the node listens at.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use super::bind::Bound;
use super::files;
use crate::config::Serves;
use crate::failure::{Code, Failure};

/// The listeners by name, with the ports they got.
pub(super) struct Listening(BTreeMap<String, At>);

struct At {
    address: SocketAddr,
    scheme: &'static str,
    serves: Vec<Serves>,
}

impl Listening {
    pub(super) fn of(bound: &[Bound]) -> Self {
        let at = |bound: &Bound| At {
            address: bound.address,
            scheme: if bound.tls.is_some() { "https" } else { "http" },
            serves: bound.serves.clone(),
        };
        Self(bound.iter().map(|bound| (bound.name.clone(), at(bound))).collect())
    }

    /// The name of a listener that serves `what`, and its URL for a person on this machine.
    pub(super) fn url_of(&self, what: Serves) -> Option<(&str, String)> {
        let (name, At { address, scheme, .. }) = self.0.iter().find(|(_, at)| at.serves.contains(&what))?;
        let mut address = *address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        Some((name, format!("{scheme}://{address}")))
    }

    /// What each listener serves, one a line.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(name, At { address, scheme, serves })| {
            let serves: Vec<_> = serves.iter().map(|serves| serves.as_str()).collect();
            format!("{name:<8} {scheme}://{address}  ({})", serves.join(", "))
        })
    }

    /// Writes them as JSON, for whoever started the node and waits for it to be ready.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let listeners: BTreeMap<_, _> = self.0.iter().map(|(name, at)| (name, at.address.to_string())).collect();
        let text = json!({ "listeners": listeners, "pid": std::process::id() }).to_string();
        files::write(path, &text).map_err(|error| {
            Failure::because(Code::SystemRefused, format!("the ports file {} cannot be written", path.display()), error)
        })
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (name, at)) in self.0.iter().enumerate() {
            write!(f, "{}{name}={}", if nth > 0 { " " } else { "" }, at.address)?;
        }
        Ok(())
    }
}
