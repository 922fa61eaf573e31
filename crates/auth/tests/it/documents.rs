//! What the documentation shows works.

use std::collections::BTreeMap;

use fanfare_auth::{Auth, Options};
use serde::Deserialize;

use crate::forge::clock;

const PAGE: &str = include_str!("../../../../docs/authentication.md");

/// A configuration file, of which only one section matters here.
#[derive(Deserialize)]
struct File {
    auth: Options,
    #[serde(flatten)]
    _rest: BTreeMap<String, toml::Value>,
}

#[test]
fn every_configuration_on_the_page_is_a_good_one() {
    let blocks: Vec<_> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 6, "{} blocks", blocks.len());
    for block in blocks {
        let mut file: File = toml::from_str(block).unwrap_or_else(|error| panic!("{error} in\n{block}"));
        // The files of the examples are not there.
        file.auth.resume.key_files.clear();
        file.auth.api_keys_file = None;
        file.auth.revocations_file = None;
        for issuer in file.auth.issuers.values_mut() {
            if let Some(jwks) = &mut issuer.jwks {
                jwks.ca_file = None;
            }
            issuer.keys.iter_mut().for_each(|key| {
                if key.secret_file.take().is_some() {
                    key.secret = Some(fanfare_auth::Secret::new(crate::forge::SECRET));
                }
            });
        }
        Auth::new(file.auth, clock()).unwrap_or_else(|error| panic!("{error} in\n{block}"));
    }
}

#[test]
fn every_reason_is_on_the_page() {
    for reason in fanfare_auth::Reason::ALL {
        assert!(PAGE.contains(&format!("| `{}` |", reason.code())), "{}", reason.code());
    }
}
