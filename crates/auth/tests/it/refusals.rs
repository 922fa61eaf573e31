//! Tokens that are each wrong in exactly one way.

use fanfare_auth::Reason::{
    BadClaim, BadSignature, Expired, IssuedInFuture, LifetimeTooLong, MalformedToken, MissingAudience,
    MissingCredential, MissingExpiry, MissingIssuer, NotYetValid, TokenTooLarge, UnknownApiKey, UnknownIssuer,
    UnknownKey, UnsupportedAlgorithm, UnsupportedExtension, WrongAudience, WrongType,
};
use fanfare_auth::{Action, Auth, Door, Options, Reason};
use fanfare_model::{Kind, Topic};
use serde_json::{Value, json};

use crate::forge::{
    NOW, SECRET, SECRET_NEW, SECRET_OTHER, auth, claiming, claims, encode, header, options, sign, sign_text, with,
};

/// The good header with these changes, over the good claims.
fn heading(changes: Value) -> String {
    sign(&with(header(), changes), &claims())
}

/// The good claims as text, with `more` inside the object.
fn text_with(more: &str) -> String {
    let claims = claims().to_string();
    let text = format!("{},{more}}}", claims.strip_suffix('}').unwrap());
    sign_text(&header().to_string(), &text, SECRET.as_bytes())
}

/// The good token with one of its parts replaced.
fn replacing(part: usize, by: &str) -> String {
    let good = claiming(json!({}));
    let mut parts: Vec<_> = good.split('.').collect();
    parts[part] = by;
    parts.join(".")
}

