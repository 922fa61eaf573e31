//! Closing and opening resume tokens and shared tickets: AES-256-GCM, under a key of its own for each token.
//!
//! The prefix (`fr1.`, `ft1.`) and, in base64url: 4 bytes that name the secret, 24 random bytes, the ciphertext and its tag. The first half
//! of the random bytes and the secret make the token's key (HMAC-SHA-256), the second half is the nonce. Together they
//! do not repeat in any life, on any number of nodes with the same secret; a plain 96-bit nonce might after 2^32
//! tokens, which is a few days of a million sessions.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;

use super::PREFIX;
use crate::tickets;

/// Bytes that name a secret.
const NAME_BYTES: usize = 4;
const SALT_BYTES: usize = 12;
const HEAD_BYTES: usize = NAME_BYTES + SALT_BYTES + NONCE_LEN;

/// What is sealed. What was sealed for one is not opened for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A resume token.
    Resume,
    /// A ticket that any node takes.
    Ticket,
}

impl Purpose {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Resume => PREFIX,
            Self::Ticket => tickets::PREFIX,
        }
    }

    /// What tells its keys from those of others.
    const fn context(self) -> &'static [u8] {
        match self {
            Self::Resume => b"fanfare resume token key",
            Self::Ticket => b"fanfare shared ticket key",
        }
    }
}

/// Seals with the first of its secrets and opens with all.
pub(crate) struct Sealer {
    purpose: Purpose,
    keys: Vec<SealingKey>,
}

struct SealingKey {
    name: [u8; NAME_BYTES],
    secret: hmac::Key,
}

impl Sealer {
    /// A sealer with these secrets, or with a random one if there are none.
    pub(crate) fn new(purpose: Purpose, secrets: &[String]) -> Self {
        let mut keys: Vec<_> = secrets.iter().map(|secret| SealingKey::new(secret.as_bytes())).collect();
        if keys.is_empty() {
            let mut secret = [0; 32];
            rand::rng().fill_bytes(&mut secret);
            keys.push(SealingKey::new(&secret));
        }
        Self { purpose, keys }
    }

    /// The token that holds `plain`.
    pub(crate) fn seal(&self, mut plain: Vec<u8>) -> Option<String> {
        let key = self.keys.first()?;
        let mut head = [0; HEAD_BYTES];
        rand::rng().fill_bytes(&mut head);
        head[..NAME_BYTES].copy_from_slice(&key.name);
        let (cipher, nonce) = key.cipher(self.purpose, &head)?;
        cipher.seal_in_place_append_tag(nonce, Aad::from(head), &mut plain).ok()?;
        let mut text = String::with_capacity(self.purpose.prefix().len() + (HEAD_BYTES + plain.len()).div_ceil(3) * 4);
        text.push_str(self.purpose.prefix());
        URL_SAFE_NO_PAD.encode_string([&head[..], &plain].concat(), &mut text);
        Some(text)
    }

    /// What the token `text` holds; `None` if none of the secrets sealed it.
    pub(crate) fn open(&self, text: &str) -> Option<Vec<u8>> {
        let mut sealed = URL_SAFE_NO_PAD.decode(text.strip_prefix(self.purpose.prefix())?).ok()?;
        let (head, sealed) = sealed.split_first_chunk_mut::<HEAD_BYTES>()?;
        // Two secrets may have the same name, if hardly ever.
        self.keys.iter().filter(|key| head.starts_with(&key.name)).find_map(|key| {
            let (cipher, nonce) = key.cipher(self.purpose, head)?;
            // A failed try destroys the text, so each has its own.
            let mut plain = sealed.to_vec();
            let length = cipher.open_in_place(nonce, Aad::from(*head), &mut plain).ok()?.len();
            plain.truncate(length);
            Some(plain)
        })
    }
}

impl SealingKey {
    fn new(secret: &[u8]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&hmac::sign(&secret, b"fanfare resume key name").as_ref()[..NAME_BYTES]);
        Self { name, secret }
    }

    /// The key and the nonce of the token with this head.
    fn cipher(&self, purpose: Purpose, head: &[u8; HEAD_BYTES]) -> Option<(LessSafeKey, Nonce)> {
        let (salt, nonce) = head[NAME_BYTES..].split_at(SALT_BYTES);
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(purpose.context());
        context.update(salt);
        let key = UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).ok()?;
        Some((LessSafeKey::new(key), Nonce::try_assume_unique_for_key(nonce).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealer(secrets: &[&str]) -> Sealer {
        Sealer::new(Purpose::Resume, &secrets.iter().map(|secret| (*secret).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn keys_are_changed_in_three_steps() {
        let (old, both, turned, new) = (sealer(&["a"]), sealer(&["a", "b"]), sealer(&["b", "a"]), sealer(&["b"]));
        let by_old = old.seal(b"x".to_vec()).unwrap();
        let by_new = turned.seal(b"y".to_vec()).unwrap();
        assert_eq!(both.open(&by_old), Some(b"x".to_vec()));
        assert_eq!(both.open(&by_new), Some(b"y".to_vec()));
        assert_eq!(turned.open(&by_old), Some(b"x".to_vec()));
        assert_eq!(new.open(&by_new), Some(b"y".to_vec()));
        assert_eq!(new.open(&by_old), None);
        assert_eq!(old.open(&by_new), None);
    }

    #[test]
    fn without_a_secret_each_process_has_its_own() {
        let (one, other) = (sealer(&[]), sealer(&[]));
        let text = one.seal(b"x".to_vec()).unwrap();
        assert_eq!(one.open(&text), Some(b"x".to_vec()));
        assert_eq!(other.open(&text), None);
    }

    #[test]
    fn a_ticket_is_no_resume_token() {
        let secrets = ["a".to_owned()];
        let (resume, ticket) = (Sealer::new(Purpose::Resume, &secrets), Sealer::new(Purpose::Ticket, &secrets));
        let text = ticket.seal(b"x".to_vec()).unwrap();
        assert_eq!(ticket.open(&text), Some(b"x".to_vec()));
        assert_eq!(resume.open(&text), None);
        assert_eq!(resume.open(&text.replacen("ft1.", "fr1.", 1)), None);
    }

    #[test]
    fn the_same_content_is_never_the_same_token() {
        let sealer = sealer(&["a"]);
        let texts: std::collections::HashSet<_> = (0..1_000).map(|_| sealer.seal(b"x".to_vec()).unwrap()).collect();
        assert_eq!(texts.len(), 1_000);
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened_and_nothing_else(
            plain in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u32,
        ) {
            let sealer = sealer(&["a", "b"]);
            let text = sealer.seal(plain.clone()).unwrap();
            prop_assert_eq!(sealer.open(&text), Some(plain));
            let mut sealed = URL_SAFE_NO_PAD.decode(&text[PREFIX.len()..]).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(sealer.open(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(sealed))), None);
        }
    }
}
