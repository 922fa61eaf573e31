//! How an issuer's claims are read, settled.

use std::collections::BTreeMap;

use super::{ClaimForm, ClaimMap, ClaimPath};
use crate::Grant;

/// Where things stand. Of several places for the user or the info the first that is there counts; what may be done
/// adds up.
#[derive(Debug, Default)]
pub(crate) struct Map {
    pub(super) user: Vec<ClaimPath>,
    pub(super) info: Vec<ClaimPath>,
    pub(super) topics: Vec<ClaimPath>,
    pub(super) publish: Vec<ClaimPath>,
    /// Topics to subscribe to, and leave to do so.
    pub(super) channels: Vec<ClaimPath>,
    /// Topics to subscribe to. The leave comes from elsewhere.
    pub(super) subscribe: Vec<ClaimPath>,
    pub(super) grants: Vec<ClaimPath>,
    pub(super) capabilities: Vec<ClaimPath>,
    /// Centrifugo's lists of channels with what may be done.
    pub(super) caps: Vec<ClaimPath>,
    pub(super) permissions: Vec<ClaimPath>,
    pub(super) permission_grants: BTreeMap<String, Vec<Grant>>,
    /// Further ends, in seconds since 1970, 0 for none: the earliest counts.
    pub(super) ends: Vec<ClaimPath>,
    /// An object that may have no other members than these.
    pub(super) closed: Option<(ClaimPath, &'static [&'static str])>,
}

impl Map {
    pub(crate) fn settle(map: &ClaimMap) -> Self {
        match map {
            ClaimMap::Form(ClaimForm::Fanfare) => Self {
                user: paths(&["sub"]),
                info: paths(&["/fanfare/info"]),
                topics: paths(&["topics"]),
                subscribe: paths(&["/fanfare/subscribe"]),
                grants: paths(&["/fanfare/grants"]),
                // The claim is ours, and what is not understood in it may have been meant to narrow the rest.
                closed: Some((path("fanfare"), &["grants", "info", "subscribe"])),
                ..Self::default()
            },
            ClaimMap::Form(ClaimForm::Mercure) => Self {
                user: paths(&["sub"]),
                info: paths(&["/https:~1~1mercure.rocks~1/payload", "/mercure/payload"]),
                topics: paths(&["/https:~1~1mercure.rocks~1/subscribe", "/mercure/subscribe"]),
                publish: paths(&["/https:~1~1mercure.rocks~1/publish", "/mercure/publish"]),
                ..Self::default()
            },
            ClaimMap::Form(ClaimForm::Centrifugo) => Self {
                user: paths(&["sub"]),
                info: paths(&["info"]),
                channels: paths(&["channels", "subs"]),
                caps: paths(&["caps"]),
                ends: paths(&["expire_at"]),
                ..Self::default()
            },
            ClaimMap::Form(ClaimForm::Ably) => Self {
                user: paths(&["x-ably-clientId"]),
                capabilities: paths(&["x-ably-capability"]),
                ..Self::default()
            },
            ClaimMap::Own(own) => Self {
                user: own.user.clone().map_or_else(|| paths(&["sub"]), |user| vec![user]),
                info: own.info.iter().cloned().collect(),
                topics: own.topics.iter().cloned().collect(),
                publish: own.publish.iter().cloned().collect(),
                channels: own.channels.iter().cloned().collect(),
                grants: own.grants.iter().cloned().collect(),
                capabilities: own.capabilities.iter().cloned().collect(),
                permissions: own.permissions.iter().cloned().collect(),
                permission_grants: own.permission_grants.clone(),
                ..Self::default()
            },
        }
    }

    /// Whether it is that of our own claims.
    pub(crate) fn is_ours(&self) -> bool {
        self.closed.is_some()
    }
}

fn path(text: &str) -> ClaimPath {
    ClaimPath::parse(text).expect("a path of this file is short")
}

fn paths(texts: &[&str]) -> Vec<ClaimPath> {
    texts.iter().map(|text| path(text)).collect()
}
