//! What writes to the disk, beside the worker, so that connections do not wait for it.

use fanfare_auth::Error;
use fanfare_model::Kind;
use fanfare_session::problem::Problem;

use crate::fault::Fault;

/// Does `work` on a thread that may wait.
pub(crate) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Fault::from(Problem::new(Kind::Internal, "the change could not be made")))?.map_err(Fault::from)
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let detail = match &error {
            // Files are named only in the log.
            Error::File { .. } | Error::KeysFile { .. } | Error::RevocationsFile { .. } | Error::Signing => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(error = %error, source, "credentials could not be changed");
                "the file of credentials cannot be used now".to_owned()
            }
            error => error.to_string(),
        };
        Problem::new(error.kind(), detail).into()
    }
}
