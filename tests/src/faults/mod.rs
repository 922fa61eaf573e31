//! Proof under faults: publishers and readers write down what they see while things break, and a [`checker`] decides
//! whether every promise was kept.
//!
//! A [`Stage`] is an engine with nodes of different roles on it, and a network between them that can be broken. A
//! [`Play`] has publishers and readers work on it while a scenario breaks things; [`Play::finish`] has everybody come to
//! the end, compares what they saw with the log, and gives a [`Report`]. The scenarios are in `tests/it/faults`.

pub mod checker;
mod clock;
mod engine;
mod line;
mod play;
mod publisher;
mod reader;
mod recorder;
mod recovery;
mod report;
mod stage;

pub use clock::SteppedClock;
pub use engine::{Engine, On};
pub use play::{Cast, Play, Scale};
pub use recorder::Recorder;
pub use recovery::{Outage, Recovery, Spread};
pub use report::{Report, Traffic};
pub use stage::Stage;
