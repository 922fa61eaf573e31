//! Tokens as an application's own server would mint them.

use fanfare_model::{Clock as _, SystemClock};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

/// The secret of the issuer `test` in every [`crate::Config`].
pub const SECRET: &str = "an-end-to-end-test-secret-of-more-than-32-bytes";
/// The name of that issuer.
pub const ISSUER: &str = "test";
/// Audience of the doors for clients: SSE and WebSocket.
pub const CLIENT: &str = "fanfare";
/// Audience of the doors for servers: the HTTP API.
pub const SERVER: &str = "fanfare-server";

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemClock.now().as_seconds()
}

/// A claim `iat` of two hours ago, which holds on a node whose clock is stepped back.
pub fn issued_long_ago() -> Value {
    json!(now() - 7200)
}

/// A token in the making: right in every part until a part is made wrong.
#[derive(Debug, Clone)]
pub struct Token {
    claims: Map<String, Value>,
    header: Header,
    key: Key,
}

#[derive(Debug, Clone)]
enum Key {
    Secret(Vec<u8>),
    RsaPem(&'static str),
    EcPem(&'static str),
    EdPem(&'static str),
}

impl Token {
    /// A valid token for `audience` that allows everything on every topic for an hour: longer than any test.
    pub fn new(audience: &str) -> Self {
        let now = now();
        let Value::Object(claims) = json!({
            "iss": ISSUER,
            "aud": audience,
            "sub": "tester",
            "iat": now,
            "exp": now + 3600,
            "fanfare": {"grants": [{"topics": ["*"], "allow": ["subscribe", "publish", "history", "presence", "admin"]}]},
        }) else {
            unreachable!("the literal is an object")
        };
        Self { claims, header: Header::new(Algorithm::HS256), key: Key::Secret(SECRET.as_bytes().to_vec()) }
    }

    /// For the doors of clients.
    pub fn client() -> Self {
        Self::new(CLIENT)
    }

    /// For the doors of servers.
    pub fn server() -> Self {
        Self::new(SERVER)
    }

    /// Of another user.
    #[must_use]
    pub fn user(self, user: &str) -> Self {
        self.claim("sub", json!(user))
    }

    /// Ends so many seconds from now (negative: has ended).
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", json!(now() + seconds))
    }

    /// Allows only `actions` on `topics`.
    #[must_use]
    pub fn grant(self, topics: &[&str], actions: &[&str]) -> Self {
        self.claim("fanfare", json!({"grants": [{"topics": topics, "allow": actions}]}))
    }

    /// With the claim `name` set to `value`.
    #[must_use]
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// Without the claim `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// With a change to its header.
    #[must_use]
    pub fn header(mut self, change: impl FnOnce(&mut Header)) -> Self {
        change(&mut self.header);
        self
    }

    /// Signed with another secret, by one of the HS algorithms.
    #[must_use]
    pub fn secret(mut self, secret: &[u8], algorithm: Algorithm) -> Self {
        self.header.alg = algorithm;
        self.key = Key::Secret(secret.to_vec());
        self
    }

    /// Signed with the RSA key of these tests.
    #[must_use]
    pub fn rsa(mut self, algorithm: Algorithm) -> Self {
        self.header.alg = algorithm;
        self.key = Key::RsaPem(include_str!("../keys/rsa.private.pem"));
        self
    }

    /// Signed with the P-256 key of these tests.
    #[must_use]
    pub fn p256(mut self) -> Self {
        self.header.alg = Algorithm::ES256;
        self.key = Key::EcPem(include_str!("../keys/p256.private.pem"));
        self
    }

    /// Signed with the P-384 key of these tests.
    #[must_use]
    pub fn p384(mut self) -> Self {
        self.header.alg = Algorithm::ES384;
        self.key = Key::EcPem(include_str!("../keys/p384.private.pem"));
        self
    }

    /// Signed with the Ed25519 key of these tests.
    #[must_use]
    pub fn ed25519(mut self) -> Self {
        self.header.alg = Algorithm::EdDSA;
        self.key = Key::EdPem(include_str!("../keys/ed25519.private.pem"));
        self
    }

    /// The text of it.
    pub fn mint(self) -> String {
        let key = match self.key {
            Key::Secret(secret) => EncodingKey::from_secret(&secret),
            Key::RsaPem(pem) => EncodingKey::from_rsa_pem(pem.as_bytes()).expect("the test's RSA key"),
            Key::EcPem(pem) => EncodingKey::from_ec_pem(pem.as_bytes()).expect("the test's EC key"),
            Key::EdPem(pem) => EncodingKey::from_ed_pem(pem.as_bytes()).expect("the test's Ed25519 key"),
        };
        jsonwebtoken::encode(&self.header, &self.claims, &key).expect("claims are plain JSON")
    }

    /// The three parts, each still readable, so that a test can break one: header, claims, signature (encoded).
    pub fn parts(self) -> (Value, Value, String) {
        let header = serde_json::to_value(&self.header).expect("a header is JSON");
        let claims = Value::Object(self.claims.clone());
        let token = self.mint();
        let signature = token.rsplit('.').next().unwrap_or_default().to_owned();
        (header, claims, signature)
    }
}

/// Puts a token together from parts that need not fit.
pub fn assemble(header: &str, claims: &str, signature: &str) -> String {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{signature}", encode(header), encode(claims))
}
