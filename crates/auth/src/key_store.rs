//! The API keys that are known, and which of them are revoked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use fanfare_model::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::api_key::{self, ApiKey, CreatedKey, KeyHash, KeyInfo, KeyOrigin, KeyRequest};
use crate::grant;
use crate::keys_file::{Content, KeysFile, Revoked};
use crate::principal::{Credential, Principal};
use crate::refusal::{Reason, Refusal};
use crate::state_file::Stamp;
use crate::{Door, Error, Grant};

pub(crate) struct KeyStore {
    configured: Vec<ApiKey>,
    keys_max: usize,
    file: Option<KeysFile>,
    /// The state of the file that `table` was made from. Held while the table is being changed.
    loaded: Mutex<Option<Stamp>>,
    table: ArcSwap<Table>,
    generation: Arc<watch::Sender<u64>>,
    /// Takes the place of the hash of a key that does not exist, so that both cost the same.
    no_hash: KeyHash,
}

#[derive(Clone, Default)]
struct Table {
    keys: HashMap<String, Arc<Entry>>,
    /// Never shrinks while the process lives: a key is not revived by a file that has forgotten it.
    revoked: BTreeMap<String, Option<Timestamp>>,
}

struct Entry {
    key: ApiKey,
    origin: KeyOrigin,
    grants: Arc<[Grant]>,
}

impl Table {
    /// Who comes with `entry`, if it may.
    fn admit(&self, entry: &Entry, door: Door, now: Timestamp, issuer: &Arc<str>) -> Result<Principal, Refusal> {
        let id = &entry.key.id;
        if self.revoked.contains_key(id) {
            return Err(Refusal::new(Reason::Revoked, "the API key was revoked"));
        }
        if let Some(end) = entry.key.expires_at
            && end <= now
        {
            return Err(Refusal::new(Reason::Expired, format!("the API key expired at {end}")));
        }
        if !entry.key.doors.contains(&door) {
            let sentence = format!("the API key is not for {} doors", door.as_str());
            return Err(Refusal::new(Reason::WrongDoor, sentence));
        }
        Ok(Principal {
            tenant: entry.key.tenant.clone(),
            user: None,
            issuer: Arc::clone(issuer),
            credential: Credential::ApiKey { id: id.clone() },
            expires_at: entry.key.expires_at,
            info: None,
            subscribe: Vec::new(),
            resumes: None,
            key: None,
            door,
            grants: Arc::clone(&entry.grants),
        })
    }
}

impl KeyStore {
    /// Opens the store over validated keys of the configuration.
    pub(crate) fn open(
        configured: Vec<ApiKey>,
        file: Option<KeysFile>,
        keys_max: usize,
        generation: Arc<watch::Sender<u64>>,
    ) -> Result<Self, Error> {
        let store = Self {
            configured,
            keys_max,
            file,
            loaded: Mutex::new(None),
            table: ArcSwap::default(),
            generation,
            no_hash: KeyHash::of(""),
        };
        let (content, stamp) = match &store.file {
            Some(file) => file.read()?,
            None => (Content::default(), None),
        };
        store.install(&content, &mut store.loaded.lock(), stamp)?;
        Ok(store)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.load().keys.is_empty()
    }

    /// Whether a principal let in by the key `id` must go: the key is revoked, or no longer there.
    pub(crate) fn is_revoked(&self, id: &str) -> bool {
        let table = self.table.load();
        table.revoked.contains_key(id) || !table.keys.contains_key(id)
    }

    /// Lets in whoever shows `text`.
    pub(crate) fn authenticate(
        &self,
        door: Door,
        text: &str,
        now: Timestamp,
        issuer: &Arc<str>,
        key_id: &mut Option<String>,
    ) -> Result<Principal, Refusal> {
        let unknown = || Refusal::new(Reason::UnknownApiKey, "there is no such API key");
        let (id, secret) = api_key::split(text).ok_or_else(unknown)?;
        *key_id = Some(id.to_owned());
        let table = self.table.load();
        let entry = table.keys.get(id);
        let matches = entry.map_or(&self.no_hash, |entry| &entry.key.hash).matches(secret);
        let entry = entry.filter(|_| matches).ok_or_else(unknown)?;
        // Only who has the whole key is told more.
        table.admit(entry, door, now, issuer)
    }

    /// Lets in again whoever was let in with the key `id`, with what the key allows now.
    pub(crate) fn readmit(
        &self,
        door: Door,
        id: &str,
        now: Timestamp,
        issuer: &Arc<str>,
    ) -> Result<Principal, Refusal> {
        let table = self.table.load();
        let gone = || Refusal::new(Reason::Revoked, "the API key is no longer there");
        table.admit(table.keys.get(id).ok_or_else(gone)?, door, now, issuer)
    }

