//! Every kind of mistake in a configuration is answered with the key, where it came from, and the fix.

use crate::program::{fanfare, stderr, stdout};

/// How a mistake is made, and what the answer must hold.
struct Mistake {
    what: &'static str,
    file: &'static str,
    env: &'static [(&'static str, &'static str)],
    args: &'static [&'static str],
    answer: &'static [&'static str],
}

const NONE: Mistake = Mistake { what: "", file: "", env: &[], args: &["--dev"], answer: &[] };
const FILE: &str = "from the file fanfare.toml";

const MISTAKES: &[Mistake] = &[
    Mistake {
        what: "misspelt section",
        file: "[engin]\nkind = \"memory\"\n",
        answer: &["FF-0002", "engin (", FILE, "did you mean `engine`?"],
        ..NONE
    },
    Mistake {
        what: "misspelt key",
        file: "[engine]\nknd = \"memory\"\n",
        answer: &["engine.knd", FILE, "did you mean `kind`?"],
        ..NONE
    },
    Mistake {
        what: "key that is nothing like any other",
        file: "[drain]\nzebra = 1\n",
        answer: &["drain.zebra", FILE, "use one of `window`, `grace`"],
        ..NONE
    },
    Mistake {
        what: "wrong type",
        file: "workers = \"many\"\n",
        answer: &["workers", FILE, "is text, but must be a whole number", "How many worker threads"],
        ..NONE
    },
    Mistake {
        what: "negative number",
        file: "[http]\nbacklog = -1\n",
        answer: &["http.backlog", FILE, "`-1`", "fix: http.backlog"],
        ..NONE
    },
    Mistake {
        what: "duration without a unit",
        file: "[drain]\nwindow = \"20\"\n",
        answer: &["drain.window", FILE, "\"20\" is not a number with a unit", "30s"],
        ..NONE
    },
    Mistake {
        what: "size without a unit",
        file: "[http]\nhead_bytes_max = \"16000\"\n",
        answer: &["http.head_bytes_max", FILE, "\"16000\" is not a number with a unit", "64KiB"],
        ..NONE
    },
    Mistake {
        what: "zero where nothing would work",
        file: "[http]\nheader_read_timeout = \"0s\"\n",
        answer: &["http.header_read_timeout", FILE, "is zero", "write e.g. \"10s\""],
        ..NONE
    },
    Mistake {
        what: "limit below the least",
        file: "[http]\nhead_bytes_max = \"1KiB\"\n",
        answer: &["http.head_bytes_max", FILE, "too small", "at least \"8KiB\""],
        ..NONE
    },
    Mistake {
        what: "zero in a limit of the engine",
        file: "[engine.embedded]\nread_threads = 0\n",
        answer: &["engine.embedded.read_threads", FILE, "is 0", "set it to at least 1"],
        ..NONE
    },
    Mistake {
        what: "role that does not exist",
        file: "roles = [\"api\", \"wss\"]\n",
        answer: &["roles.1", FILE, "\"wss\" is not one of the words", "did you mean `ws`?"],
        ..NONE
    },
    Mistake {
        what: "no role",
        file: "roles = []\n",
        answer: &["roles", FILE, "is empty", "`api`, `sse`, `ws`, `grpc`"],
        ..NONE
    },
    Mistake {
        what: "listener that serves what does not exist",
        file: "[listeners.public]\nserves = [\"sse\", \"webhook\"]\n",
        answer: &["listeners.public.serves.1", FILE, "\"webhook\"", "use one of `api`, `sse`, `ws`"],
        ..NONE
    },
    Mistake {
        what: "listener without an address",
        file: "[[listeners]]\nname = \"all\"\nserves = [\"api\", \"sse\", \"ws\", \"grpc\"]\n",
        answer: &["listeners.all.bind", "is missing", "0.0.0.0:8080"],
        ..NONE
    },
    Mistake {
        what: "listener whose address is none",
        file: "[listeners.public]\nbind = \"localhost\"\n",
        answer: &["listeners.public.bind", FILE, "invalid socket address", "0.0.0.0:8080"],
        ..NONE
    },
    Mistake {
        what: "listener without a name",
        file: "[[listeners]]\nbind = \"127.0.0.1:0\"\nserves = [\"api\"]\n",
        answer: &["listeners.0", FILE, "has no name", "name = \"public\""],
        ..NONE
    },
    Mistake {
        what: "two listeners of one name",
        file: "[[listeners]]\nname = \"a\"\nbind = \"127.0.0.1:1\"\nserves = [\"api\"]\n\
               [[listeners]]\nname = \"a\"\nbind = \"127.0.0.1:2\"\nserves = [\"sse\", \"ws\", \"grpc\"]\n",
        answer: &["listeners.1", FILE, "\"a\"", "its own name"],
        ..NONE
    },
    Mistake {
        what: "two listeners at one address",
        file: "[listeners.public]\nbind = \"0.0.0.0:8081\"\n",
        answer: &["listeners.public.bind", FILE, "0.0.0.0:8081 is taken by the listener `admin`", "another port"],
        ..NONE
    },
    Mistake {
        what: "role that no listener serves",
        file: "[listeners.public]\nserves = [\"sse\"]\n",
        answer: &["listeners", FILE, "no listener serves the role `ws`", "add \"ws\" to a listener's `serves`"],
        ..NONE
    },
    Mistake {
        what: "demo page in production",
        file: "[listeners.public]\nserves = [\"sse\", \"ws\", \"grpc\", \"demo\"]\n[auth]\nanonymous = {}\n",
        args: &[],
        answer: &["listeners.public.serves", FILE, "`demo`", "start with --dev"],
        ..NONE
    },
    Mistake {
        what: "engine that does not exist",
        file: "[engine]\nkind = \"sled\"\n",
        answer: &["engine.kind", FILE, "\"sled\"", "use one of `memory`, `embedded`"],
        ..NONE
    },
    Mistake {
        what: "composed of nothing",
        file: "[engine]\nkind = \"composed\"\n",
        answer: &["engine.composed", "does not say what is composed", "log = \"postgres\" and fanout = \"redis\""],
        ..NONE
    },
    Mistake {
        what: "news carried by an engine within the process",
        file: "[engine]\nkind = \"composed\"\n[engine.composed]\nlog = \"postgres\"\nfanout = \"memory\"\n",
        answer: &["engine.composed.fanout", FILE, "carries nothing between nodes", "write \"redis\" or \"nats\""],
        ..NONE
    },
    Mistake {
        what: "an engine composed with itself",
        file: "[engine]\nkind = \"composed\"\n[engine.composed]\nlog = \"redis\"\nfanout = \"redis\"\n",
        answer: &["engine.composed.fanout", FILE, "carries its news better itself", "engine.kind = \"redis\""],
        ..NONE
    },
    Mistake {
        what: "a log that cannot do without its own news",
        file: "[engine]\nkind = \"composed\"\n[engine.composed]\nlog = \"nats\"\nfanout = \"redis\"\n",
        answer: &["engine.composed.log", FILE, "carries the news of its log itself", "engine.kind = \"nats\""],
        ..NONE
    },
    Mistake {
        what: "a log that other nodes cannot read",
        file: "[engine]\nkind = \"composed\"\n[engine.composed]\nlog = \"embedded\"\nfanout = \"nats\"\n",
        answer: &["engine.composed.log", FILE, "in this node alone", "log = \"remote\""],
        ..NONE
    },
    Mistake {
        what: "presence that other nodes cannot see",
        file: "[engine]\nkind = \"composed\"\n\
               [engine.composed]\nlog = \"postgres\"\nfanout = \"redis\"\npresence = \"memory\"\n",
        answer: &["engine.composed.presence", FILE, "others would not see it", "name an engine that nodes share"],
        ..NONE
    },
    Mistake {
        what: "a shared engine without shared keys",
        file: "[engine]\nkind = \"redis\"\n",
        answer: &["auth.resume.keys", "nodes"],
        ..NONE
    },
    Mistake {
        what: "revocations of one node where nodes share a log",
        file: "[engine]\nkind = \"redis\"\n[auth]\nrevocations_file = \"r.json\"\n",
        answer: &["auth.revocations_file", FILE, "keeps what was revoked for all", "remove it"],
        ..NONE
    },
    Mistake {
        what: "a log lent to everybody",
        file: "[listeners.admin]\nserves = [\"api\", \"grpc\", \"engine\"]\n",
        answer: &["engine.remote.secret", "a listener serves `engine`", "openssl rand -hex 32"],
        ..NONE
    },
    Mistake {
        what: "a log lent that is not here",
        file: "[engine]\nkind = \"redis\"\n[listeners.admin]\nserves = [\"api\", \"grpc\", \"engine\"]\n",
        answer: &["listeners.admin.serves", FILE, "the log is in \"redis\"", "take \"engine\" out"],
        ..NONE
    },
    Mistake {
        what: "no hub",
        file: "[engine]\nkind = \"remote\"\n",
        answer: &["engine.remote.url", "where its log is", "engine.remote.secret", "would not let this node in"],
        ..NONE
    },
    Mistake {
        what: "a hub whose address is none",
        file: "[engine]\nkind = \"remote\"\n[engine.remote]\nurl = \"hub:8082\"\n",
        answer: &["engine.remote.url", FILE, "is not an address", "https://hub.internal:8082"],
        ..NONE
    },
    Mistake {
        what: "durability that the engine cannot give",
        file: "[engine]\nkind = \"memory\"\n[topics.orders]\ndurability = \"committed\"\n",
        answer: &["topics.orders.durability", FILE, "memory engine", "durability = \"none\""],
        ..NONE
    },
    Mistake {
        what: "kind of topic whose name cannot be",
        file: "[topics.\"a b\"]\nclient_publish = true\n",
        answer: &["topics.a b", FILE, "is not a kind of topic", "1 to 50"],
        ..NONE
    },
    Mistake {
        what: "topic in place of a kind",
        file: "[topics.\"chat:42\"]\nclient_publish = true\n",
        answer: &["topics.chat:42", FILE, "is a topic, not a kind", "[topics.chat]"],
        ..NONE
    },
    Mistake {
        what: "pattern that is none",
        file: "[auth.anonymous]\ngrants = [{ topics = [\"a*b\"], allow = [\"subscribe\"] }]\n",
        answer: &["auth.anonymous.grants.0.topics.0", FILE, "`*`"],
        ..NONE
    },
    Mistake {
        what: "action that does not exist",
        file: "[auth.anonymous]\ngrants = [{ topics = [\"a\"], allow = [\"subcribe\"] }]\n",
        answer: &["auth.anonymous.grants.0.allow.0", FILE, "did you mean `subscribe`?"],
        ..NONE
    },
    Mistake {
        what: "one audience for both doors",
        file: "[auth.issuers.app]\nkeys = [{ secret = \"3b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da5\" }]\n\
               audiences = { client = \"push\", server = \"push\" }\n",
        answer: &["auth.issuers.app.audiences.server", FILE, "must not share an audience"],
        ..NONE
    },
    Mistake {
        what: "secret that is too short",
        file: "[auth.issuers.app]\nkeys = [{ secret = \"hunter2\" }]\n",
        args: &[],
        answer: &["auth.issuers.app.keys[0]", FILE, "32"],
        ..NONE
    },
    Mistake {
        what: "issuer without a key",
        file: "[auth.issuers.app]\n",
        args: &[],
        answer: &["auth.issuers.app.keys", FILE, "0 keys", "give it 1"],
        ..NONE
    },
    Mistake {
        what: "key file that is not there",
        file: "[auth.issuers.app]\nkeys = [{ public_key_file = \"nowhere.pem\" }]\n",
        args: &[],
        answer: &["auth.issuers.app.keys[0]", FILE, "nowhere.pem"],
        ..NONE
    },
    Mistake {
        what: "file of API keys in a directory that cannot be written",
        file: "[auth]\napi_keys_file = \"nowhere/keys.json\"\n",
        answer: &["auth.api_keys_file", FILE, "nowhere/keys.json", "make nowhere a directory"],
        ..NONE
    },
    Mistake {
        what: "nobody to let in",
        args: &[],
        answer: &["FF-0004", "auth.issuers is empty", "fanfare.toml", "--dev"],
        ..NONE
    },
    Mistake {
        what: "certificate that is not there",
        file: "[listeners.public.tls]\ncert_file = \"nowhere.pem\"\nkey_file = \"nowhere.key\"\n",
        answer: &["listeners.public.tls.cert_file", FILE, "nowhere.pem cannot be read", "see that it exists"],
        ..NONE
    },
    Mistake {
        what: "certificate that is none",
        file: "[listeners.public.tls]\ncert_file = \"fanfare.toml\"\nkey_file = \"fanfare.toml\"\n",
        answer: &["listeners.public.tls.cert_file", FILE, "holds no certificate", "name a PEM file"],
        ..NONE
    },
    Mistake {
        what: "TLS without a key",
        file: "[listeners.public.tls]\ncert_file = \"a.pem\"\n",
        answer: &["listeners.public.tls.key_file", "is missing", "The private key"],
        ..NONE
    },
    Mistake {
        what: "version of TLS that is spoken no more",
        file: "[listeners.public.tls]\ncert_file = \"a\"\nkey_file = \"b\"\nmin_version = \"tls1.1\"\n",
        answer: &["listeners.public.tls.min_version", FILE, "\"tls1.1\"", "did you mean `tls1.2`?"],
        ..NONE
    },
    Mistake {
        what: "client certificates without authorities",
        file: "[listeners.public.tls]\ncert_file = \"a\"\nkey_file = \"b\"\nclient_auth = \"optional\"\n",
        answer: &["listeners.public.tls.client_auth", FILE, "without authorities", "client_ca_file"],
        ..NONE
    },
    Mistake {
        what: "no handshake at all",
        file: "[listeners.public.tls]\ncert_file = \"a\"\nkey_file = \"b\"\nhandshakes_max = 0\n",
        answer: &["listeners.public.tls.handshakes_max", FILE, "is 0", "write e.g. 512"],
        ..NONE
    },
    Mistake {
        what: "log filter that is none",
        file: "[telemetry.log]\nfilter = \"fanfare=loud\"\n",
        answer: &["telemetry.log.filter", FILE, "write it like \"info\""],
        ..NONE
    },
    Mistake {
        what: "file that is not there",
        args: &["--config", "elsewhere.toml", "--dev"],
        answer: &["FF-0001", "the file elsewhere.toml cannot be read", "--config"],
        ..NONE
    },
    Mistake {
        what: "file that is not TOML",
        file: "[engine\nkind = memory\n",
        answer: &["FF-0001", "the file fanfare.toml is not TOML", "line 1"],
        ..NONE
    },
    Mistake {
        what: "variable of a key that does not exist",
        env: &[("FANFARE__ENGINE__KNID", "memory")],
        answer: &["engine.knid", "the environment variable FANFARE__ENGINE__KNID", "did you mean `kind`?"],
        ..NONE
    },
    Mistake {
        what: "variable with a wrong value",
        env: &[("FANFARE__DRAIN__WINDOW", "soon")],
        answer: &["drain.window", "the environment variable FANFARE__DRAIN__WINDOW", "\"soon\""],
        ..NONE
    },
    Mistake {
        what: "variable with one underscore",
        env: &[("FANFARE_ENGINE__KIND", "memory")],
        answer: &["FF-0001", "FANFARE_ENGINE__KIND", "did you mean FANFARE__ENGINE__KIND?"],
        ..NONE
    },
    Mistake {
        what: "setting of a key that does not exist",
        args: &["--dev", "--set", "engine.pth=/tmp"],
        answer: &["engine.pth", "the option --set", "did you mean `path`?"],
        ..NONE
    },
    Mistake {
        what: "setting without a value",
        args: &["--dev", "--set", "engine"],
        answer: &["FF-0001", "--set engine", "--set engine.kind=memory"],
        ..NONE
    },
];

