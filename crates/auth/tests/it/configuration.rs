//! The `[auth]` section: what it takes, what it refuses, and that it shows no secret.

use fanfare_auth::{Auth, Door, KeyHash, Options};
use fanfare_model::ByteSize;

use crate::forge::{SECRET, clock};

const GOOD: &str = r#"
token_bytes_max = "4KiB"
api_keys_file = "keys.json"
[issuers.app]
tenant = "acme"
algorithms = ["HS256", "HS512"]
audiences = { client = "push", server = "push-server" }
max_lifetime = "1h"
leeway = "5s"
types = ["at+jwt"]
grants_default = [{ topics = ["user:{user}"], allow = ["subscribe", "history"] }]
keys = [{ kid = "a", secret = "3b7e151628aed2a6abf7158809cf4f3c762e7160" }]
[[api_keys]]
id = "ci"
hash = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
grants = [{ topics = ["*"], allow = ["publish", "admin"] }]
expires_at = "2030-01-01T00:00:00Z"
[anonymous]
grants = [{ topics = ["news"], allow = ["subscribe"] }]
"#;

#[test]
fn a_whole_section_is_read_and_shown_without_secrets() {
    let options: Options = toml::from_str(GOOD).unwrap();
    options.validate().unwrap();
    assert_eq!(options.token_bytes_max, ByteSize::kib(4));
    assert_eq!(options.api_keys[0].doors, [Door::Server]);
    assert_eq!(options.api_keys[0].hash, KeyHash::of("x"));
    assert_eq!(options.anonymous.as_ref().unwrap().doors, [Door::Client]);
    for shown in [toml::to_string(&options).unwrap(), format!("{options:?}")] {
        assert!(!shown.contains(SECRET) && shown.contains("redacted"), "{shown}");
    }
    // What is shown can be read, but not taken for the real thing.
    let mut shown: Options = toml::from_str(&toml::to_string(&options).unwrap()).unwrap();
    shown.api_keys_file = None;
    assert!(Auth::new(shown, clock()).unwrap_err().to_string().contains("secret"));
}

#[test]
fn the_defaults_are_empty_and_good() {
    let options: Options = toml::from_str("").unwrap();
    assert!(options.validate().is_ok() && !options.dev && !options.terse_refusals);
    assert_eq!(options.token_bytes_max, ByteSize::kib(8));
    // Only `--dev` makes it so.
    assert!(toml::from_str::<Options>("dev = true").is_err());
}

/// The error of the good section with `from` replaced by `to`.
fn error_of(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    match toml::from_str::<Options>(&GOOD.replace(from, to)) {
        Err(error) => error.to_string(),
        Ok(options) => Auth::new(options, clock()).unwrap_err().to_string(),
    }
}

