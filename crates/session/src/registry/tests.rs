//! What holds whatever a session speaks.

use std::sync::Arc;

use fanfare_auth::{Auth, Door, Issuer, KeySource, MintRequest, Principal, Secret};
use fanfare_model::{Duration, ManualClock, SessionId, SystemClock, Tenant, Timestamp, Topic, UserId};
use futures_util::FutureExt as _;

use super::{Nudge, Order, Protocol, Registry, Session, SessionInfo, Whose};
use crate::{From, Goodbye, Options};

/// Somebody whose credentials end at `expires_at`, in seconds.
fn alice(expires_at: Option<i64>) -> Arc<Principal> {
    let secret = Secret::new("a secret of a test that is long enough for HS256");
    let issuer = Issuer { keys: vec![KeySource { secret: Some(secret), ..KeySource::default() }], ..Issuer::default() };
    let options = fanfare_auth::Options { issuers: [("app".to_owned(), issuer)].into(), ..Default::default() };
    let auth = Auth::new(options, Arc::new(SystemClock)).unwrap();
    let user = Some(UserId::new("alice").unwrap());
    let token = auth.mint(MintRequest { user, ..MintRequest::default() }).unwrap();
    let mut principal = auth.authenticate(Door::Client, &token).unwrap();
    principal.expires_at = expires_at.map(Timestamp::from_seconds);
    Arc::new(principal)
}

fn register(registry: &Registry, id: &str, expires_at: Option<i64>) -> Session {
    let principal = alice(expires_at);
    let info = SessionInfo {
        id: SessionId::new(id).unwrap(),
        tenant: principal.tenant.clone(),
        user: principal.user.clone(),
        protocol: Protocol::WebSocket,
        connected_at: Timestamp::from_seconds(0),
        expires_at: principal.expires_at,
        address: None,
        client: None,
    };
    registry.register(info, principal).unwrap()
}

fn nudge(session: &Session) -> Option<Nudge> {
    session.nudged().now_or_never()
}

#[test]
fn who_goes_on_with_a_session_has_its_id_for_good() {
    let registry = Registry::new(Options { sessions_max: 1, ..Options::default() }, Arc::new(SystemClock));
    let first = register(&registry, "s", None);
    // There is room for one that takes a place, however few there are.
    let second = register(&registry, "s", None);
    assert_eq!(nudge(&first), Some(Nudge::End(Goodbye::Replaced)));
    assert!(first.is_taken_over() && !second.is_taken_over());
    drop(first);
    assert_eq!((nudge(&second), registry.len()), (None, 1));
    assert!(registry.disconnect(&Tenant::default(), &SessionId::new("s").unwrap()));
    assert_eq!(nudge(&second), Some(Nudge::End(Goodbye::Disconnected)));
    drop(second);
    assert!(registry.is_empty());
    assert!(!registry.disconnect(&Tenant::default(), &SessionId::new("s").unwrap()));
}

#[test]
fn a_users_newest_session_is_the_only_one_where_there_may_be_one() {
    let options = Options { single_per_user: true, sessions_per_user_max: 1, ..Options::default() };
    let registry = Registry::new(options, Arc::new(SystemClock));
    let (first, second) = (register(&registry, "a", None), register(&registry, "b", None));
    assert_eq!(nudge(&first), Some(Nudge::End(Goodbye::Replaced)));
    // It goes on to be itself: nobody has its id.
    assert!(!first.is_taken_over());
    assert_eq!(nudge(&second), None);
}

#[test]
fn orders_come_in_order_and_not_without_end() {
    let registry = Registry::new(Options::default(), Arc::new(SystemClock));
    let (first, second) = (register(&registry, "a", None), register(&registry, "b", None));
    let topic = |n: usize| Topic::new(format!("t:{n}")).unwrap();
    let one = Whose::Session(Tenant::default(), SessionId::new("a").unwrap());
    let told: usize = (0..300).map(|n| registry.subscribe(&one, &topic(n), &From::Now)).sum();
    assert_eq!(told, 256);
    let all = Whose::User(Tenant::default(), UserId::new("alice").unwrap());
    assert_eq!(registry.unsubscribe(&all, &topic(0)), 1, "one has room");
    assert_eq!((nudge(&first), nudge(&first)), (Some(Nudge::Orders), None));
    let orders = first.take_orders();
    assert!((0..256).map(|n| Order::Subscribe { topic: topic(n), from: From::Now }).eq(orders));
    assert_eq!(second.take_orders(), [Order::Unsubscribe { topic: topic(0) }]);
    let stranger = Whose::Session(Tenant::new("other").unwrap(), SessionId::new("a").unwrap());
    assert_eq!(registry.unsubscribe(&stranger, &topic(0)), 0);
}

#[test]
fn credentials_are_warned_of_once_and_end_in_time() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(0)));
    let options = Options { expiry_warning: Duration::from_secs(30), ..Options::default() };
    let registry = Registry::new(options, Arc::clone(&clock) as _);
    let at = |seconds| {
        clock.set(Timestamp::from_seconds(seconds));
        registry.end_expired();
    };
    let (long, short, endless) = (
        register(&registry, "long", Some(100)),
        register(&registry, "short", Some(20)),
        register(&registry, "x", None),
    );
    at(19);
    assert_eq!((nudge(&long), nudge(&short), nudge(&endless)), (None, None, None));
    at(20);
    assert_eq!((nudge(&long), nudge(&short)), (None, Some(Nudge::End(Goodbye::Expired))));
    at(70);
    assert_eq!((nudge(&long), nudge(&long)), (Some(Nudge::Expiring), None));
    // New ones: warned of again, in their time.
    long.refresh(alice(Some(200)));
    at(100);
    assert_eq!(nudge(&long), None);
    at(170);
    assert_eq!(nudge(&long), Some(Nudge::Expiring));
    at(199);
    assert_eq!(nudge(&long), None);
    at(200);
    assert_eq!(nudge(&long), Some(Nudge::End(Goodbye::Expired)));
    drop((long, short, endless));
    assert!(registry.inner.table.lock().expiring.is_empty(), "nothing is left behind");
}
