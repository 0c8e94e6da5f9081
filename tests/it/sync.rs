//! A channel sync from request to receipt.

use sincro_core::sync::SyncState;

use crate::support::{Stage, audit, people};

#[tokio::test]
async fn a_thousand_contacts_end_as_two_thousand_finished_jobs() {
    let stage = Stage::of(people(1_000)).await;
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}
