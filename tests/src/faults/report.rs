//! What came of a run, as a line and as a row of the table in `docs/faults.md`.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::play::history_folder;
use super::recovery::{Outage, Recovery};

/// Between these lines of `docs/faults.md` is the table.
const BEGIN: &str = "<!-- results: written by dev/test faults -->";
const END: &str = "<!-- end of results -->";

/// What came of one scenario on one engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// The engine.
    pub engine: String,
    /// Repeats its choices, if it makes any.
    pub seed: Option<u64>,
    /// Readers that were attached.
    pub readers: u32,
    /// What was published and read, in scenarios that do.
    pub traffic: Option<Traffic>,
    /// Promises that were broken.
    pub violations: usize,
    /// How long faults were felt.
    pub recovery: Recovery,
    /// The whole run, with the time to start everything.
    pub took: Duration,
}

/// What was published and read in a run.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Traffic {
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
}

impl Report {
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
                | whole again: median, last | outage | after it: median, last | seed |\n\
                |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    reports.iter().fold(head.to_owned(), |text, report| text + &report.row())
}

/// What there is, or a dash.
fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

impl Report {
    fn row(&self) -> String {
        let of_traffic = |part: fn(&Traffic) -> usize| or_dash(self.traffic.as_ref().map(part));
        let outage = self.recovery.outage;
        [
            self.scenario.replace('_', " "),
            self.engine.clone(),
            self.recovery.faults.to_string(),
            self.readers.to_string(),
            of_traffic(|traffic| traffic.acknowledged),
            of_traffic(|traffic| traffic.delivered),
            of_traffic(|traffic| traffic.reconnects),
            of_traffic(|traffic| traffic.gaps),
            of_traffic(|traffic| traffic.lost),
            self.violations.to_string(),
            self.recovery.whole.to_string(),
            or_dash(outage.map(|outage| format!("{:.1} s", outage.longest.as_secs_f64()))),
            or_dash(outage.map(|outage| outage.after)),
            or_dash(self.seed),
        ]
        .iter()
        .fold("|".to_owned(), |row, cell| row + " " + cell + " |")
            + "\n"
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, engine, readers, recovery, violations, .. } = self;
        let (faults, whole) = (recovery.faults, recovery.whole);
        write!(f, "{scenario} on {engine}: {faults} faults, {readers} readers, {violations} broken promises")?;
        if let Some(Traffic { acknowledged, delivered, reconnects, gaps, lost }) = self.traffic {
            write!(
                f,
                ", {acknowledged} acknowledged, {delivered} delivered, {reconnects} reconnects, {gaps} gaps, {lost} lost"
            )?;
        }
        write!(f, ", whole again after {whole}")?;
        if let Some(Outage { longest, after }) = recovery.outage {
            write!(f, ", of which {after} after an outage of {:.1} s", longest.as_secs_f64())?;
        }
        write!(f, "; took {:.0} s", self.took.as_secs_f64())
    }
}
