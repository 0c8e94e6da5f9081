//! What was stored, read back.

use sincro_simulator::Population;

use crate::support::{Stage, audit, people};

#[tokio::test]
async fn a_person_has_the_same_messages_under_both_addresses() {
    let population = Population { share_paired: 0.3, share_lid_only: 0.1, share_cross_posted: 0.3, ..people(20) };
    let stage = Stage::of(population).await;
    stage.sync().await;
    let truth = stage.gateway.truth();
    audit::messages_are_the_truth(&stage.api, stage.channel, &truth, 25).await;
    let (mut both, mut read) = (0, 0);
    for person in truth.persons() {
        let mut of_each = Vec::new();
        for address in person.addresses() {
            let found = stage.api.messages_of(stage.channel, address).await;
            let order: Vec<_> = found.iter().map(|message| (message.sent_at, message.message_id.clone())).collect();
            assert!(order.is_sorted_by(|a, b| a < b), "{address}: in the order of their times, each once");
            assert!(found.iter().all(|message| person.addresses().any(|address| message.address == address)));
            of_each.push(order);
        }
        let expected: std::collections::BTreeSet<_> =
            person.addresses().flat_map(|address| truth.chat(address, 25)).map(|message| message.message_id).collect();
        assert_eq!(of_each[0].len(), expected.len(), "{person:?}");
        read += of_each[0].len();
        if let [by_phone, by_lid] = of_each.as_slice() {
            assert_eq!(by_phone, by_lid, "{person:?}");
            both += 1;
        }
    }
    assert!(both > 5, "persons with two addresses: {both}");
    assert_eq!(read, stage.api.messages(stage.channel).await.len(), "everybody's messages are all messages");
}

#[tokio::test]
async fn another_spelling_of_an_address_finds_the_same_person_and_another_channel_does_not() {
    let stage = Stage::of(people(3)).await;
    stage.sync().await;
    let truth = stage.gateway.truth();
    let phone = truth.persons()[0].phone_jid.as_deref().unwrap();
    let digits = phone.split('@').next().unwrap();
    let found = stage.api.messages_of(stage.channel, phone).await.len();
    for spelling in [format!("{digits}@c.us"), format!("{digits}:12@s.whatsapp.net")] {
        assert_eq!(stage.api.messages_of(stage.channel, &spelling).await.len(), found, "{spelling}");
    }
    let other = stage.api.create_channel(&stage.gateway, crate::support::stage::FAST).await;
    let refused = stage.api.get(&format!("/v1/channels/{other}/messages?address={phone}")).await;
    assert_eq!(refused.refused(404), "contact_not_found");
    assert!(stage.api.messages(other).await.is_empty());
}

#[tokio::test]
async fn a_page_behind_a_message_that_is_not_there_is_refused() {
    let stage = Stage::of(people(3)).await;
    stage.sync().await;
    let path = format!("/v1/channels/{}/messages", stage.channel);
    let refused = stage.api.get(&format!("{path}?after=nobody")).await;
    assert_eq!(refused.refused(422), "invalid_value");
    assert_eq!(refused.json::<serde_json::Value>()["field"], "after");
}
