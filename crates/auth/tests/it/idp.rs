//! An identity provider: keys, tokens signed with them, and a real HTTP server that publishes the keys.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::forge::{encode, with};

/// A key of the provider.
pub(crate) struct SigningKey {
    kid: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    pub(crate) fn ed25519(kid: &'static str) -> Self {
        Self { kid, pair: Pair::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    pub(crate) fn rsa(kid: &'static str) -> Self {
        Self { kid, pair: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    pub(crate) fn p256(kid: &'static str) -> Self {
        Self::ec(kid, &ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")
    }

    pub(crate) fn p384(kid: &'static str) -> Self {
        Self::ec(kid, &ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")
    }

    fn ec(kid: &'static str, algorithm: &'static EcdsaSigningAlgorithm, curve: &'static str) -> Self {
        Self { kid, pair: Pair::Ec(EcdsaKeyPair::generate(algorithm).unwrap(), curve) }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_, "P-256") => "ES256",
            Pair::Ec(..) => "ES384",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// The public key as it is published.
    pub(crate) fn jwk(&self) -> Value {
        let public = match &self.pair {
            Pair::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                let number = |number: aws_lc_rs::io::Positive<'_>| encode(number.big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": number(n), "e": number(e)})
            }
            Pair::Ec(pair, curve) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())}),
        };
        with(public, json!({"kid": self.kid, "use": "sig"}))
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": self.algorithm(), "kid": self.kid}), claims)
    }

    pub(crate) fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair, _) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", encode(signature))
    }
}

/// A set of these keys.
pub(crate) fn set(keys: &[&SigningKey]) -> String {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string()
}

/// How the server answers.
#[derive(Clone)]
pub(crate) enum Answer {
    Keys(String),
    Status(u16),
    /// To where the keys are.
    Redirect,
}

/// The server.
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    pub(crate) life: Lifecycle,
}

struct Shared {
    answer: Mutex<Answer>,
    /// How many requests have come.
    asked: watch::Sender<usize>,
    /// A permit for each that may be answered.
    gate: Semaphore,
}

impl Provider {
    /// A server that answers at once.
    pub(crate) async fn start(answer: Answer) -> Self {
        Self::start_with(answer, Semaphore::MAX_PERMITS).await
    }

    /// A server that answers so many requests and lets others wait.
    pub(crate) async fn start_with(answer: Answer, permits: usize) -> Self {
        let asked = watch::Sender::new(0);
        let shared = Arc::new(Shared { answer: Mutex::new(answer), asked, gate: Semaphore::new(permits) });
        let routes = Router::new()
            .route("/keys", get(keys))
            .route("/{realm}/keys", get(keys))
            .route("/elsewhere", get(elsewhere))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, life) = (listener.local_addr().unwrap(), Lifecycle::new());
        life.spawn(TaskKind::Background, "identity provider", async move {
            axum::serve(listener, routes).await.unwrap();
        });
        Self { address, shared, life }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock() = answer;
    }

    /// How many requests have come.
    pub(crate) fn asked(&self) -> usize {
        *self.shared.asked.borrow()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn until_asked(&self, times: usize) {
        self.shared.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }

    /// Lets one more be answered.
    pub(crate) fn let_one_through(&self) {
        self.shared.gate.add_permits(1);
    }
}

async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    shared.asked.send_modify(|asked| *asked += 1);
    shared.gate.acquire().await.unwrap().forget();
    let answer = shared.answer.lock().clone();
    match answer {
        Answer::Keys(text) => text.into_response(),
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect => Redirect::temporary("/elsewhere").into_response(),
    }
}

/// Where nobody may be led.
async fn elsewhere(State(shared): State<Arc<Shared>>) -> String {
    shared.asked.send_modify(|asked| *asked += 1_000);
    json!({"keys": []}).to_string()
}
