//! What whoever starts the engine can do about an error, and how errors of the server are told to others.

use fanfare_model::Kind;

/// Errors of connecting to the server, named after what the operator can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is wrong; the text names the key and the fix.
    #[error("engine.postgres.{0}")]
    Options(String),
    /// No server can be reached, or it lets nobody in.
    #[error("no PostgreSQL server of `engine.postgres` can be reached; check `url`, `standby_urls` and that it runs")]
    Unreachable(#[source] sqlx::Error),
    /// A server is there and lets this node not in.
    #[error(
        "the PostgreSQL server refuses this node; check user, password and database in engine.postgres.url (or password_file)"
    )]
    Refused(#[source] sqlx::Error),
    /// The server is too old.
    #[error("the PostgreSQL server is of version {found}; at least 15 is needed")]
    Version {
        /// What it says of itself.
        found: String,
    },
    /// The database's encoding cannot hold every topic.
    #[error("the database's encoding is {found}; make one with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`")]
    Encoding {
        /// What it is.
        found: String,
    },
    /// A pooler hands one connection to several clients in turn.
    #[error(
        "a pooler at `engine.postgres.url` lends connections for a transaction at a time; locks, settings and LISTEN need \
         their own: set pool_mode = session for this database, or connect to the server itself"
    )]
    Shared,
    /// The tables could not be made or brought up to date.
    #[error(
        "the schema `{schema}` could not be set up; its user needs CREATE on the database, or on a schema made for it"
    )]
    Schema {
        /// Which schema.
        schema: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Options(_) | Self::Version { .. } | Self::Encoding { .. } | Self::Shared => Kind::Invalid,
            Self::Unreachable(_) => Kind::Unavailable,
            Self::Refused(error) if is_passing(error) => Kind::Unavailable,
            Self::Refused(_) | Self::Schema { .. } => Kind::Denied,
        }
    }
}

/// Whether a server lets nobody in for a while: it starts, stops or recovers (`cannot_connect_now`), or it has as many
/// connections as it may have (`too_many_connections`).
fn is_passing(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if matches!(error.code().as_deref(), Some("57P03" | "53300")))
}

/// The server did not answer, or not as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the PostgreSQL server failed")]
    Server(#[from] sqlx::Error),
    #[error("the PostgreSQL server did not answer in time")]
    Slow,
    #[error("a row of the database is not as it was written: {0}")]
    Damaged(&'static str),
}

impl Failure {
    /// Whether the server said so, and the connection is as good as before.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::Server(sqlx::Error::Database(_) | sqlx::Error::RowNotFound))
    }

    /// Whether somebody else's statements are on what should be a new connection, or ours are not.
    pub(crate) fn is_shared(&self) -> bool {
        // duplicate_prepared_statement, invalid_sql_statement_name
        matches!(self, Self::Server(sqlx::Error::Database(error))
            if matches!(error.code().as_deref(), Some("42P05" | "26000")))
    }

    /// Whether the same again may succeed at once: two transactions were in each other's way.
    pub(crate) fn is_collision(&self) -> bool {
        // serialization_failure, deadlock_detected
        matches!(self, Self::Server(sqlx::Error::Database(error))
            if matches!(error.code().as_deref(), Some("40001" | "40P01")))
    }
}

impl From<Failure> for fanfare_history::Error {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(Box::new(failure))
    }
}

impl From<Failure> for fanfare_cluster::Error {
    fn from(failure: Failure) -> Self {
        Self::unavailable(failure)
    }
}

impl From<Failure> for fanfare_consumer::Error {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(Box::new(failure))
    }
}

impl From<Failure> for fanfare_presence::Error {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(Box::new(failure))
    }
}
