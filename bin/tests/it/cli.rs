//! Commands that need no node.

use crate::program::{fanfare, stderr, stdout};

#[test]
fn explain_knows_every_code_and_lists_them() {
    let dir = tempfile::tempdir().unwrap();
    let list = stdout(&fanfare(dir.path()).arg("explain").output().unwrap());
    let codes: Vec<_> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(codes.contains(&"FF-0001") && codes.len() >= 14, "{list}");
    for code in codes {
        let page = stdout(&fanfare(dir.path()).args(["explain", code]).output().unwrap());
        assert!(page.starts_with(&format!("# {code}: ")), "{page}");
    }
    let unknown = fanfare(dir.path()).args(["explain", "FF-9999"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("there is no code"));
}

#[test]
fn the_reference_in_the_repository_is_current() {
    let dir = tempfile::tempdir().unwrap();
    let written = stdout(&fanfare(dir.path()).args(["config", "reference"]).output().unwrap());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/configuration.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == written, "run `cargo run -- config reference > docs/reference/configuration.md`");
}

#[test]
fn the_schema_covers_what_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let schema = stdout(&fanfare(dir.path()).args(["config", "schema"]).output().unwrap());
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let printed = stdout(&fanfare(dir.path()).args(["config", "print", "--dev"]).output().unwrap());
    let printed: toml::Table = printed.parse().unwrap();
    for section in printed.keys() {
        assert!(schema["properties"].get(section).is_some(), "{section}");
    }
}

#[test]
fn help_has_examples() {
    let dir = tempfile::tempdir().unwrap();
    for command in [
        "serve",
        "publish",
        "subscribe",
        "history",
        "token",
        "key",
        "dev-cert",
        "config",
        "migrate",
        "explain",
        "completions",
    ] {
        let help = stdout(&fanfare(dir.path()).args([command, "--help"]).output().unwrap());
        assert!(help.contains(&format!("  fanfare {command}")) || help.contains("Examples:"), "{command}:\n{help}");
    }
}

#[test]
fn completions_are_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let script = stdout(&fanfare(dir.path()).args(["completions", "bash"]).output().unwrap());
    assert!(script.contains("_fanfare()") && script.contains("subscribe"));
}

#[test]
fn a_development_token_needs_no_node_and_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let token = || {
        let args = ["token", "--dev", "--user", "alice", "--topics", "chat:*", "--allow", "subscribe,publish"];
        let output = fanfare(dir.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).trim().to_owned()
    };
    assert_eq!(token().split('.').count(), 3);
    let secret = std::fs::read_to_string(dir.path().join("data/dev-secret")).unwrap();
    token();
    assert_eq!(std::fs::read_to_string(dir.path().join("data/dev-secret")).unwrap(), secret);
}

#[test]
fn api_keys_are_made_listed_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("fanfare.toml"), "[auth]\napi_keys_file = \"keys.json\"\n").unwrap();
    let run = |args: &[&str]| {
        let output = fanfare(dir.path()).arg("key").args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    };
    let key = run(&["create", "--name", "billing", "--topics", "orders:*", "--allow", "publish"]);
    let (id, secret) = key.trim().strip_prefix("ffk_").unwrap().rsplit_once('_').unwrap();
    assert!(!std::fs::read_to_string(dir.path().join("keys.json")).unwrap().contains(secret), "only a hash is kept");
    assert!(run(&["list"]).contains("billing"));
    run(&["revoke", id]);
    let listed: serde_json::Value = serde_json::from_str(&run(&["list", "--json"])).unwrap();
    assert_eq!(listed["id"], id);
    assert!(listed["revoked_at"].is_string(), "{listed}");
}

#[test]
fn tokens_are_taken_back_and_users_blocked() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| fanfare(dir.path()).arg("token").args(args).output().unwrap();
    let nowhere = run(&["block", "alice"]);
    assert!(stderr(&nowhere).contains("auth.revocations_file"), "{}", stderr(&nowhere));
    std::fs::write(dir.path().join("fanfare.toml"), "[auth]\nrevocations_file = \"revoked.json\"\n").unwrap();
    let done = |args: &[&str]| {
        let output = run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    };
    done(&["revoke", "--id", "one"]);
    done(&["revoke", "--user", "bob"]);
    // Every token from so long ago has ended: it is forgotten at once.
    done(&["revoke", "--user", "carol", "--issued-before", "2020-01-01T00:00:00Z"]);
    done(&["block", "alice"]);
    let listed = done(&["revocations"]);
    for part in ["token one ", "tokens of bob from before 20", "user alice "] {
        assert!(listed.contains(part), "{part} is missing in\n{listed}");
    }
    assert!(!listed.contains("carol"), "{listed}");
    done(&["unblock", "alice"]);
    let listed = done(&["revocations", "--json"]);
    assert!(!listed.contains("alice"), "{listed}");
    let one: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!((&one["revocation"]["what"], &one["revocation"]["id"]), (&"token".into(), &"one".into()));
    let elsewhere = done(&["revocations", "--tenant", "other"]);
    assert_eq!(elsewhere, "");
    assert!(!run(&["revoke"]).status.success(), "neither a token nor a user");
    assert!(!run(&["unblock", "alice"]).status.success(), "nobody is blocked");
}

#[test]
fn where_nodes_share_an_engine_the_api_takes_tokens_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = "[engine]\nkind = \"redis\"\n[auth.resume]\nkeys = [\"0123456789abcdef0123456789abcdef\"]\n";
    std::fs::write(dir.path().join("fanfare.toml"), file).unwrap();
    for (args, request) in [
        (&["block", "o'neil"][..], r#"/v1/tokens/revoke -H "Authorization: Bearer $TOKEN" -H 'Content-Type"#),
        (&["block", "o'neil"], r#"-d '{"block_user":"o'\''neil"}'"#),
        (&["revoke", "--id", "one"], r#"-d '{"token_id":"one"}'"#),
        (&["revoke", "--user", "bob"], r#""user":"bob""#),
        (&["unblock", "bob"], "/v1/tokens/unblock"),
        (&["revocations"], "/v1/tokens/revocations -H"),
    ] {
        let output = fanfare(dir.path()).arg("token").args(args).output().unwrap();
        let text = stderr(&output);
        assert!(output.status.code() == Some(1) && text.contains("FF-0014") && text.contains(request), "{text}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    // A port that was bound and given back: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let output = fanfare(dir.path()).args(["publish", "news", "hi", "--url", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("FF-0011") && text.contains(&url), "{text}");
}
