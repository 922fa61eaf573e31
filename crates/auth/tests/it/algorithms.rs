//! Every algorithm with a fresh key, and no key for an algorithm that is not its own.

use std::path::Path;
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_auth::{Algorithm, Auth, Door, Error, Issuer, KeySource, MintRequest, Options, Reason};
use serde_json::json;

use crate::forge::{SECRET, clock, encode, secret, sign_text, with};

/// A private and a public key, in PEM.
#[derive(Clone)]
struct Pair {
    private: String,
    public: String,
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn rsa(size: KeySize) -> Pair {
    let pair = RsaKeyPair::generate(size).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    Pair { private: pem("PRIVATE KEY", private.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) }
}

/// One for all tests: making one takes long.
fn rsa_2048() -> Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| rsa(KeySize::Rsa2048)).clone()
}

fn ec(curve: &'static EcdsaSigningAlgorithm) -> Pair {
    let document = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(curve, document.as_ref()).unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    Pair { private: pem("PRIVATE KEY", document.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) }
}

fn ed() -> Pair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    Pair { private: pem("PRIVATE KEY", document.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) }
}

/// RSA of 1024 bits, public.
const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC4K/dvjR5VbcYQNiuO1mthZOw5
pjd6cRQiU8+Ex6pWf0VRebSDJLfSIyeQc1trKOdTEebjG7ynFdIYKEOjqsplIzb/
lUv2UwR3By6arh5Nhs1TzEKGNkM9k5yFllymhGxyH1KgNxNBJYK3IDmm8rT7jgVn
6uQYqFSbAOtvMjUnZQIDAQAB
-----END PUBLIC KEY-----
";

/// A key on secp256k1, public.
const SECP256K1: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEbnhKOQ3Me0ewLHL55NbXrJrb/NHTaRkj
mEWpSWgZx6SxV5jjnfMQ3aYNoFC5sCJ97Zk5wMuutegjOuXgMJPWRg==
-----END PUBLIC KEY-----
";

/// As `openssl genpkey -algorithm ed25519` writes it: without the public key in it.
const ED25519_OF_OPENSSL: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJUOvknlAx4P+2ievSzhzk3NQz7kh9jeJAr7gtpFzfEP
-----END PRIVATE KEY-----
";

fn issuing(keys: Vec<KeySource>, algorithms: Vec<Algorithm>) -> Result<Auth, Error> {
    let issuer = Issuer { keys, algorithms, ..Issuer::default() };
    Auth::new(Options { issuers: [("app".to_owned(), issuer)].into(), ..Options::default() }, clock())
}

fn private_file(directory: &Path, name: &str, pem: &str) -> KeySource {
    let path = directory.join(name);
    std::fs::write(&path, pem).unwrap();
    KeySource { private_key_file: Some(path), ..KeySource::default() }
}

fn public(pair: &Pair) -> KeySource {
    KeySource { public_key: Some(pair.public.clone()), ..KeySource::default() }
}

fn alg_of(token: &str) -> String {
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["alg"].as_str().unwrap().to_owned()
}

fn pair_for(algorithm: Algorithm) -> Option<Pair> {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => None,
        Algorithm::ES256 => Some(ec(&ECDSA_P256_SHA256_ASN1_SIGNING)),
        Algorithm::ES384 => Some(ec(&ECDSA_P384_SHA384_ASN1_SIGNING)),
        Algorithm::EdDsa => Some(ed()),
        _ => Some(rsa_2048()),
    }
}

#[test]
fn every_algorithm_signs_and_verifies() {
    let directory = tempfile::tempdir().unwrap();
    for algorithm in Algorithm::ALL {
        let pair = pair_for(algorithm);
        let private = match &pair {
            None => secret(SECRET),
            Some(pair) => private_file(directory.path(), algorithm.as_str(), &pair.private),
        };
        let signer = issuing(vec![private], vec![algorithm]).unwrap();
        let token = signer.mint(MintRequest::default()).unwrap();
        assert_eq!(alg_of(&token), algorithm.as_str());
        signer.authenticate(Door::Client, &token).unwrap();

        // Who has but the public key lets the same token in, and a changed one not.
        let verifier = match &pair {
            None => signer,
            Some(pair) => {
                let verifier = issuing(vec![public(pair)], vec![algorithm]).unwrap();
                assert!(matches!(verifier.mint(MintRequest::default()), Err(Error::Invalid(_))), "{algorithm}");
                verifier
            }
        };
        verifier.authenticate(Door::Client, &token).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let swapped = if signature.starts_with('A') { "B" } else { "A" };
        let forged = format!("{message}.{swapped}{}", &signature[1..]);
        assert_eq!(verifier.authenticate(Door::Client, &forged).unwrap_err().reason(), Reason::BadSignature);
    }
}

#[test]
fn a_public_key_is_no_secret() {
    // The classic: sign with HMAC, the public key's text for the secret.
    let claims = with(crate::forge::claims(), json!({"topics": null})).to_string();
    for pair in [rsa_2048(), ec(&ECDSA_P256_SHA256_ASN1_SIGNING), ed()] {
        let auth = issuing(vec![public(&pair)], vec![]).unwrap();
        for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","typ":"JWT"}"#] {
            let token = sign_text(header, &claims, pair.public.as_bytes());
            assert_eq!(auth.authenticate(Door::Client, &token).unwrap_err().reason(), Reason::UnsupportedAlgorithm);
        }
        // Also where HMAC is allowed for another key of the same issuer.
        let auth = issuing(vec![public(&pair), secret(SECRET)], vec![]).unwrap();
        let token = sign_text(r#"{"alg":"HS256"}"#, &claims, pair.public.as_bytes());
        assert_eq!(auth.authenticate(Door::Client, &token).unwrap_err().reason(), Reason::BadSignature);
    }
}

