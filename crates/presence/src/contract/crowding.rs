//! More members than are named.

use fanfare_bus::PresencePolicy;

use super::{Bench, cases, topic};
use crate::change::Telling;

cases! {
    above_the_limit_only_the_number_is_told,
}

async fn above_the_limit_only_the_number_is_told(bench: Bench) {
    let bench = bench.with_policy(PresencePolicy { members_max: 20, ..PresencePolicy::default() });
    let a = topic("a");
    for n in 0..20 {
        bench.enter(&a, &format!("s{n:02}"), "").await;
    }
    assert_eq!(bench.list(&a).await.len(), 20);
    let last = async || bench.changes(&a).await.pop().map(|change| (change.count, change.telling));
    assert_eq!(last().await, Some((20, Telling::Members)));
    bench.enter(&a, "s20", "").await;
    assert_eq!(last().await, Some((21, Telling::Occupancy)));
    let members = bench.members(&a).await;
    assert_eq!((members.occupancy_only, members.count, members.members.len(), members.next), (true, 21, 0, None));
    bench.update(&a, "s00", "1").await.expect("a member may update all the same");
    for n in [20, 19] {
        bench.leave(&a, &format!("s{n:02}")).await;
        assert_eq!(last().await.map(|(_, telling)| telling), Some(Telling::Occupancy), "a tenth fewer are needed");
        assert!(bench.members(&a).await.occupancy_only);
    }
    bench.leave(&a, "s18").await;
    assert_eq!(last().await, Some((18, Telling::MembersAgain)));
    let again = bench.list(&a).await;
    assert_eq!((again.len(), again[0].as_str()), (18, "s00=1"));
    bench.enter(&a, "s18", "").await;
    assert_eq!(last().await, Some((19, Telling::Members)));
}
