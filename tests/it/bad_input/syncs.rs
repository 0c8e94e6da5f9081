//! Syncs that cannot be: counts, addresses, lists.

use reqwest::Method;
use serde_json::json;

use super::{LID, PHONE, Quiet, sync_of};

#[tokio::test]
async fn a_message_count_must_be_1_to_100() {
    let quiet = Quiet::open().await;
    let ticket = format!("/v1/channels/{}/contacts/{PHONE}/syncs", quiet.channel);
    for count in [
        json!(0),
        json!(101),
        json!("ten"),
        json!("10"),
        json!(-1),
        json!(2.5),
        json!(null),
        json!([1]),
        json!(1u64 << 32),
    ] {
        let refusal = (422, "invalid_value", "messages_per_contact");
        quiet.refuses_sync(&json!({"messages_per_contact": count}), refusal).await;
        quiet.refuses_sync(&json!({"messages_per_contact": count, "contacts": [{"lid": LID}]}), refusal).await;
        let body = json!({"messages": count});
        quiet.refuses(&body.to_string(), quiet.post(&ticket, &body), (422, "invalid_value", "messages")).await;
    }
    quiet.still_works().await;
}

#[tokio::test]
async fn an_address_must_be_a_persons() {
    let quiet = Quiet::open().await;
    for (address, code) in [
        ("5511988887777", "malformed_jid"),
        ("ana@s.whatsapp.net", "malformed_jid"),
        ("1@s.whatsapp.net", "malformed_jid"),
        ("5511988887777@example.org", "malformed_jid"),
        ("+5511988887777@s.whatsapp.net", "malformed_jid"),
        ("@lid", "malformed_jid"),
        ("5511988887777@s.whatsapp.net@lid", "malformed_jid"),
        ("120363000000000000@g.us", "not_a_person"),
        ("status@broadcast", "not_a_person"),
        ("120363000000000000@newsletter", "not_a_person"),
    ] {
        for field in ["phone_jid", "lid"] {
            // Behind one that is right, which must not be kept either.
            let body = sync_of(&json!([{"phone_jid": PHONE}, {field: address}]));
            quiet.refuses_sync(&body, (422, code, &format!("contacts[1].{field}"))).await;
        }
        let ticket = format!("/v1/channels/{}/contacts/{address}/syncs", quiet.channel);
        quiet.refuses(&ticket, quiet.api.request(Method::POST, &ticket), (422, code, "address")).await;
        let messages = format!("/v1/channels/{}/messages?address={}", quiet.channel, address.replace('+', "%2B"));
        quiet.refuses(&messages, quiet.get(&messages), (422, code, "address")).await;
    }
    for (field, address) in [("phone_jid", LID), ("lid", PHONE)] {
        let refusal = (422, "wrong_jid_kind", &*format!("contacts[0].{field}"));
        quiet.refuses_sync(&sync_of(&json!([{field: address}])), refusal).await;
    }
    quiet.refuses_sync(&sync_of(&json!([{"lid": ""}])), (422, "malformed_jid", "contacts[0].lid")).await;
    quiet.refuses_sync(&sync_of(&json!([{"lid": 190}])), (422, "invalid_value", "contacts[0].lid")).await;
    quiet.still_works().await;
}

#[tokio::test]
async fn a_contact_list_names_each_person_once_and_by_an_address() {
    let quiet = Quiet::open().await;
    let long = "x".repeat(1_001);
    for (contacts, code, field) in [
        (json!([]), "no_contacts", "contacts"),
        (json!({}), "invalid_value", "contacts"),
        (json!("everybody"), "invalid_value", "contacts"),
        (json!([PHONE]), "invalid_value", "contacts[0]"),
        (json!([null]), "invalid_value", "contacts[0]"),
        (json!([{}]), "contact_without_address", "contacts[0]"),
        (json!([{"lid": LID}, {"name": "Ana"}]), "contact_without_address", "contacts[1]"),
        (json!([{"phone_jid": null, "lid": null}]), "contact_without_address", "contacts[0]"),
        (json!([{"phone_jid": PHONE}, {"phone_jid": PHONE}]), "duplicate_contact", "contacts[1].phone_jid"),
        (json!([{"lid": LID}, {"phone_jid": PHONE, "lid": LID}]), "duplicate_contact", "contacts[1].lid"),
        // The same person in the older spelling, and through another device.
        (
            json!([{"phone_jid": PHONE}, {"lid": LID}, {"phone_jid": "5511988887777@c.us"}]),
            "duplicate_contact",
            "contacts[2].phone_jid",
        ),
        (
            json!([{"phone_jid": PHONE}, {"phone_jid": "5511988887777:12@s.whatsapp.net"}]),
            "duplicate_contact",
            "contacts[1].phone_jid",
        ),
        (json!([{"lid": LID, "name": long}]), "invalid_value", "contacts[0].name"),
        (json!([{"lid": LID, "name": "A\0na"}]), "invalid_value", "contacts[0].name"),
        (json!([{"lid": LID, "name": 7}]), "invalid_value", "contacts[0].name"),
    ] {
        quiet.refuses_sync(&sync_of(&contacts), (422, code, field)).await;
    }
    quiet.still_works().await;
}

#[tokio::test]
async fn more_than_100_000_contacts_are_too_many_for_one_request() {
    let quiet = Quiet::open().await;
    let list = |length: u64| {
        let contacts: Vec<_> = (0..length).map(|i| format!(r#"{{"lid":"{}@lid"}}"#, 190_000_000_000_000 + i)).collect();
        format!(r#"{{"contacts":[{}]}}"#, contacts.join(","))
    };
    let request = quiet.post_bytes(&quiet.syncs(), list(100_001));
    quiet.refuses("100,001 contacts", request, (422, "too_many_contacts", "contacts")).await;
    // However long it is, and whatever comes behind the part that counts.
    let with_rubbish = list(100_001).replace("]}", r#",{"phone_jid":7}]}"#);
    let request = quiet.post_bytes(&quiet.syncs(), with_rubbish);
    quiet.refuses("100,002 contacts", request, (422, "too_many_contacts", "contacts")).await;
    quiet.still_works().await;
}

#[tokio::test]
async fn a_channel_without_the_feature_is_synced_person_by_person_only() {
    let quiet = Quiet::open().await;
    let path = format!("/v1/channels/{}/syncs", quiet.plain);
    for body in [json!({}), sync_of(&json!([{"lid": LID}]))] {
        quiet.refuses(&body.to_string(), quiet.post(&path, &body), (403, "feature_missing", "")).await;
    }
    let ticket = quiet.api.start_ticket(quiet.plain, PHONE, 100).await;
    assert_eq!(quiet.api.status(ticket.id).await.channel_id, quiet.plain);
    quiet.still_works().await;
}
