//! One person, whatever the addresses.

use sincro_core::{
    contact::Contact,
    job::{Outcome, Step},
};
use sincro_store::settle::{Recorded, Settlement};

use crate::world::{World, by_both, by_lid, by_phone, lid, message, phone};

/// What a LID lookup of this job brings.
fn learned(world: &World, job: &sincro_core::job::Job, n: u32) -> Settlement {
    let next = Step::History { address: lid(n), cursor: None };
    Settlement { learned: Some(lid(n)), ..world.settlement(job, Outcome::Next(next), Vec::new()) }
}

#[tokio::test]
async fn two_records_that_turn_out_to_be_one_person_are_merged_with_their_messages() {
    let world = World::new().await;
    let (_, jobs) = world.sync_of(vec![by_phone(1), by_lid(1)]).await;
    let [by_phone_job, lookup, by_lid_job] = jobs.as_slice() else { panic!("{jobs:?}") };
    world.finish(by_phone_job, vec![message("A")]).await;
    world.finish(by_lid_job, vec![message("B")]).await;
    assert_eq!(world.count("SELECT count(DISTINCT contact_id) FROM messages").await, 2);

    // The LID behind the phone number is the other record's, which has been asked by a job of its own.
    let settled = world.settle(&[learned(&world, lookup, 1)]).await;
    assert_eq!(settled.recorded, [Recorded::Ended]);
    assert_eq!(world.count("SELECT count(*) FROM contacts WHERE merged_into IS NULL").await, 1);
    assert_eq!(world.count("SELECT count(DISTINCT contact_id) FROM messages").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM jobs WHERE reason = 'asked by another job'").await, 1);
    for address in [phone(1), lid(1)] {
        let messages = world.store.messages(world.channel.id, Some(&address), None, 10).await.unwrap();
        assert_eq!(messages.len(), 2, "{address}");
    }
}

#[tokio::test]
async fn messages_that_arrive_for_a_merged_record_go_to_the_survivor() {
    let world = World::new().await;
    let (_, jobs) = world.sync_of(vec![by_phone(1), by_lid(1)]).await;
    let [_, lookup, by_lid_job] = jobs.as_slice() else { panic!("{jobs:?}") };
    world.settle(&[learned(&world, lookup, 1)]).await;
    world.finish(by_lid_job, vec![message("late")]).await;
    let messages = world.store.messages(world.channel.id, Some(&phone(1)), None, 10).await.unwrap();
    assert_eq!(messages[0].message_id, "late");
}

#[tokio::test]
async fn a_learned_lid_is_kept_for_the_next_sync() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    world.settle(&[learned(&world, &jobs[1], 1)]).await;
    world.store.cancel_sync(sync, None).await.unwrap();
    let (_, jobs) = world.sync_of(vec![by_phone(1)]).await;
    assert_eq!(jobs[1].step, Step::History { address: lid(1), cursor: None });
}

#[tokio::test]
async fn a_list_with_both_addresses_joins_what_was_known_apart() {
    let world = World::new().await;
    let (sync, _) = world.sync_of(vec![by_phone(1), by_lid(1)]).await;
    world.store.cancel_sync(sync, None).await.unwrap();
    let (_, jobs) = world.sync_of(vec![by_both(1)]).await;
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[0].contact, jobs[1].contact);
    assert_eq!(world.count("SELECT count(*) FROM contacts WHERE merged_into IS NULL").await, 1);
}

#[tokio::test]
async fn a_lid_that_belongs_to_another_phone_number_stays_there() {
    let world = World::new().await;
    let (_, jobs) = world.sync_of(vec![by_both(1), by_phone(2)]).await;
    let lookup = &jobs[3];
    let settled = world.settle(&[learned(&world, lookup, 1)]).await;
    assert_eq!(settled.recorded, [Recorded::Ended], "person 1 has a job for that LID in this sync");
    assert_eq!(world.count("SELECT count(*) FROM contacts WHERE merged_into IS NULL").await, 2);
}

#[tokio::test]
async fn a_listed_person_whose_lid_is_somebody_elses_is_asked_under_the_phone_number() {
    let world = World::new().await;
    let (sync, _) = world.sync_of(vec![by_both(1)]).await;
    world.store.cancel_sync(sync, None).await.unwrap();
    let contested = Contact::new(Some(phone(2)), Some(lid(1)), None).unwrap();
    let (sync, jobs) = world.sync_of(vec![contested]).await;
    assert_eq!(jobs[0].step, Step::History { address: phone(2), cursor: None });
    assert_eq!(world.status(sync).await.jobs.total, 2);
}

#[tokio::test]
async fn one_lid_learned_for_two_persons_in_one_batch_goes_to_one_of_them() {
    let world = World::new().await;
    let (_, jobs) = world.sync_of(vec![by_phone(1), by_phone(2)]).await;
    let settled = world.settle(&[learned(&world, &jobs[1], 9), learned(&world, &jobs[3], 9)]).await;
    assert_eq!(settled.recorded.iter().filter(|recorded| **recorded == Recorded::Next).count(), 1);
    assert_eq!(world.count("SELECT count(*) FROM contacts WHERE lid IS NOT NULL").await, 1);
}

#[tokio::test]
async fn a_name_is_taken_over_and_not_forgotten() {
    let world = World::new().await;
    let named = Contact::under(phone(1), Some("Ana".to_owned()));
    let (sync, _) = world.sync_of(vec![named]).await;
    world.store.cancel_sync(sync, None).await.unwrap();
    world.sync_of(vec![by_phone(1)]).await;
    assert_eq!(world.count("SELECT count(*) FROM contacts WHERE name = 'Ana'").await, 1);
}
