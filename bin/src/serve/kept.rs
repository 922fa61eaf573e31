//! Secrets that the node makes for itself and keeps in its directory, so that what they have signed outlives a restart.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::files;
use crate::failure::{Code, Failure};

/// As many as the hash of HS256 and the keys of AES-256 have.
const SECRET_BYTES: usize = 32;

/// A secret in a file that only this user may read.
#[derive(Debug)]
pub(crate) struct KeptSecret {
    path: PathBuf,
    what: &'static str,
}

impl KeptSecret {
    /// That of the issuer which exists only in development.
    pub(crate) fn of_development(data: &Path) -> Self {
        Self { path: data.join("dev-secret"), what: "development secret" }
    }

    /// What resume tokens are sealed with if the configuration names no key.
    pub(crate) fn of_resuming(data: &Path) -> Self {
        Self { path: data.join("resume.key"), what: "key of resume tokens" }
    }

    /// The secret; `None` if there is none yet.
    pub(crate) fn read(&self) -> Result<Option<String>, Failure> {
        let Self { path, what } = self;
        match std::fs::read_to_string(path) {
            Ok(text) if text.trim().len() >= SECRET_BYTES => Ok(Some(text.trim().to_owned())),
            Ok(_) => Err(Failure::new(
                Code::KeyFileUnusable,
                format!("the {what} in {} is too short; delete the file to get a new one", path.display()),
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(error)),
        }
    }

    /// The secret, or a fresh one, which is then kept.
    pub(crate) fn read_or_make(&self) -> Result<String, Failure> {
        if let Some(secret) = self.read()? {
            return Ok(secret);
        }
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_BYTES]>());
        let directory = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory)
            .and_then(|()| files::write(&self.path, &format!("{secret}\n")))
            .map_err(|error| self.unusable(error))?;
        Ok(secret)
    }

    fn unusable(&self, error: std::io::Error) -> Failure {
        let text = format!("the {} {} cannot be used", self.what, self.path.display());
        Failure::because(Code::KeyFileUnusable, text, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let kept = KeptSecret::of_development(&data);
        assert_eq!(kept.read().unwrap(), None);
        let first = kept.read_or_make().unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&first).unwrap().len(), SECRET_BYTES);
        assert_eq!(kept.read_or_make().unwrap(), first);
        let metadata = std::fs::metadata(data.join("dev-secret")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        assert_ne!(KeptSecret::of_resuming(&data).read_or_make().unwrap(), first);
    }
}
