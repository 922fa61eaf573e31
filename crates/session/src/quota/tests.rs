//! The limits as a session and a publisher meet them.

use std::collections::HashMap;
use std::time::Duration;

use fanfare_model::{ManualClock, Timestamp};
use proptest::prelude::*;

use super::*;

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_seconds(1_700_000_000)))
}

fn quotas(options: serde_json::Value, clock: &Arc<ManualClock>) -> Quotas {
    let options: Options = serde_json::from_value(options).unwrap();
    options.validate().unwrap();
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    Quotas::new(options, clock)
}

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn a_place_is_free_again_when_its_session_is_gone() {
    let quotas = quotas(serde_json::json!({ "user": { "connections": 2 } }), &clock());
    let enter = || quotas.session(&tenant("t"), Some(&user("u")), None);
    let first = enter().unwrap();
    let _second = enter().unwrap();
    let refused = enter().err().unwrap();
    assert_eq!(refused.limit.as_str(), "user_connections");
    assert_eq!(refused.retry_after, None);
    assert!(quotas.session(&tenant("other"), Some(&user("u")), None).is_ok());
    assert!(quotas.session(&tenant("t"), None, None).is_ok());
    drop(first);
    assert!(enter().is_ok());
}

#[test]
fn subscriptions_count_over_all_sessions_and_may_outlive_them() {
    let options = serde_json::json!({ "user": { "subscriptions": 2 }, "tenant": { "subscriptions": 3 } });
    let quotas = quotas(options, &clock());
    let enter = |name: &str| quotas.session(&tenant("t"), Some(&user(name)), Some(ip(1))).unwrap();
    let (a1, a2, b) = (enter("a"), enter("a"), enter("b"));
    let held = [a1.subscription().unwrap(), a2.subscription().unwrap()];
    assert_eq!(a1.subscription().err().unwrap().limit.as_str(), "user_subscriptions");
    let of_b = b.subscription().unwrap();
    assert_eq!(b.subscription().err().unwrap().limit.as_str(), "tenant_subscriptions");
    drop((a1, a2));
    assert!(b.subscription().is_err());
    drop(held);
    drop((b, of_b));
    assert!(quotas.inner.counts.iter().all(|counts| counts.held().is_empty()));
}

#[test]
fn the_user_is_not_charged_for_what_the_tenant_may_not() {
    let clock = clock();
    let options = serde_json::json!({
        "user": { "publishes_per_second": 10, "publishes_burst": 10 },
        "tenant": { "bytes_per_second": "1KiB", "bytes_burst": "1KiB" },
    });
    let quotas = quotas(options, &clock);
    let publish = |name: &str, bytes| quotas.publish(&tenant("t"), Some(&user(name)), Some(ip(1)), 1, bytes);
    publish("a", 1024).unwrap();
    for _ in 0..20 {
        let exceeded = publish("a", 512).unwrap_err();
        assert_eq!(exceeded.limit.as_str(), "tenant_bytes");
        assert_eq!(exceeded.retry_after, Some(Duration::from_millis(500)));
    }
    // The user still has 9.
    for _ in 0..9 {
        publish("a", 0).unwrap();
    }
    let exceeded = publish("a", 0).unwrap_err();
    assert_eq!((exceeded.limit.as_str(), exceeded.retry_after), ("user_publishes", Some(Duration::from_millis(100))));
    clock.advance(Duration::from_millis(100));
    publish("a", 0).unwrap();
    publish("b", 0).unwrap();
}

#[test]
fn who_comes_from_everywhere_fills_no_memory_and_frees_nobody() {
    let clock = clock();
    let options = serde_json::json!({
        "address": { "publishes_per_second": 1, "publishes_burst": 100 }, "user": { "publishes_per_second": 0 },
        "tracked_max": 1600,
    });
    let quotas = quotas(options, &clock);
    let rates = &quotas.inner.rates[Scope::Address as usize];
    let v6 = |network: u64| IpAddr::from((u128::from(network) << 64).to_be_bytes());
    let publish = |address, events| quotas.publish(&tenant("t"), None, Some(address), events, 0);
    // One has used up all of its allowance.
    publish(ip(1), 100).unwrap();
    for network in 0..50_000 {
        publish(v6(network), 1).unwrap();
    }
    let tracked = rates.tracked();
    assert!(tracked <= 1600, "{tracked}");
    // The flood did not make it be forgotten: they who owe less go first.
    assert!(publish(ip(1), 1).is_err());
    // When all have their allowance back, newcomers find the table too large and make it small.
    clock.advance(Duration::from_secs(3600));
    for network in 100_000..102_000 {
        publish(v6(network), 1).unwrap();
        clock.advance(Duration::from_secs(2));
    }
    let tracked = rates.tracked();
    assert!(tracked < 100, "{tracked}");
}

