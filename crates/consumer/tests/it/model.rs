//! Whatever is done in whatever order, a consumer is what a simple model says.

use std::collections::BTreeMap;
use std::time::Duration;

use fanfare_consumer::{Act, LeaseId};
use proptest::prelude::*;

use crate::support::{Bench, pull};

#[derive(Debug, Clone)]
enum Op {
    Publish(u64),
    Pull {
        limit: usize,
        lease: u64,
    },
    /// Of the lease that was given out so many before the last.
    UpTo {
        lease: usize,
        part: u64,
    },
    All(usize),
    Release {
        lease: usize,
        after: u64,
    },
    Extend {
        lease: usize,
        by: u64,
    },
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (1..6_u64).prop_map(Op::Publish),
        6 => (1..6_usize, 5..40_u64).prop_map(|(limit, lease)| Op::Pull { limit, lease }),
        2 => (0..5_usize, 0..6_u64).prop_map(|(lease, part)| Op::UpTo { lease, part }),
        2 => (0..5_usize).prop_map(Op::All),
        2 => (0..5_usize, prop_oneof![Just(0), 1..50_u64]).prop_map(|(lease, after)| Op::Release { lease, after }),
        1 => (0..5_usize, 1..60_u64).prop_map(|(lease, by)| Op::Extend { lease, by }),
        3 => (1..40_u64).prop_map(Op::Advance),
    ]
}

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Out {
        lease: LeaseId,
        until: u64,
    },
    /// To come again from then on.
    Waits(u64),
    Done,
}

/// One entry for each event that was ever given out: its state, and how often it was given out.
#[derive(Default)]
struct Model {
    now: u64,
    published: u64,
    events: BTreeMap<u64, (State, u32)>,
    leases: Vec<LeaseId>,
}

impl Model {
    fn expire(&mut self) {
        for (state, _) in self.events.values_mut() {
            if let State::Out { until, .. } = *state
                && until <= self.now
            {
                *state = State::Waits(0);
            }
        }
    }

    fn done(&self) -> u64 {
        self.events.values().take_while(|(state, _)| *state == State::Done).count() as u64
    }

    fn is_due(&self, offset: u64) -> bool {
        matches!(self.events.get(&offset), Some((State::Waits(due), _)) if *due <= self.now)
    }

    fn out(&mut self, lease: LeaseId) -> Vec<u64> {
        self.expire();
        let of = |(offset, (state, _)): (&u64, &(State, u32))| match state {
            State::Out { lease: of, .. } if *of == lease => Some(*offset),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    fn set(&mut self, offsets: &[u64], to: State) {
        for offset in offsets {
            self.events.get_mut(offset).unwrap().0 = to;
        }
    }

    /// Checks what a pull brought, and remembers it.
    fn pulled(&mut self, leased: &fanfare_consumer::Leased, limit: usize, lease: u64) {
        self.expire();
        let got: Vec<u64> = leased.events.iter().map(|event| event.offset).collect();
        let first_due = (1..=self.published).find(|offset| self.is_due(*offset));
        let frontier = self.events.len() as u64;
        let Some(id) = leased.lease else {
            assert!(first_due.is_none() && frontier == self.published, "there was something: {first_due:?}");
            return;
        };
        assert!(!got.is_empty() && got.len() <= limit && leased.gap.is_none());
        assert!(got.windows(2).all(|pair| pair[0] + 1 == pair[1]), "one stretch");
        match first_due {
            Some(due) => assert!(got[0] == due && got.iter().all(|offset| self.is_due(*offset)), "what is due first"),
            None => assert_eq!(got[0], frontier + 1, "or what is new"),
        }
        assert!(self.leases.last().is_none_or(|last| *last < id), "leases have growing numbers");
        self.leases.push(id);
        for (offset, told) in got.iter().zip(&leased.deliveries) {
            let until = self.now + lease;
            let entry = self.events.entry(*offset).or_insert((State::Done, 0));
            *entry = (State::Out { lease: id, until }, entry.1 + 1);
            assert_eq!(*told, entry.1, "deliveries of {offset}");
        }
    }
}

async fn run(ops: Vec<Op>) {
    let bench = Bench::new();
    let mut model = Model::default();
    for op in ops {
        let lease = match &op {
            Op::UpTo { lease, .. } | Op::All(lease) | Op::Release { lease, .. } | Op::Extend { lease, .. } => {
                let Some(at) = model.leases.len().checked_sub(lease + 1) else { continue };
                model.leases[at]
            }
            _ => LeaseId(0),
        };
        let out = model.out(lease);
        let (act, then) = match op {
            Op::Publish(count) => {
                bench.publish("jobs", model.published + 1..=model.published + count).await;
                model.published += count;
                continue;
            }
            Op::Pull { limit, lease } => {
                let request = fanfare_consumer::Pull { lease: Duration::from_secs(lease), ..pull("jobs", limit) };
                model.pulled(&bench.try_pull(request).await.unwrap(), limit, lease);
                continue;
            }
            Op::Advance(seconds) => {
                bench.advance(seconds);
                model.now += seconds;
                continue;
            }
            Op::UpTo { part, .. } => {
                let Some(upto) = out.first().map(|first| first + part) else {
                    assert!(bench.try_ack("jobs", lease, Act::UpTo(9)).await.is_err());
                    continue;
                };
                let done: Vec<u64> = out.iter().copied().filter(|offset| *offset <= upto).collect();
                model.set(&done, State::Done);
                (Act::UpTo(upto), None)
            }
            Op::All(_) => (Act::All, Some(State::Done)),
            Op::Release { after, .. } => {
                (Act::Release { retry_after: Duration::from_secs(after) }, Some(State::Waits(model.now + after)))
            }
            Op::Extend { by, .. } => {
                (Act::Extend(Duration::from_secs(by)), Some(State::Out { lease, until: model.now + by }))
            }
        };
        let answer = bench.try_ack("jobs", lease, act).await;
        assert_eq!(answer.is_ok(), !out.is_empty(), "a lease is good as long as something of it is out");
        if let Some(then) = then {
            model.set(&out, then);
        }
        if let Ok(position) = answer {
            assert_eq!(position.offset, model.done());
        }
    }
    drain(&bench, &mut model).await;
}

/// In the end everything is worked off, and nothing is missing.
async fn drain(bench: &Bench, model: &mut Model) {
    bench.advance(3600);
    model.now += 3600;
    loop {
        let leased = bench.try_pull(pull("jobs", 7)).await.unwrap();
        model.pulled(&leased, 7, 30);
        let Some(lease) = leased.lease else { break };
        let out = model.out(lease);
        model.set(&out, State::Done);
        assert_eq!(bench.ack("jobs", &leased, Act::All).await, model.done());
    }
    assert_eq!(model.done(), model.published);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_consumer_is_what_the_model_says(ops in prop::collection::vec(op(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(ops));
    }
}
