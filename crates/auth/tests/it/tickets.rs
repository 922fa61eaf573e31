//! Tickets: good once, for seconds, for no more than was asked.

use std::sync::Arc;
use std::time::Duration;

use fanfare_auth::{
    Action, Auth, Credential, Door, Error, Grant, Options, Pattern, Principal, Reason, Revocation, Ticket,
    TicketRequest,
};
use fanfare_model::{Kind, ManualClock, SessionId, Tenant, Timestamp, Topic, UserId};
use proptest::prelude::*;
use serde_json::json;

use crate::forge::{NOW, auth, claiming, clock, options};

const PAGE: &str = "https://app.example";

fn alice(auth: &Auth) -> Principal {
    let claims = json!({"topics": ["chat:*", "user:{user}"], "fanfare": {"subscribe": ["chat:1", "chat:2"]}});
    auth.authenticate(Door::Client, &claiming(claims)).unwrap()
}

fn asked(principal: Principal) -> TicketRequest {
    TicketRequest { principal, origin: None, topics: None }
}

fn reason(redeemed: Result<Principal, fanfare_auth::Refusal>) -> Option<Reason> {
    redeemed.err().map(|refusal| refusal.reason())
}

fn redeem(auth: &Auth, ticket: &Ticket) -> Option<Reason> {
    reason(auth.redeem(Door::Client, &ticket.text, None))
}

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

#[test]
fn a_ticket_is_good_once() {
    let auth = auth(options());
    let principal = alice(&auth);
    let mut resumed = principal.clone();
    resumed.resumes = Some(SessionId::generate());
    let ticket = auth.ticket(asked(resumed)).unwrap();
    assert!(ticket.text.starts_with("ft1.") && ticket.text.len() == 47);
    assert_eq!(ticket.expires_in, Duration::from_secs(30));
    assert!(!format!("{ticket:?}").contains(&ticket.text));
    let again = auth.redeem(Door::Client, &ticket.text, Some(PAGE)).unwrap();
    assert_eq!((&again.user, &again.credential), (&principal.user, &principal.credential));
    assert_eq!((again.expires_at, again.grants()), (principal.expires_at, principal.grants()));
    // It begins a session of its own.
    assert_eq!(again.resumes, None);
    assert_eq!(redeem(&auth, &ticket), Some(Reason::UnknownTicket));
    // It is no token, and no ticket of another node.
    let ticket = auth.ticket(asked(principal)).unwrap();
    assert_eq!(reason(auth.authenticate(Door::Client, &ticket.text)), Some(Reason::UnknownTicket));
    assert_eq!(redeem(&crate::forge::auth(options()), &ticket), Some(Reason::UnknownTicket));
    assert_eq!(redeem(&auth, &ticket), None);
}

#[test]
fn a_ticket_is_good_for_seconds_and_no_longer_than_what_it_was_asked_with() {
    let clock = clock();
    let auth = Auth::new(options(), Arc::<ManualClock>::clone(&clock) as Arc<_>).unwrap();
    let (early, late) = (auth.ticket(asked(alice(&auth))).unwrap(), auth.ticket(asked(alice(&auth))).unwrap());
    clock.set(Timestamp::from_micros((NOW + 30) * 1_000_000 - 1));
    assert_eq!(redeem(&auth, &early), None);
    clock.set(Timestamp::from_seconds(NOW + 30));
    assert_eq!(redeem(&auth, &late), Some(Reason::UnknownTicket));
    clock.set(Timestamp::from_seconds(NOW + 590));
    let last = auth.ticket(asked(alice(&auth))).unwrap();
    clock.set(Timestamp::from_seconds(NOW + 600));
    assert_eq!(redeem(&auth, &last), Some(Reason::Expired));
}

#[test]
fn a_ticket_of_an_origin_is_for_its_pages_and_a_wrong_one_uses_it_up() {
    let auth = auth(options());
    let ticket = || {
        let request = TicketRequest { origin: Some(PAGE.to_owned()), ..asked(alice(&auth)) };
        auth.ticket(request).unwrap().text
    };
    assert_eq!(reason(auth.redeem(Door::Client, &ticket(), Some(PAGE))), None);
    for wrong in [None, Some("https://evil.example"), Some("https://app.example.evil"), Some("null")] {
        let text = ticket();
        assert_eq!(reason(auth.redeem(Door::Client, &text, wrong)), Some(Reason::UnknownTicket));
        assert_eq!(reason(auth.redeem(Door::Client, &text, Some(PAGE))), Some(Reason::UnknownTicket));
    }
    let text = ticket();
    assert_eq!(reason(auth.redeem(Door::Server, &text, Some(PAGE))), Some(Reason::WrongDoor));
}