#[test]
fn limits_hold_to_the_last_one_when_many_threads_take_and_give_back() {
    let clock = clock();
    let options = serde_json::json!({
        "user": { "connections": 3, "publishes_per_second": 1, "publishes_burst": 500 },
        "tenant": { "connections": 5, "publishes_per_second": 1, "publishes_burst": 1300 },
    });
    let quotas = quotas(options, &clock);
    let names = ["a", "b", "c", "d"];
    let live = std::array::from_fn::<_, 4, _>(|_| std::sync::atomic::AtomicU32::new(0));
    let published: usize = std::thread::scope(|threads| {
        let work = |seed: usize| {
            let (quotas, live) = (&quotas, &live);
            threads.spawn(move || {
                let mut published = 0;
                for round in 0..1000 {
                    let who = (seed + round) % names.len();
                    let name = user(names[who]);
                    if let Ok(permit) = quotas.session(&tenant("t"), Some(&name), None) {
                        let now = live[who].fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                        assert!(now <= 3, "{now} sessions of one user");
                        std::thread::yield_now();
                        live[who].fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(permit);
                    }
                    published += usize::from(quotas.publish(&tenant("t"), Some(&name), None, 1, 0).is_ok());
                }
                published
            })
        };
        let threads: Vec<_> = (0..8).map(work).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // A refusal by the tenant may for a moment hold a token of the user, never the other way round.
    assert_eq!(published, 1300);
    assert!(quotas.inner.counts.iter().all(|counts| counts.held().is_empty()));
}

#[test]
fn every_limit_has_a_name_of_its_own() {
    let names: std::collections::HashSet<_> = Limit::all().map(Limit::as_str).collect();
    assert_eq!(names.len(), Scope::ALL.len() * Measure::ALL.len());
}

/// What may happen to sessions and subscriptions.
#[derive(Debug, Clone)]
enum Step {
    Enter { tenant: u8, user: Option<u8>, address: u8 },
    Leave(prop::sample::Index),
    Subscribe(prop::sample::Index),
    Unsubscribe(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..2_u8, prop::option::of(0..3_u8), 0..3_u8)
            .prop_map(|(tenant, user, address)| Step::Enter { tenant, user, address }),
        1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        3 => any::<prop::sample::Index>().prop_map(Step::Subscribe),
        1 => any::<prop::sample::Index>().prop_map(Step::Unsubscribe),
    ];
    prop::collection::vec(step, 1..80)
}

type Who = (u8, Option<u8>, u8);

/// How many of these are of the same user, address and tenant as `who`.
fn same(all: &[Who], who: Who) -> HashMap<Scope, usize> {
    let count = |f: &dyn Fn(&Who) -> bool| all.iter().filter(|other| f(other)).count();
    let mut counts = HashMap::from([
        (Scope::Address, count(&|other| other.2 == who.2)),
        (Scope::Tenant, count(&|other| other.0 == who.0)),
    ]);
    if who.1.is_some() {
        counts.insert(Scope::User, count(&|other| (other.0, other.1) == (who.0, who.1)));
    }
    counts
}

proptest! {
    /// Places are given out exactly as long as a recount of all that are held leaves room.
    #[test]
    fn places_are_given_as_a_recount_says(steps in steps()) {
        let max = HashMap::from([(Scope::User, 2), (Scope::Address, 3), (Scope::Tenant, 4)]);
        let quotas = quotas(
            serde_json::json!({
                "user": { "connections": 2, "subscriptions": 2 },
                "address": { "connections": 3, "subscriptions": 3 },
                "tenant": { "connections": 4, "subscriptions": 4 },
            }),
            &clock(),
        );
        let mut sessions: Vec<(Who, Permit)> = Vec::new();
        let mut places: Vec<(Who, Place)> = Vec::new();
        let is_free = |held: &[Who], who: Who| same(held, who).iter().all(|(scope, held)| *held < max[scope]);
        for step in steps {
            match step {
                Step::Enter { tenant: t, user: u, address } => {
                    let who = (t, u, address);
                    let user = u.map(|u| user(&format!("u{u}")));
                    let entered = quotas.session(&tenant(&format!("t{t}")), user.as_ref(), Some(ip(address)));
                    let held: Vec<_> = sessions.iter().map(|(who, _)| *who).collect();
                    prop_assert_eq!(entered.is_ok(), is_free(&held, who));
                    sessions.extend(entered.ok().map(|permit| (who, permit)));
                }
                Step::Leave(at) if !sessions.is_empty() => {
                    drop(sessions.swap_remove(at.index(sessions.len())));
                }
                Step::Subscribe(at) if !sessions.is_empty() => {
                    let (who, permit) = &sessions[at.index(sessions.len())];
                    let held: Vec<_> = places.iter().map(|(who, _)| *who).collect();
                    let place = permit.subscription();
                    prop_assert_eq!(place.is_ok(), is_free(&held, *who));
                    places.extend(place.ok().map(|place| (*who, place)));
                }
                Step::Unsubscribe(at) if !places.is_empty() => {
                    drop(places.swap_remove(at.index(places.len())));
                }
                Step::Leave(_) | Step::Subscribe(_) | Step::Unsubscribe(_) => {}
            }
        }
        drop((sessions, places));
        prop_assert!(quotas.inner.counts.iter().all(|counts| counts.held().is_empty()));
    }

    /// Whatever order events come in, a user never publishes more than the burst and what came since.
    #[test]
    fn the_rate_is_kept_in_the_long_run(pauses in prop::collection::vec(0..400_u64, 1..300)) {
        let clock = clock();
        let options = serde_json::json!({ "user": { "publishes_per_second": 20, "publishes_burst": 7 } });
        let quotas = quotas(options, &clock);
        let (mut published, mut passed) = (0_u64, 0_u64);
        for millis in pauses {
            clock.advance(Duration::from_millis(millis));
            passed += millis;
            let answer = quotas.publish(&tenant("t"), Some(&user("u")), None, 1, 10);
            published += u64::from(answer.is_ok());
            prop_assert!(published <= 7 + passed * 20 / 1000);
            if let Err(Exceeded { retry_after, .. }) = answer {
                prop_assert!(retry_after.is_some_and(|wait| !wait.is_zero() && wait <= Duration::from_millis(50)));
            }
        }
    }
}
