//! The rules of the house that the compiler does not check: who may know whom (design section 3), and what must
//! never be linked.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Every room and its level. A room may know only rooms of lower levels, so those on one level do not know each
/// other: that keeps gateways apart, and keeps history ignorant of identity.
const LEVELS: [(&str, u8); 26] = [
    ("fanfare-model", 0),
    ("fanfare-lifecycle", 1),
    ("fanfare-proto", 1),
    ("fanfare-telemetry", 2),
    ("fanfare-history", 3),
    ("fanfare-auth", 3),
    ("fanfare-bus", 4),
    ("fanfare-cluster", 5),
    ("fanfare-consumer", 5),
    ("fanfare-presence", 6),
    ("fanfare-session", 7),
    ("fanfare-engine-nats", 7),
    ("fanfare-engine-postgres", 7),
    ("fanfare-engine-redis", 7),
    ("fanfare-engine-remote", 7),
    ("fanfare-dialect-proto", 8),
    ("fanfare-gateway-sse", 9),
    ("fanfare-gateway-ws", 9),
    ("fanfare-gateway-grpc", 9),
    ("fanfare-api", 9),
    ("fanfare-hooks", 9),
    ("fanfare-console", 9),
    ("fanfare", 10),
    // These stand outside and see the binary only; they share the words with it.
    ("fanfare-tests", 2),
    ("fanfare-load", 2),
    ("fanfare-test-engines", 1),
];

/// Crates that must not be in the binary, and why.
const BANNED: [(&str, &str); 4] = [
    ("ring", "one crypto library: aws-lc-rs"),
    ("openssl", "one crypto library: aws-lc-rs"),
    ("openssl-sys", "one crypto library: aws-lc-rs"),
    ("native-tls", "one TLS library: rustls"),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .other_options(["--locked", "--offline", "--filter-platform", "x86_64-unknown-linux-gnu"].map(str::to_owned))
        .exec()
        .expect("cargo metadata works")
}

#[test]
fn rooms_know_only_what_is_below_them() {
    let metadata = metadata();
    let levels = BTreeMap::from(LEVELS);
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let Some(level) = levels.get(package.name.as_str()) else {
            wrong.push(format!("{} has no level: give it one in LEVELS", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            match levels.get(dependency.name.as_str()) {
                // A room may use its own features in its tests.
                _ if dependency.name == package.name.as_str() => {}
                Some(below) if below >= level => {
                    wrong.push(format!("{} must not depend on {}", package.name, dependency.name));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let found: BTreeSet<_> = metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let gone: Vec<_> = levels.keys().filter(|name| !found.contains(**name)).collect();
    assert!(gone.is_empty(), "LEVELS names rooms that are not there: {gone:?}");
}

#[test]
fn the_model_knows_neither_io_nor_async() {
    let metadata = metadata();
    let model = metadata.packages.iter().find(|package| package.name.as_str() == "fanfare-model").expect("the model");
    for dependency in model.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal) {
        let banned = ["tokio", "hyper", "axum", "futures-util", "reqwest", "fjall", "socket2"];
        assert!(!banned.contains(&dependency.name.as_str()), "fanfare-model depends on {}", dependency.name);
    }
}

/// `cargo tree` and not `cargo metadata`: the latter also lists what a feature would bring if it were on.
#[test]
fn the_binary_holds_no_banned_crate() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--package", "fanfare", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("aws-lc-rs") && crates.len() > 50, "the tree was read: {crates:?}");
    for (banned, reason) in BANNED {
        assert!(
            !crates.contains(banned),
            "{banned} is in the binary ({reason}); see `cargo tree -p fanfare -i {banned}`"
        );
    }
}
