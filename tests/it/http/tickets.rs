//! A ticket sync: somebody waits for it.

use sincro_core::{limit::Limit, sync::SyncState};
use sincro_simulator::Call;

use crate::support::{Person, Stage, audit, gateway::is_history, people, within};

#[tokio::test]
async fn a_ticket_sync_goes_ahead_of_the_bulk_sync_of_its_channel() {
    let limit = Limit { rate_per_second: 300.0, burst: 1, concurrency: 4 };
    let stage = Stage::with(people(201), limit, &[]).await;
    let truth = stage.gateway.truth();
    let (waited_for, bulk) = truth.persons().split_last().unwrap();
    let bulk: Vec<_> = bulk
        .iter()
        .map(|person| Person { phone_jid: person.phone_jid.clone(), lid: person.lid.clone(), name: None })
        .collect();
    let is_ticket = |call: &Call| waited_for.addresses().any(|address| call.address.as_deref() == Some(address));

    let running = stage.api.start_sync_of(stage.channel, 25, &bulk).await.id;
    within("the bulk sync to be on its way", stage.gateway.calls().wait_for(20, is_history)).await;
    let address = waited_for.addresses().next().unwrap();
    let ticket = stage.api.start_ticket(stage.channel, address, 25).await.id;
    let end = stage.api.end_of(ticket).await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 2));
    let status = stage.api.status(running).await;
    assert_eq!(status.state, SyncState::Running, "the ticket was done first");

    let calls = stage.gateway.calls().all();
    let first = calls.iter().position(is_ticket).expect("the ticket's chat was asked for");
    let ahead = calls[..first].iter().filter(|call| is_history(call)).count();
    assert!(ahead < 200, "{ahead} of some 380 calls of the bulk sync came before it");
    // The bulk sync was passed, not dropped.
    assert!(calls[first..].iter().any(|call| is_history(call) && !is_ticket(call)) || status.jobs.open() > 0);
    assert!(stage.api.end_of(running).await.state == SyncState::Completed);
}

#[tokio::test]
async fn any_number_of_ticket_syncs_run_beside_each_other() {
    let stage = Stage::of(people(8)).await;
    let truth = stage.gateway.truth();
    let mut tickets = Vec::new();
    for address in truth.addresses() {
        tickets.push((address, stage.api.start_ticket(stage.channel, address, 25).await.id));
    }
    for (address, ticket) in tickets {
        let end = stage.api.end_of(ticket).await;
        assert_eq!(end.state, SyncState::Completed, "{address}: {end:?}");
    }
    // Two tickets, one by phone and one by LID, were about one person, and that was found out.
    audit::messages_are_the_truth(&stage.api, stage.channel, &truth, 25).await;
    for person in truth.persons() {
        let mut of_each = Vec::new();
        for address in person.addresses() {
            let found = stage.api.messages_of(stage.channel, address).await;
            of_each.push(found.into_iter().map(|message| message.message_id).collect::<Vec<_>>());
        }
        assert!(of_each.windows(2).all(|two| two[0] == two[1]), "{person:?}: {of_each:?}");
    }
}