/// Name, token, reason.
fn malformed() -> Vec<(&'static str, String, Reason)> {
    let good = claiming(json!({}));
    let deep = format!("\"x\":{}{}", "[".repeat(500), "]".repeat(500));
    vec![
        ("nothing", String::new(), MissingCredential),
        ("a word", "hello".to_owned(), MalformedToken),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned(), MalformedToken),
        ("four parts", format!("{good}.x"), MalformedToken),
        ("five parts, as of JWE", format!("{good}.x.y"), MalformedToken),
        ("a space before", format!(" {good}"), MalformedToken),
        ("with `Bearer`", format!("Bearer {good}"), MalformedToken),
        ("padding", format!("{good}="), MalformedToken),
        ("standard base64", replacing(2, "ab+/"), MalformedToken),
        ("header of no JSON", replacing(0, &encode("x")), MalformedToken),
        ("header of a list", replacing(0, &encode(r#"["HS256"]"#)), MalformedToken),
        ("payload of text", replacing(1, &encode(r#""x""#)), MalformedToken),
        ("payload not UTF-8", replacing(1, &encode(b"{\"a\":\"\xff\"}")), MalformedToken),
        ("payload empty", replacing(1, ""), MalformedToken),
        ("a member twice", text_with(r#""iss":"app""#), MalformedToken),
        ("a member twice, escaped", text_with(r#""\u0065xp":1"#), MalformedToken),
        ("a member twice, inside", text_with(r#""fanfare":{"info":{"a":1,"a":2}}"#), MalformedToken),
        (
            "header member twice",
            sign_text(r#"{"alg":"HS256","alg":"HS256"}"#, &claims().to_string(), SECRET.as_bytes()),
            MalformedToken,
        ),
        ("a number out of range", text_with(r#""x":1e400"#), MalformedToken),
        ("a lone surrogate", text_with(r#""x":"\ud800""#), MalformedToken),
        ("JSON too deep", text_with(&deep), MalformedToken),
        (
            "JSON with a tail",
            sign_text(&header().to_string(), &format!("{} 1", claims()), SECRET.as_bytes()),
            MalformedToken,
        ),
        ("no alg", heading(json!({"alg": null})), MalformedToken),
        ("alg of a number", heading(json!({"alg": 1})), MalformedToken),
        ("kid of a number", heading(json!({"kid": 1})), MalformedToken),
        (
            "kid of null",
            sign_text(r#"{"alg":"HS256","kid":null}"#, &claims().to_string(), SECRET.as_bytes()),
            MalformedToken,
        ),
        ("kid of 129 bytes", heading(json!({"kid": "k".repeat(129)})), MalformedToken),
        ("too large", claiming(json!({"x": "x".repeat(9_000)})), TokenTooLarge),
        ("an API key that is none", "ffk_x".to_owned(), UnknownApiKey),
        ("an API key that is unknown", format!("ffk_abc_{}", "s".repeat(43)), UnknownApiKey),
    ]
}

fn badly_signed() -> Vec<(&'static str, String, Reason)> {
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(claims().to_string()));
    let good = claiming(json!({}));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let claims_text = claims().to_string();
    vec![
        ("alg none", unsigned, UnsupportedAlgorithm),
        ("alg None, signed", heading(json!({"alg": "None"})), UnsupportedAlgorithm),
        ("alg in lower case", heading(json!({"alg": "hs256"})), UnsupportedAlgorithm),
        ("alg empty", heading(json!({"alg": ""})), UnsupportedAlgorithm),
        ("alg ES512", heading(json!({"alg": "ES512"})), UnsupportedAlgorithm),
        ("alg of another type", heading(json!({"alg": "RS256"})), UnsupportedAlgorithm),
        ("alg of the type, not allowed", heading(json!({"alg": "HS512"})), UnsupportedAlgorithm),
        ("crit", heading(json!({"crit": ["b64"], "b64": false})), UnsupportedExtension),
        ("crit empty", heading(json!({"crit": []})), UnsupportedExtension),
        ("kid unknown", heading(json!({"kid": "old"})), UnknownKey),
        ("kid empty", heading(json!({"kid": ""})), UnknownKey),
        ("kid a path", heading(json!({"kid": "../../dev/null"})), UnknownKey),
        ("kid of SQL", heading(json!({"kid": "' UNION SELECT 'x"})), UnknownKey),
        ("kid of another key", heading(json!({"kid": "new"})), BadSignature),
        ("no signature", format!("{signed}."), BadSignature),
        ("half a signature", good[..good.len() - 23].to_owned(), BadSignature),
        ("a secret of nobody", sign_text(&header().to_string(), &claims_text, &[7; 32]), BadSignature),
        ("an empty secret", sign_text(&header().to_string(), &claims_text, b""), BadSignature),
        (
            "another issuer's secret",
            sign_text(&header().to_string(), &claims_text, SECRET_OTHER.as_bytes()),
            BadSignature,
        ),
        ("another payload", replacing(1, &encode(with(claims(), json!({"sub": "root"})).to_string())), BadSignature),
        ("another header", replacing(0, &encode(r#"{"alg":"HS256","typ":"at"}"#)), BadSignature),
        (
            "a key in the header",
            sign_text(
                r#"{"alg":"HS256","jwk":{"kty":"oct","k":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"}}"#,
                &claims_text,
                &[7; 32],
            ),
            BadSignature,
        ),
        (
            "an address of keys in the header",
            sign_text(r#"{"alg":"HS256","jku":"http://127.0.0.1:1/k"}"#, &claims_text, &[7; 32]),
            BadSignature,
        ),
    ]
}

fn wrong_claims() -> Vec<(&'static str, String, Reason)> {
    vec![
        ("no iss", claiming(json!({"iss": null})), MissingIssuer),
        ("iss unknown", claiming(json!({"iss": "nobody"})), UnknownIssuer),
        ("iss the name, not the iss", claiming(json!({"iss": "other"})), UnknownIssuer),
        ("no exp", claiming(json!({"exp": null})), MissingExpiry),
        ("expired, just beyond the leeway", claiming(json!({"exp": NOW - 30, "iat": NOW - 60})), Expired),
        ("expired at the epoch", claiming(json!({"exp": 0})), Expired),
        ("nbf beyond the leeway", claiming(json!({"nbf": NOW + 31})), NotYetValid),
        ("iat beyond the leeway", claiming(json!({"iat": NOW + 31})), IssuedInFuture),
        ("lives too long", claiming(json!({"exp": NOW - 10 + 86_401})), LifetimeTooLong),
        ("lives too long, without iat", claiming(json!({"iat": null, "exp": NOW + 86_431})), LifetimeTooLong),
        ("lives until the year 9999", claiming(json!({"exp": 253_402_300_799_i64})), LifetimeTooLong),
        ("no aud", claiming(json!({"aud": null})), MissingAudience),
        ("aud of the other door", claiming(json!({"aud": "fanfare-server"})), WrongAudience),
        ("aud of another issuer", claiming(json!({"aud": "live"})), WrongAudience),
        ("aud with more", claiming(json!({"aud": "fanfare "})), WrongAudience),
        ("aud list without it", claiming(json!({"aud": ["a", "b"]})), WrongAudience),
        ("aud list empty", claiming(json!({"aud": []})), WrongAudience),
    ]
}

/// Token, the claim that is bad.
fn bad_claims() -> Vec<(String, &'static str)> {
    let fanfare = |value: Value| claiming(json!({"fanfare": value}));
    vec![
        (claiming(json!({"iss": 7})), "iss"),
        (claiming(json!({"aud": 7})), "aud"),
        (claiming(json!({"aud": ["fanfare", 7]})), "aud"),
        (claiming(json!({"sub": ""})), "sub"),
        (claiming(json!({"sub": 7})), "sub"),
        (claiming(json!({"sub": "a\nb"})), "sub"),
        (claiming(json!({"sub": "a\u{202e}b"})), "sub"),
        (claiming(json!({"sub": "u".repeat(256)})), "sub"),
        (claiming(json!({"jti": 7})), "jti"),
        (claiming(json!({"jti": "j".repeat(256)})), "jti"),
        (claiming(json!({"exp": NOW - 10})), "exp"),
        (claiming(json!({"exp": (NOW + 600).to_string()})), "exp"),
        (claiming(json!({"exp": -1})), "exp"),
        (text_exp("1790000600.5"), "exp"),
        (text_exp("1790000600.0"), "exp"),
        (text_exp("1.79e9"), "exp"),
        (text_exp("1e300"), "exp"),
        (text_exp("9223372036854775807"), "exp"),
        (text_exp("9223372036854775808"), "exp"),
        (text_exp("99999999999999999999999999"), "exp"),
        (text_exp("null"), "exp"),
        (text_exp("true"), "exp"),
        (text_exp("[1790000600]"), "exp"),
        (claiming(json!({"nbf": "soon"})), "nbf"),
        (claiming(json!({"nbf": i64::MIN})), "nbf"),
        (claiming(json!({"iat": 1.5})), "iat"),
        (claiming(json!({"iat": i64::MIN})), "iat"),
        (claiming(json!({"topics": 7})), "topics"),
        (claiming(json!({"topics": [7]})), "topics"),
        (claiming(json!({"topics": ""})), "topics"),
        (claiming(json!({"topics": "a,,b"})), "topics"),
        (claiming(json!({"topics": ["ch*t:1"]})), "topics"),
        (claiming(json!({"topics": ["{user}"]})), "topics"),
        (fanfare(json!(7)), "fanfare"),
        (fanfare(json!([[], {}, []])), "fanfare"),
        (fanfare(json!({"grant": []})), "fanfare"),
        (text_with(r#""fanfare":null"#), "fanfare"),
        (fanfare(json!({"grants": {}})), "fanfare.grants"),
        (fanfare(json!({"grants": [7]})), "fanfare.grants"),
        (fanfare(json!({"grants": [[["*"], ["admin"]]]})), "fanfare.grants"),
        (fanfare(json!({"grants": [{"topics": ["a"]}]})), "fanfare.grants"),
        (fanfare(json!({"grants": [{"topics": ["a"], "allow": ["everything"]}]})), "fanfare.grants"),
        (fanfare(json!({"grants": [{"topics": ["a:*:b"], "allow": ["subscribe"]}]})), "fanfare.grants"),
        (fanfare(json!({"grants": [{"topics": ["*"], "allow": ["subscribe"], "deny": ["a"]}]})), "fanfare.grants"),
        (fanfare(json!({"info": "x"})), "fanfare.info"),
        (fanfare(json!({"info": []})), "fanfare.info"),
        (fanfare(json!({"subscribe": "chat:1"})), "fanfare.subscribe"),
        (fanfare(json!({"subscribe": [":"]})), "fanfare.subscribe"),
    ]
}

/// The good claims with this text for `exp`.
fn text_exp(exp: &str) -> String {
    let text = claims().to_string().replace(&format!("\"exp\":{}", NOW + 600), &format!("\"exp\":{exp}"));
    assert!(text.contains(exp), "{text}");
    sign_text(&header().to_string(), &text, SECRET.as_bytes())
}

#[test]
fn each_wrong_token_gets_its_reason() {
    let auth = auth(options());
    // What the rest differs from in one way is let in.
    auth.authenticate(Door::Client, &claiming(json!({}))).unwrap();
    let cases: Vec<_> = [malformed(), badly_signed(), wrong_claims()].into_iter().flatten().collect();
    assert!(cases.len() >= 60, "{}", cases.len());
    for (name, token, reason) in cases {
        let refusal = auth.authenticate(Door::Client, &token).expect_err(name);
        assert_eq!(refusal.reason(), reason, "{name}: {refusal}");
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Unauthenticated, reason.code()), "{name}");
        assert_eq!(refusal.claim(), None, "{name}");
    }
}

#[test]
fn each_bad_claim_is_named() {
    let auth = auth(options());
    for (token, claim) in bad_claims() {
        let payload = token.split('.').nth(1).unwrap();
        let refusal = auth.authenticate(Door::Client, &token).expect_err(payload);
        assert_eq!((refusal.reason(), refusal.claim()), (BadClaim, Some(claim)), "{refusal}");
        assert!(refusal.to_string().starts_with(&format!("claim `{claim}` ")), "{refusal}");
    }
}

#[test]
fn the_edges_of_the_rules_are_let_in() {
    let auth = auth(options());
    for changes in [
        json!({"exp": NOW - 29, "iat": NOW - 60}),
        json!({"nbf": NOW + 30}),
        json!({"iat": NOW + 30}),
        json!({"exp": NOW - 10 + 86_400}),
        json!({"iat": null, "exp": NOW + 86_430}),
        json!({"iat": null, "nbf": null, "sub": null, "jti": null, "topics": null}),
        json!({"aud": ["other", "fanfare"]}),
        json!({"sub": "u".repeat(255), "jti": "j".repeat(255)}),
        json!({"unknown": {"a": [1, 2.5, null, true]}}),
    ] {
        auth.authenticate(Door::Client, &claiming(changes.clone())).unwrap_or_else(|e| panic!("{changes}: {e}"));
    }
    let longest_kid = sign(&with(header(), json!({"kid": "k".repeat(128)})), &claims());
    assert_eq!(auth.authenticate(Door::Client, &longest_kid).unwrap_err().reason(), UnknownKey);
}

#[test]
fn a_token_of_one_door_is_refused_at_the_other() {
    let auth = auth(options());
    for (audience, opens, closed) in
        [("fanfare", Door::Client, Door::Server), ("fanfare-server", Door::Server, Door::Client)]
    {
        let token = claiming(json!({"aud": audience}));
        assert_eq!(auth.authenticate(opens, &token).unwrap().door(), opens);
        assert_eq!(auth.authenticate(closed, &token).unwrap_err().reason(), WrongAudience);
    }
}

#[test]
fn types_are_checked_where_they_are_asked_for() {
    let auth = auth(options());
    let claims = with(claims(), json!({"iss": "https://other.example", "aud": "live"})).to_string();
    let try_type = |header: &str| {
        auth.authenticate(Door::Client, &sign_text(header, &claims, SECRET_OTHER.as_bytes())).map_err(|r| r.reason())
    };
    for header in [r#"{"alg":"HS256","typ":"push+jwt"}"#, r#"{"alg":"HS256","typ":"application/PUSH+jwt"}"#] {
        assert!(try_type(header).is_ok(), "{header}");
    }
    for header in [r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","typ":""}"#] {
        assert_eq!(try_type(header).unwrap_err(), WrongType, "{header}");
    }
}

#[test]
fn both_keys_of_a_rotation_verify() {
    let auth = auth(options());
    let claims = claims().to_string();
    let named = r#"{"alg":"HS256","kid":"new"}"#;
    let unnamed = r#"{"alg":"HS256"}"#;
    for (header, secret) in [(unnamed, SECRET), (unnamed, SECRET_NEW), (named, SECRET_NEW)] {
        auth.authenticate(Door::Client, &sign_text(header, &claims, secret.as_bytes())).unwrap();
    }
    // The old key is gone.
    let mut options = options();
    options.issuers.get_mut("app").unwrap().keys.remove(0);
    let auth = crate::forge::auth(options);
    auth.authenticate(Door::Client, &sign_text(unnamed, &claims, SECRET_NEW.as_bytes())).unwrap();
    let refusal = auth.authenticate(Door::Client, &sign_text(unnamed, &claims, SECRET.as_bytes())).unwrap_err();
    assert_eq!(refusal.reason(), BadSignature);
}

#[test]
fn terse_refusals_tell_nothing() {
    let auth: Auth = auth(Options { terse_refusals: true, ..options() });
    for (name, token, reason) in [malformed(), badly_signed(), wrong_claims()].into_iter().flatten() {
        let refusal = auth.authenticate(Door::Client, &token).unwrap_err();
        assert_eq!(refusal.reason(), reason, "{name}");
        assert_eq!((refusal.code(), &*refusal.to_string()), ("invalid_credentials", "invalid credentials"), "{name}");
    }
    // What may be done is no secret of the credential.
    let principal = auth.authenticate(Door::Client, &claiming(json!({}))).unwrap();
    let refusal = principal.authorize(Action::Publish, &Topic::new("chat:1").unwrap()).unwrap_err();
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Denied, "permission_denied"));
}

#[test]
fn no_refusal_shows_a_part_of_the_token() {
    let auth = auth(options());
    for (name, token, _) in [malformed(), badly_signed(), wrong_claims()].into_iter().flatten() {
        let text = auth.authenticate(Door::Client, &token).unwrap_err().to_string();
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(!text.contains(part), "{name}: {text}");
        }
    }
}

#[test]
fn codes_are_unique_snake_case() {
    let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Reason::ALL.len());
}