    pub(crate) fn list(&self) -> Vec<KeyInfo> {
        let table = self.table.load();
        let mut keys: Vec<_> = table
            .keys
            .values()
            .map(|entry| {
                let revoked_at = table.revoked.get(&entry.key.id).map(|at| at.unwrap_or_default());
                KeyInfo::new(&entry.key, entry.origin, revoked_at)
            })
            .collect();
        keys.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        keys
    }

    pub(crate) fn create(&self, request: KeyRequest, now: Timestamp) -> Result<CreatedKey, Error> {
        let created = CreatedKey::generate(request, now);
        created.key.validate().map_err(|problem| Error::Invalid(format!("the API key's {problem}")))?;
        if created.key.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::Invalid("the API key's expires_at is in the past".to_owned()));
        }
        self.change(|content| {
            let id = &created.key.id;
            let table = self.table.load();
            let is_taken = content.keys.iter().chain(&self.configured).any(|key| key.id == *id)
                || content.revoked.contains_key(id)
                || table.revoked.contains_key(id);
            if is_taken {
                return Err(Error::Conflict(id.clone()));
            }
            if content.keys.len() >= self.keys_max {
                forget_ended(content, now);
            }
            if content.keys.len() >= self.keys_max {
                return Err(Error::TooManyKeys(self.keys_max));
            }
            content.keys.push(created.key.clone());
            Ok(())
        })?;
        Ok(created)
    }

    pub(crate) fn revoke(&self, id: &str, now: Timestamp) -> Result<(), Error> {
        if self.file.is_none() {
            return Err(no_file("revoked"));
        }
        // Another process may have made it a moment ago.
        let reloaded = self.reload();
        if !self.table.load().keys.contains_key(id) {
            reloaded?;
            return Err(Error::NotFound(format!("there is no API key `{id}`")));
        }
        // At once here, whatever the disk says.
        {
            let _loaded = self.loaded.lock();
            let mut table = Table::clone(&self.table.load());
            table.revoked.entry(id.to_owned()).or_insert(Some(now));
            self.publish(table);
        }
        self.change(|content| {
            content.revoked.entry(id.to_owned()).or_insert(Revoked { at: Some(now) });
            Ok(())
        })
    }

    /// Reads the file again if it has changed; whether it had.
    pub(crate) fn reload(&self) -> Result<bool, Error> {
        let Some(file) = &self.file else { return Ok(false) };
        let mut loaded = self.loaded.lock();
        if file.stamp()? == *loaded {
            return Ok(false);
        }
        let (content, stamp) = file.read()?;
        self.install(&content, &mut loaded, stamp)?;
        Ok(true)
    }

    /// Changes the file and the table, on top of what other processes have written.
    fn change(&self, change: impl FnOnce(&mut Content) -> Result<(), Error>) -> Result<(), Error> {
        let file = self.file.as_ref().ok_or_else(|| no_file("made"))?;
        let mut loaded = self.loaded.lock();
        let lock = file.lock()?;
        let (mut content, _) = file.read()?;
        change(&mut content)?;
        let stamp = file.replace(&content, &lock)?;
        self.install(&content, &mut loaded, stamp)
    }

    /// Makes what the configuration and the file say the truth.
    fn install(&self, content: &Content, loaded: &mut Option<Stamp>, stamp: Option<Stamp>) -> Result<(), Error> {
        let mut table = Table { keys: HashMap::new(), revoked: self.table.load().revoked.clone() };
        let configured = self.configured.iter().map(|key| (key, KeyOrigin::Configuration));
        let kept = content.keys.iter().map(|key| (key, KeyOrigin::File));
        for (key, origin) in configured.chain(kept) {
            let grants = grant::expand(&key.grants, None);
            let entry = Arc::new(Entry { key: key.clone(), origin, grants });
            let is_twice = table.keys.insert(key.id.clone(), entry).is_some();
            if let (true, Some(file)) = (is_twice, &self.file) {
                let problem = format!("has the API key `{}` twice, or auth.api_keys has it too; remove one", key.id);
                return Err(file.problem(problem));
            }
        }
        for (id, revoked) in &content.revoked {
            table.revoked.entry(id.clone()).or_insert(revoked.at);
        }
        *loaded = stamp;
        self.publish(table);
        Ok(())
    }

    fn publish(&self, table: Table) {
        self.table.store(Arc::new(table));
        self.generation.send_modify(|generation| *generation += 1);
    }
}

fn no_file(what: &str) -> Error {
    Error::Configuration(format!("API keys can only be {what} at run time if auth.api_keys_file names a file; set it"))
}

/// Makes room by dropping keys that let nobody in any more. That they were revoked is still known.
fn forget_ended(content: &mut Content, now: Timestamp) {
    let Content { keys, revoked, .. } = content;
    keys.retain(|key| !revoked.contains_key(&key.id) && key.expires_at.is_none_or(|end| end > now));
}
