//! `fanfare dev-cert`.

use std::path::PathBuf;

use clap::Args;
use fanfare_model::{Clock as _, SystemClock};

use crate::failure::{Code, Failure};
use crate::print;
use crate::serve::files;
use crate::tls::authority;

/// Make certificates to try TLS with, signed by an authority of their own. Not for production.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanfare dev-cert
  fanfare serve --dev --set listeners.public.tls.cert_file=certs/server.pem \\
                      --set listeners.public.tls.key_file=certs/server.key
  fanfare subscribe news --dev --url https://localhost:8080 --cacert certs/ca.pem
  fanfare dev-cert --dir /tmp/certs --name push.test,192.168.1.7 --client billing")]
pub(super) struct DevCert {
    /// Where to put them: ca.pem, server.pem, server.key, client.pem, client.key.
    #[arg(long, value_name = "DIRECTORY", default_value = "certs")]
    dir: PathBuf,
    /// The names and addresses under which the server is reached.
    #[arg(long = "name", value_delimiter = ',', value_name = "NAMES", default_value = "localhost,127.0.0.1,::1")]
    names: Vec<String>,
    /// The common name in the client's certificate.
    #[arg(long, default_value = "client")]
    client: String,
    /// Replace what is there.
    #[arg(long)]
    force: bool,
}

impl DevCert {
    pub(super) fn run(self) -> Result<(), Failure> {
        let made = authority::make(&self.names, &self.client, SystemClock.now())
            .map_err(|error| Failure::because(Code::Unusable, "no certificate can be made for these names", error))?;
        let written = [
            ("ca.pem", &made.authority),
            ("server.pem", &made.server.certificate),
            ("server.key", &made.server.key),
            ("client.pem", &made.client.certificate),
            ("client.key", &made.client.key),
        ];
        let unwritten = |error| {
            let text = format!("the directory {} cannot be written", self.dir.display());
            Failure::because(Code::Unusable, text, error)
        };
        std::fs::create_dir_all(&self.dir).map_err(unwritten)?;
        let there = written.iter().map(|(name, _)| self.dir.join(name)).find(|path| path.exists());
        if let Some(there) = there.filter(|_| !self.force) {
            let text = format!("{} is there already; --force replaces all of them", there.display());
            return Err(Failure::new(Code::Unusable, text));
        }
        for (name, text) in written {
            let path = self.dir.join(name);
            files::write(&path, text).map_err(unwritten)?;
            print::line(path.display());
        }
        Ok(())
    }
}