#[test]
fn a_kid_names_a_key_and_its_type() {
    let pair = ec(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let named = KeySource { kid: Some("ec".to_owned()), ..public(&pair) };
    let auth = issuing(vec![named, secret(SECRET)], vec![]).unwrap();
    let claims = crate::forge::claims().to_string();
    let token = sign_text(r#"{"alg":"HS256","kid":"ec"}"#, &claims, SECRET.as_bytes());
    assert_eq!(auth.authenticate(Door::Client, &token).unwrap_err().reason(), Reason::UnsupportedAlgorithm);
    // A signature of another curve's length.
    let signed = format!("{}.{}", encode(r#"{"alg":"ES256","kid":"ec"}"#), encode(&claims));
    for length in [0, 64, 96, 1_000] {
        let token = format!("{signed}.{}", encode(vec![1; length]));
        assert_eq!(auth.authenticate(Door::Client, &token).unwrap_err().reason(), Reason::BadSignature);
    }
}

#[test]
fn keys_of_several_types_serve_one_issuer() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (rsa_2048(), ed());
    let with_old = issuing(vec![private_file(directory.path(), "old", &old.private)], vec![]).unwrap();
    let keys = vec![private_file(directory.path(), "new", &new.private), public(&old)];
    let both = issuing(keys, vec![]).unwrap();
    both.authenticate(Door::Client, &with_old.mint(MintRequest::default()).unwrap()).unwrap();
    let token = both.mint(MintRequest::default()).unwrap();
    assert_eq!(alg_of(&token), "EdDSA");
    both.authenticate(Door::Client, &token).unwrap();
}

#[test]
fn keys_that_cannot_be_used_are_refused_with_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let p256 = ec(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let p521 = ec(&ECDSA_P521_SHA512_ASN1_SIGNING);
    let public_text = |pem: &str| KeySource { public_key: Some(pem.to_owned()), ..KeySource::default() };
    let missing = KeySource { public_key_file: Some(directory.path().join("none.pem")), ..KeySource::default() };
    for (name, source, algorithms, part) in [
        ("P-521", public(&p521), vec![], "P-521"),
        ("P-521, private", private_file(directory.path(), "p521", &p521.private), vec![], "P-521"),
        ("RSA of 1024 bits", public_text(RSA_1024), vec![], "1024 bits; at least 2048"),
        ("secp256k1", public_text(SECP256K1), vec![], "on a curve that is not supported"),
        ("private for public", public_text(&p256.private), vec![], "a public key"),
        ("public for private", private_file(directory.path(), "public", &p256.public), vec![], "PKCS #8"),
        ("two blocks", public_text(&format!("{0}{0}", p256.public)), vec![], "2 blocks"),
        ("no PEM", public_text("key"), vec![], "is not PEM"),
        ("certificate", public_text(&pem("CERTIFICATE", b"x")), vec![], "something else"),
        ("damaged", public_text(&pem("PUBLIC KEY", b"x")), vec![], "is not a key that can be read"),
        ("damaged, private", private_file(directory.path(), "x", &pem("PRIVATE KEY", b"x")), vec![], "can be read"),
        ("no file", missing, vec![], "none.pem"),
        ("no algorithm of the key", public(&p256), vec![Algorithm::HS256], "no key is of its type"),
        ("another curve's algorithm", public(&p256), vec![Algorithm::ES384], "no key is of its type"),
    ] {
        let error = issuing(vec![source], algorithms).expect_err(name).to_string();
        assert!(error.starts_with("auth.issuers.app.") && error.contains(part), "{name}: {error}");
    }
    let error = issuing(vec![public(&p256), secret(SECRET)], vec![Algorithm::ES256]).unwrap_err().to_string();
    assert!(error.contains("keys[1] is a shared secret") && error.contains("HS256"), "{error}");
}

#[test]
fn files_of_keys_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let secret_file = directory.path().join("secret");
    std::fs::write(&secret_file, format!("{SECRET}\r\n")).unwrap();
    let of_file = issuing(vec![KeySource { secret_file: Some(secret_file), ..KeySource::default() }], vec![]).unwrap();
    let token = of_file.mint(MintRequest::default()).unwrap();
    issuing(vec![secret(SECRET)], vec![]).unwrap().authenticate(Door::Client, &token).unwrap();

    let pair = ed();
    let public_file = directory.path().join("public.pem");
    std::fs::write(&public_file, &pair.public).unwrap();
    let of_file = KeySource { public_key_file: Some(public_file), ..KeySource::default() };
    let signer = issuing(vec![private_file(directory.path(), "private.pem", &pair.private)], vec![]).unwrap();
    let token = signer.mint(MintRequest::default()).unwrap();
    issuing(vec![of_file], vec![]).unwrap().authenticate(Door::Client, &token).unwrap();
}

#[test]
fn a_private_key_need_not_hold_its_public_one() {
    let directory = tempfile::tempdir().unwrap();
    let auth = issuing(vec![private_file(directory.path(), "ed.pem", ED25519_OF_OPENSSL)], vec![]).unwrap();
    let token = auth.mint(MintRequest::default()).unwrap();
    auth.authenticate(Door::Client, &token).unwrap();
}