#[test]
fn every_mistake_is_told_with_its_key_its_source_and_its_fix() {
    let mut wrong = Vec::new();
    for mistake in MISTAKES {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("fanfare.toml"), mistake.file).unwrap();
        let output = fanfare(dir.path())
            .args(["config", "check"])
            .args(mistake.args)
            .envs(mistake.env.iter().copied())
            .output()
            .unwrap();
        let text = stderr(&output);
        let missing: Vec<_> = mistake.answer.iter().filter(|part| !text.contains(**part)).collect();
        if output.status.code() != Some(1) || !missing.is_empty() {
            wrong.push(format!("{}: {:?}, missing {missing:?} in\n{text}", mistake.what, output.status));
        }
    }
    assert!(MISTAKES.len() >= 20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_secret_is_never_told() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "3b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da5";
    let file = format!("[auth.issuers.app]\nkeys = [{{ secret = \"{secret}\" }}]\n");
    std::fs::write(dir.path().join("fanfare.toml"), file).unwrap();
    let output = fanfare(dir.path()).args(["config", "print"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("[auth.issuers.app"), "{text}");
    assert!(!text.contains(secret), "{text}");
}

#[test]
fn passwords_in_urls_and_secrets_of_a_wrong_type_are_not_told_either() {
    let dir = tempfile::tempdir().unwrap();
    let shown = |what: &str, file: &str| {
        std::fs::write(dir.path().join("fanfare.toml"), file).unwrap();
        let output = fanfare(dir.path()).args(["config", what]).output().unwrap();
        let text = stdout(&output) + &stderr(&output);
        assert!(!text.contains("424242"), "{text}");
        text
    };
    let urls = "[engine.redis]\nurls = [\"redis://:424242@cache:6379\"]\n\
                [engine.postgres]\nurl = \"postgres://app:424242@db/app\"\n";
    let printed = shown("print", urls);
    for url in ["redis://:redacted@cache:6379", "postgres://app:redacted@db/app"] {
        assert!(printed.contains(url), "{printed}");
    }
    assert!(shown("check", "[engine.redis]\npassword = 424242\n").contains("is a number, but must be text"));
    assert!(shown("check", "[auth.resume]\nkeys = \"424242\"\n").contains("is text, but must be a list"));
    let nats = "[engine]\nkind = \"nats\"\n[engine.nats]\nurls = [\"nats://a:424242@b\"]\n";
    assert!(shown("check", nats).contains("set username and password"));
}
