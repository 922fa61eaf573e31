//! Nothing that was not signed gets in, and nothing makes it panic.

use std::sync::OnceLock;

use fanfare_auth::{Auth, Door, KeyRequest, Options};
use proptest::prelude::*;
use serde_json::json;

use crate::forge::{SECRET, auth, claiming, clock, header, options, sign_text};

fn shared() -> &'static Auth {
    static AUTH: OnceLock<Auth> = OnceLock::new();
    AUTH.get_or_init(|| auth(options()))
}

/// An API key, and who knows it.
fn with_key() -> &'static (Auth, String) {
    static KEY: OnceLock<(Auth, String)> = OnceLock::new();
    KEY.get_or_init(|| {
        let created = fanfare_auth::CreatedKey::generate(
            KeyRequest { doors: Door::ALL.to_vec(), ..KeyRequest::default() },
            fanfare_model::Clock::now(&*clock()),
        );
        let text = created.text.reveal().to_owned();
        (auth(Options { api_keys: vec![created.key], ..Options::default() }), text)
    })
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        "\\PC{0,20}|[a-z:*{}]{0,12}".prop_map(|s| json!(s)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| json!(items)),
            prop::collection::btree_map("grants|info|subscribe|topics|allow|[a-z]{0,5}", inner, 0..3)
                .prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_text_is_refused(text in "\\PC*|ffk_\\PC*|[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*|(?s).{0,200}") {
        for door in Door::ALL {
            prop_assert!(shared().authenticate(door, &text).is_err());
        }
    }

    #[test]
    fn a_token_with_one_character_changed_is_refused(at in any::<prop::sample::Index>(), by in any::<char>()) {
        let token = claiming(json!({}));
        let at = at.index(token.len());
        let changed = format!("{}{by}{}", &token[..at], &token[at + 1..]);
        prop_assert_eq!(shared().authenticate(Door::Client, &changed).is_ok(), changed == token);
    }

    #[test]
    fn a_token_cut_short_is_refused(length in any::<prop::sample::Index>()) {
        let token = claiming(json!({}));
        prop_assert!(shared().authenticate(Door::Client, &token[..length.index(token.len())]).is_err());
    }

    #[test]
    fn an_api_key_with_one_character_changed_is_refused(at in any::<prop::sample::Index>(), by in any::<char>()) {
        let (auth, text) = with_key();
        let at = at.index(text.len());
        let changed = format!("{}{by}{}", &text[..at], &text[at + 1..]);
        prop_assert_eq!(auth.authenticate(Door::Server, &changed).is_ok(), changed == *text);
    }

    #[test]
    fn signed_nonsense_never_panics(
        claim in "iss|aud|sub|exp|nbf|iat|jti|topics|fanfare",
        value in json_value(),
    ) {
        let token = claiming(json!({ claim: value }));
        if let Ok(principal) = shared().authenticate(Door::Client, &token) {
            prop_assert_eq!(&*principal.issuer, "app");
        }
    }

    #[test]
    fn signed_random_payloads_never_panic(payload in "\\{[\\PC]{0,40}\\}|\\PC{0,60}") {
        let token = sign_text(&header().to_string(), &payload, SECRET.as_bytes());
        prop_assert!(shared().authenticate(Door::Client, &token).is_err());
    }
}
