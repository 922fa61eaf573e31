//! `docs/errors.md` names every code that a client can be told.

use std::collections::BTreeSet;
use std::path::Path;

use fanfare_auth::Reason;
use fanfare_model::{GapReason, Kind};
use fanfare_session::Goodbye;
use fanfare_session::client::{UNAVAILABLE, UNSUBSCRIBED_BY_SERVER, UNSUBSCRIBED_PERMISSION};

const ERRORS_MD: &str = include_str!("../../../../docs/errors.md");

/// The codes that stand alone in the first cell of a row of a table.
fn documented() -> BTreeSet<&'static str> {
    let rows = ERRORS_MD.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(code, _)| code).collect()
}

/// The codes that the sources of the doors give to errors by name.
fn given(directory: &Path, codes: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            given(&path, codes);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = text.split("with_code(\"").skip(1);
            codes.extend(calls.filter_map(|rest| rest.split_once('"')).map(|(code, _)| code.to_owned()));
        }
    }
}

#[test]
fn every_code_is_documented() {
    let documented = documented();
    let mut codes: BTreeSet<String> = BTreeSet::new();
    codes.extend(Kind::ALL.map(|kind| kind.code().to_owned()));
    codes.extend(Reason::ALL.iter().map(|reason| reason.code().to_owned()));
    let payload = fanfare_bus::Error::Payload { reason: String::new(), at: None };
    codes.insert(payload.code().to_owned());
    let denied = fanfare_session::access::Denied::ByApplication { reason: String::new(), disconnect: false };
    codes.insert(denied.code().to_owned());
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut by_name = BTreeSet::new();
    for room in ["api", "gateway-sse", "gateway-ws", "session"] {
        given(&crates.join(room).join("src"), &mut by_name);
    }
    assert!(by_name.contains("batch_too_large") && by_name.contains("origin_not_allowed"), "{by_name:?}");
    codes.extend(by_name);
    let missing: Vec<_> = codes.iter().filter(|code| !documented.contains(code.as_str())).collect();
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:?}");
}

#[test]
fn every_verdict_and_gap_is_documented() {
    for goodbye in Goodbye::ALL {
        let row = format!("| `{}` | `{}` |", goodbye.code(), goodbye.reason());
        assert!(ERRORS_MD.contains(&row), "docs/errors.md lacks {row}");
    }
    for (code, reason) in [UNSUBSCRIBED_PERMISSION, UNAVAILABLE, UNSUBSCRIBED_BY_SERVER] {
        let row = format!("| `{code}` | `{reason}` |");
        assert!(ERRORS_MD.contains(&row), "docs/errors.md lacks {row}");
    }
    let reasons = [GapReason::Trimmed, GapReason::Epoch, GapReason::Fork, GapReason::Slow, GapReason::Conflated]
        .map(GapReason::as_str);
    for reason in reasons {
        assert!(documented().contains(reason), "docs/errors.md lacks the gap {reason}");
    }
}

#[test]
fn the_status_of_each_kind_is_the_one_in_the_page() {
    for kind in Kind::ALL {
        let row = format!("| `{}` | {} |", kind.code(), kind.http_status());
        assert!(ERRORS_MD.contains(&row), "docs/errors.md lacks {row}");
    }
}