#[test]
fn mistakes_are_refused_with_the_key_and_the_fix() {
    let keys = r#"keys = [{ kid = "a", secret = "3b7e151628aed2a6abf7158809cf4f3c762e7160" }]"#;
    let with_secret = |secret: &str| format!("keys = [{{ secret = \"{secret}\" }}]");
    let twice = format!("{}, {}", &keys[..keys.len() - 1], &keys["keys = [".len()..]);
    for (from, to, parts) in [
        ("\"HS512\"", "\"none\"", &["none", "remove it"][..]),
        ("\"HS512\"", "\"ES512\"", &["ES512", "ES384"]),
        ("\"HS512\"", "\"hs512\"", &["hs512", "HS512"]),
        ("\"HS512\"", "\"RS256\"", &["auth.issuers.app.algorithms", "RS256"]),
        ("server = \"push-server\"", "server = \"push\"", &["auth.issuers.app.audiences.server", "must not share"]),
        ("client = \"push\"", "client = \"\"", &["auth.issuers.app.audiences.client", "0 bytes"]),
        ("max_lifetime = \"1h\"", "max_lifetime = \"0s\"", &["auth.issuers.app.max_lifetime", "1s"]),
        ("max_lifetime = \"1h\"", "max_lifetime = 3600", &["max_lifetime"]),
        ("leeway = \"5s\"", "leeway = \"6m\"", &["auth.issuers.app.leeway", "5m"]),
        (keys, "keys = []", &["auth.issuers.app.keys has 0"]),
        (keys, "keys = [{}]", &["auth.issuers.app.keys[0] names 0 sources"]),
        (keys, "keys = [{ secret = \"x\", secret_file = \"y\" }]", &["keys[0] names 2 sources"]),
        (keys, &twice, &["auth.issuers.app.keys[1].kid", "must differ"]),
        (keys, &with_secret(""), &["keys[0] has an empty secret", "openssl rand"]),
        (keys, &with_secret("short"), &["keys[0] has a secret of 5 bytes", "32", "openssl rand"]),
        (keys, &with_secret("!ChangeThisMercureHubJWTSecretKey!"), &["keys[0]", "guess"]),
        (keys, &with_secret(&"ab".repeat(20)), &["keys[0]", "guess"]),
        ("kid = \"a\"", "kid = \"\"", &["keys[0] has a kid of 0 bytes"]),
        ("user:{user}", "user:{usr}", &["topic pattern", "{user}"]),
        ("\"history\"]", "\"read\"]", &["read", "history"]),
        ("id = \"ci\"", "id = \"c i\"", &["auth.api_keys[0].id", "A-Z"]),
        ("sha256:2d", "2d", &["sha256:"]),
        ("sha256:2d", "sha256:+d", &["64 hexadecimal"]),
        ("2030-01-01T00:00:00Z", "tomorrow", &["RFC 3339"]),
        ("token_bytes_max = \"4KiB\"", "token_bytes_max = \"0B\"", &["auth.token_bytes_max"]),
        ("tenant = \"acme\"", "tennant = \"acme\"", &["tennant"]),
        ("token_bytes_max", "token_size_max", &["token_size_max"]),
    ] {
        let error = error_of(from, to);
        assert!(parts.iter().all(|part| error.contains(part)), "{to}: {error}");
        assert!(!error.contains(SECRET), "{error}");
    }
}

#[test]
fn two_issuers_cannot_be_told_apart_or_share_an_audience_across_doors() {
    let second = |more: &str| {
        let text = format!("{GOOD}\n[issuers.second]\n{more}\nkeys = [{{ secret = \"{SECRET}\" }}]");
        Auth::new(toml::from_str(&text).unwrap(), clock()).map(drop).map_err(|e| e.to_string())
    };
    second("").unwrap();
    assert!(second("iss = \"app\"").unwrap_err().contains("auth.issuers.second.iss"));
    let error = second("audiences = { client = \"push-server\", server = \"x\" }").unwrap_err();
    assert!(error.contains("auth.issuers.app.audiences.server") && error.contains("auth.issuers.second"), "{error}");
}

#[test]
fn dev_allows_short_secrets() {
    let mut options: Options = toml::from_str(&GOOD.replace(SECRET, "dev")).unwrap();
    options.api_keys_file = None;
    assert!(Auth::new(options.clone(), clock()).is_err());
    options.dev = true;
    Auth::new(options, clock()).unwrap();
}

#[test]
fn the_schema_describes_every_field() {
    let schema = serde_json::to_value(schemars::schema_for!(Options)).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    for name in
        ["issuers", "api_keys", "api_keys_file", "api_keys_max", "anonymous", "token_bytes_max", "terse_refusals"]
    {
        assert!(properties[name]["description"].is_string(), "{name}");
    }
    assert!(!properties.contains_key("dev"));
    let algorithms: Vec<_> = schema["$defs"]["Algorithm"]["enum"].as_array().unwrap().iter().collect();
    assert!(algorithms.contains(&&serde_json::json!("EdDSA")) && algorithms.len() == 12, "{algorithms:?}");
    assert_eq!(schema["$defs"]["Pattern"]["type"], "string");
    assert_eq!(schema["$defs"]["KeyHash"]["type"], "string");
}
