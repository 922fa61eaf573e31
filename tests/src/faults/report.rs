//! What came of a run, as a line and as a row of the table in `docs/faults.md`.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::engine::On;
use super::play::history_folder;

/// Between these lines of `docs/faults.md` is the table.
const BEGIN: &str = "<!-- results: written by dev/test faults -->";
const END: &str = "<!-- end of results -->";

/// What came of one scenario on one engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// The engine.
    pub engine: String,
    /// Repeats its choices; 0 if it makes none.
    pub seed: u64,
    /// How often something was broken.
    pub faults: usize,
    /// Readers that were attached.
    pub readers: u32,
    /// Events that were acknowledged.
    pub acknowledged: usize,
    /// Events that readers were given.
    pub delivered: usize,
    /// Connections that readers lost and made again.
    pub reconnects: usize,
    /// Gaps that readers were told of.
    pub gaps: usize,
    /// Acknowledged events that are gone, within what the engine may lose.
    pub lost: usize,
    /// Promises that were broken.
    pub violations: usize,
    /// From the fault until a reader was given something newer: half of them sooner.
    pub whole_median: Duration,
    /// The same, the last of them.
    pub whole_max: Duration,
}

impl Report {
    /// Of a run that did nothing.
    pub fn new(scenario: &str, on: On) -> Self {
        Self {
            scenario: scenario.to_owned(),
            engine: on.to_string(),
            seed: 0,
            faults: 0,
            readers: 0,
            acknowledged: 0,
            delivered: 0,
            reconnects: 0,
            gaps: 0,
            lost: 0,
            violations: 0,
            whole_median: Duration::ZERO,
            whole_max: Duration::ZERO,
        }
    }

    /// Keeps the result, and writes the table of all that are kept.
    pub fn keep(&self) {
        let folder = history_folder();
        // Scenarios may end at the same time, in this process or another.
        let lock = fs::File::create(folder.join("lock")).expect("target is writable");
        lock.lock().expect("a lock on a local file");
        let file = folder.join(format!("{} on {}.json", self.scenario, self.engine));
        fs::write(file, serde_json::to_vec_pretty(self).expect("a report is JSON")).expect("target is writable");
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
        let text = fs::read_to_string(&page).expect("docs/faults.md is there");
        let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the table");
        let (_, after) = rest.split_once(END).expect("the page has an end of the table");
        fs::write(&page, format!("{before}{BEGIN}\n\n{}\n{END}{after}", table(&folder))).expect("the page is writable");
    }
}

fn table(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("target is readable").flatten().map(|entry| entry.path());
    let mut reports: Vec<Report> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok())
        .collect();
    reports.sort_by(|a, b| (&a.scenario, &a.engine).cmp(&(&b.scenario, &b.engine)));
    let head = "| scenario | engine | faults | readers | acknowledged | delivered | reconnects | gaps | lost | broken promises \
                | whole again: median, last | seed |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    reports.iter().fold(head.to_owned(), |text, report| text + &report.row())
}

impl Report {
    fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} s, {:.1} s | {} |\n",
            self.scenario.replace('_', " "),
            self.engine,
            self.faults,
            self.readers,
            self.acknowledged,
            self.delivered,
            self.reconnects,
            self.gaps,
            self.lost,
            self.violations,
            self.whole_median.as_secs_f64(),
            self.whole_max.as_secs_f64(),
            self.seed,
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} on {}: {} faults, {} acknowledged, {} delivered to {} readers, {} reconnects, {} gaps, {} lost, whole again \
             after {:.1} s, {:.1} s at most, {} violations",
            self.scenario,
            self.engine,
            self.faults,
            self.acknowledged,
            self.delivered,
            self.readers,
            self.reconnects,
            self.gaps,
            self.lost,
            self.whole_median.as_secs_f64(),
            self.whole_max.as_secs_f64(),
            self.violations
        )
    }
}