#[test]
fn a_ticket_is_narrowed_to_its_topics() {
    let auth = auth(options());
    let topics = ["chat:1", "user:*", "orders:*"].map(|text| Pattern::parse(text).unwrap());
    let request = TicketRequest { topics: Some(topics.to_vec()), ..asked(alice(&auth)) };
    let narrow = auth.redeem(Door::Client, &auth.ticket(request).unwrap().text, None).unwrap();
    for (on, expected) in
        [("chat:1", true), ("chat:2", false), ("user:alice", true), ("user:bob", false), ("orders:1", false)]
    {
        assert_eq!(narrow.may(Action::Subscribe, &topic(on)), expected, "{on}");
        assert!(!narrow.may(Action::Publish, &topic(on)));
    }
    assert_eq!(narrow.subscribe, [topic("chat:1")]);
    // A ticket of a ticket cannot be wider.
    let every = TicketRequest { topics: Some(vec![Pattern::parse("*").unwrap()]), ..asked(narrow.clone()) };
    let again = auth.redeem(Door::Client, &auth.ticket(every).unwrap().text, None).unwrap();
    assert_eq!(again.grants(), narrow.grants());
}

#[test]
fn a_backend_asks_in_the_name_of_a_user() {
    let clock = clock();
    let auth =
        Auth::new(Options { issuers: [].into(), ..options() }, Arc::<ManualClock>::clone(&clock) as Arc<_>).unwrap();
    let acme = Tenant::new("acme").unwrap();
    let grants = [Grant::to_listen(vec![Pattern::parse("user:{user}").unwrap()])];
    let make = |user: &str| auth.ticket_for(acme.clone(), Some(UserId::new(user).unwrap()), &grants, None).unwrap();
    let principal = auth.redeem(Door::Client, &make("alice").text, None).unwrap();
    assert_eq!((principal.tenant.as_str(), principal.user.as_ref().unwrap().as_str()), ("acme", "alice"));
    assert_eq!((&*principal.issuer, principal.credential.kind()), ("tickets", "ticket"));
    assert!(
        principal.may(Action::Subscribe, &topic("user:alice")) && !principal.may(Action::Subscribe, &topic("user:bob"))
    );
    assert_eq!(principal.expires_at, Some(Timestamp::from_seconds(NOW + 3600)));
    // Its session can be resumed, and ends with the user.
    let resume = auth.seal(&principal, &SessionId::generate()).unwrap().text;
    assert_eq!(auth.authenticate(Door::Client, &resume).unwrap().credential, principal.credential);
    let revocations = auth.revocations();
    let ticket = make("alice");
    auth.revoke(Revocation::Block { tenant: acme.clone(), user: UserId::new("alice").unwrap() }).unwrap();
    assert!(revocations.is_revoked(&principal));
    assert_eq!(redeem(&auth, &ticket), Some(Reason::UserBlocked));
    assert_eq!(reason(auth.authenticate(Door::Client, &resume)), Some(Reason::UserBlocked));
    let bob = make("bob");
    clock.advance(Duration::from_secs(1));
    let issued_before = Timestamp::from_seconds(NOW + 1);
    auth.revoke(Revocation::UserTokens { tenant: acme.clone(), user: UserId::new("bob").unwrap(), issued_before })
        .unwrap();
    assert_eq!(redeem(&auth, &bob), Some(Reason::Revoked));
    assert_eq!(redeem(&auth, &make("bob")), None);
}

#[test]
fn a_backend_s_own_authority_gets_into_no_ticket() {
    let auth = auth(options());
    let backend = auth.authenticate(Door::Server, &claiming(json!({"aud": "fanfare-server"}))).unwrap();
    assert!(matches!(auth.ticket(asked(backend)), Err(Error::Invalid(_))));
}

#[test]
fn a_revoked_token_s_ticket_is_refused() {
    let auth = auth(options());
    let principal = alice(&auth);
    let Credential::Token { id: Some(id), .. } = principal.credential.clone() else { panic!("no id") };
    let ticket = auth.ticket(asked(principal.clone())).unwrap();
    auth.revoke(Revocation::Token { tenant: principal.tenant, id }).unwrap();
    assert_eq!(redeem(&auth, &ticket), Some(Reason::Revoked));
}

#[test]
fn the_number_of_tickets_is_bounded_and_time_makes_room() {
    let clock = clock();
    let auth = Auth::new(Options { tickets_max: 2, ..options() }, Arc::<ManualClock>::clone(&clock) as Arc<_>).unwrap();
    let first = auth.ticket(asked(alice(&auth))).unwrap();
    assert_eq!(redeem(&auth, &first), None);
    auth.ticket(asked(alice(&auth))).unwrap();
    let error = auth.ticket(asked(alice(&auth))).unwrap_err();
    assert!(matches!(error, Error::TooManyTickets(2)) && error.kind() == Kind::Overloaded);
    clock.advance(Duration::from_secs(30));
    auth.ticket(asked(alice(&auth))).unwrap();
}

#[test]
fn many_at_once_redeem_it_once() {
    let auth = auth(options());
    let ticket = auth.ticket(asked(alice(&auth))).unwrap();
    let redeemed: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| usize::from(redeem(&auth, &ticket).is_none()))).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(redeemed, 1);
}

proptest! {
    #[test]
    fn nothing_that_was_not_made_here_gets_in(text in "ft1\\.[A-Za-z0-9]{43}|ft1\\.\\PC{0,60}|\\PC{0,60}") {
        let auth = auth(options());
        auth.ticket(asked(alice(&auth))).unwrap();
        prop_assert_eq!(reason(auth.redeem(Door::Client, &text, None)), Some(Reason::UnknownTicket));
    }
}
