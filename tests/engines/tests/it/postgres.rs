//! `PostgreSQL`.

use fanfare_test_engines::Postgres;

#[tokio::test]
async fn what_was_committed_survives_a_kill() {
    let postgres = Postgres::start().await;
    postgres.sql("CREATE TABLE t AS SELECT 7 AS n").await;
    for _ in 0..3 {
        postgres.kill();
        postgres.restart().await;
        assert_eq!(postgres.sql("SELECT n FROM t").await, "7");
    }
    let other = postgres.database("other").await;
    assert!(other.ends_with("/other"));
}

#[tokio::test]
async fn a_standby_follows_and_takes_over() {
    let primary = Postgres::start().await;
    let standby = primary.standby().await;
    primary.wait_for_standbys().await;
    primary.sql("CREATE TABLE t AS SELECT 7 AS n").await;
    primary.kill();
    standby.promote().await;
    assert_eq!(standby.sql("SELECT n FROM t").await, "7");
    standby.sql("INSERT INTO t VALUES (8)").await;
}
