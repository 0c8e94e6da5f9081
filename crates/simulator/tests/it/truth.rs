//! The truth is the same whenever it is asked, and a faithful reader ends up with it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sincro_simulator::{KnownBy, Population, Settings, Simulator};

use crate::client::{few, history, simulator};

#[tokio::test]
async fn the_same_seed_gives_the_same_truth_whatever_is_asked_first() -> Result<()> {
    let (one, other) = (simulator(few(50)).await?.truth(), simulator(few(50)).await?.truth());
    let addresses: Vec<String> = one.addresses().map(str::to_owned).collect();
    let forwards: BTreeMap<_, _> = addresses.iter().map(|address| (address, one.chat(address, 9))).collect();
    let backwards: BTreeMap<_, _> = addresses.iter().rev().map(|address| (address, other.chat(address, 9))).collect();
    assert_eq!(forwards, backwards);
    assert_eq!(one.report(30), other.report(30));

    let another = simulator(Population { seed: 2, ..few(50) }).await?.truth();
    assert!(one.expected(30).is_disjoint(&another.expected(30)));
    Ok(())
}

#[tokio::test]
async fn addresses_and_message_ids_are_never_shared() -> Result<()> {
    let crowd = Population { share_lid_only: 0.1, share_paired: 0.1, messages_mean: 3, ..few(20_000) };
    let truth = simulator(crowd).await?.truth();
    let addresses: Vec<&str> = truth.addresses().collect();
    assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len());

    let mut owner: BTreeMap<String, u32> = BTreeMap::new();
    for person in &truth.persons()[..2_000] {
        for message in person.addresses().flat_map(|address| truth.chat(address, usize::MAX)) {
            assert_eq!(*owner.entry(message.message_id).or_insert(person.number), person.number);
        }
    }
    assert!(owner.len() > 4_000);
    Ok(())
}

#[tokio::test]
async fn persons_are_known_in_the_shares_asked_for() -> Result<()> {
    let mixed = Population { share_without_lid: 0.2, share_lid_only: 0.1, share_paired: 0.3, ..few(2_000) };
    let truth = simulator(mixed).await?.truth();
    let count = |known_by| truth.persons().iter().filter(|person| person.known_by == known_by).count();
    assert!((340..460).contains(&count(KnownBy::PhoneWithoutLid)));
    assert!((150..250).contains(&count(KnownBy::LidOnly)));
    assert!((520..680).contains(&count(KnownBy::Both)));
    let empty =
        |person: &&sincro_simulator::Person| person.addresses().all(|address| truth.chat(address, 1).is_empty());
    assert!((110..210).contains(&truth.persons().iter().filter(empty).count()));
    Ok(())
}

#[tokio::test]
async fn a_reader_of_every_address_ends_up_with_the_expected_ids() -> Result<()> {
    let mixed = Population { share_lid_only: 0.1, share_paired: 0.1, share_cross_posted: 0.3, ..few(40) };
    let simulator = simulator(mixed).await?;
    let truth = simulator.truth();
    let (mut ids, mut rows) = (BTreeSet::new(), 0);
    for address in truth.addresses() {
        // The last that were inserted are not the newest: whoever wants these looks at all.
        let mut data = history(&simulator, address, 100).await?.data()?;
        let chat = data.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
        chat.sort_by_cached_key(|row| Reverse(best_time(row).ok()));
        for row in chat.iter().take(7) {
            ids.insert(row["message_id"].as_str().context("an id")?.to_owned());
            rows += 1;
        }
    }
    assert_eq!(ids, truth.expected(7));
    assert_eq!(rows, truth.expected_rows(7));
    assert!(rows > ids.len(), "some messages are stored under both addresses");
    assert_eq!(simulator.calls().per_address().len(), truth.addresses().count());
    Ok(())
}

#[tokio::test]
async fn the_best_reading_of_a_row_gives_the_time_the_truth_says_can_be_read() -> Result<()> {
    let simulator = simulator(Population { share_unreadable: 0.3, ..few(40) }).await?;
    let truth = simulator.truth();
    for address in truth.addresses() {
        let data = history(&simulator, address, 100).await?.data()?;
        for (row, true_message) in data.as_array().into_iter().flatten().filter_map(|row| {
            let chat = truth.chat(address, 100);
            Some((row, chat.into_iter().find(|message| row["message_id"] == message.message_id.as_str())?))
        }) {
            assert_eq!(best_time(row)?, true_message.readable_at);
            let inserted: DateTime<Utc> = row["timestamp"].as_str().context("a time")?.parse()?;
            assert!(inserted >= true_message.sent_at);
        }
    }
    Ok(())
}

/// The event's time, else the phone's seconds, else the time of insertion.
fn best_time(row: &Value) -> Result<DateTime<Utc>> {
    let record: Value = serde_json::from_str(row["data_json"].as_str().unwrap_or_default()).unwrap_or_default();
    if let Some(time) = record["Info"]["Timestamp"].as_str() {
        return Ok(DateTime::parse_from_rfc3339(time)?.to_utc());
    }
    if let Some(seconds) = record["RawMessage"]["messageTimestamp"].as_i64() {
        return DateTime::from_timestamp(seconds, 0).context("in range");
    }
    Ok(row["timestamp"].as_str().context("a time")?.parse()?)
}

#[tokio::test]
async fn a_history_blob_is_inserted_newest_first() -> Result<()> {
    let only_history = Population {
        share_sent_by_api: 0.0,
        share_history_sync: 1.0,
        share_empty: 0.0,
        share_without_lid: 1.0,
        messages_mean: 20,
        messages_max: 20,
        ..few(1)
    };
    let simulator = simulator(only_history).await?;
    let truth = simulator.truth();
    let address = truth.addresses().next().context("an address")?.to_owned();
    let data = history(&simulator, &address, 20).await?.data()?;
    let times = data.as_array().into_iter().flatten().map(best_time).collect::<Result<Vec<_>>>()?;
    assert_eq!(times.len(), 20);
    assert!(times.is_sorted(), "the last inserted is the first sent");
    Ok(())
}

#[tokio::test]
async fn settings_that_cannot_be_drawn_are_refused_by_name() -> Result<()> {
    let start = |settings: Settings| async move {
        Simulator::start(settings).await.err().map(|error| format!("{error:#}")).context("it started")
    };
    let population = Population { share_empty: 1.5, ..few(1) };
    assert!(start(Settings { population, ..Settings::default() }).await?.contains("share_empty"));
    let population = Population { share_paired: 0.6, share_lid_only: 0.6, ..few(1) };
    assert!(start(Settings { population, ..Settings::default() }).await?.contains("the sum of"));
    assert!(start(Settings { tokens: Vec::new(), ..Settings::default() }).await?.contains("tokens"));
    Ok(())
}

#[tokio::test]
async fn texts_with_a_nul_character_can_be_asked_for() -> Result<()> {
    let simulator = simulator(Population { share_with_nul: 1.0, share_empty: 0.0, ..few(3) }).await?;
    let truth = simulator.truth();
    let mut texts = Vec::new();
    for address in truth.addresses() {
        let data = history(&simulator, address, 50).await?.data()?;
        texts.extend(
            data.as_array().into_iter().flatten().filter_map(|row| row["text_content"].as_str().map(str::to_owned)),
        );
    }
    assert!(texts.iter().any(|text| text.contains('\0')));
    Ok(())
}
