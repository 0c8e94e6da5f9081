//! Whapi.Cloud: what is sent, and what the good answers of its page become.

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use sincro_core::{
    address::Address,
    gateway::{Answer, Call, Kept, Refusal, Session},
    message::Page,
    provider::{HistoryAccess, Provider},
};
use sincro_providers::{Answered, GatewaySettings, Gateways, capabilities, check_credentials};

use crate::gate::{
    Gate, PHONE, TOKEN, ask_of, ask_over, connection_of, connection_with, history, lid, listed, pieces, settings,
    top_up, whole,
};

const LID: &str = "190000000000001@lid";

pub(crate) fn ok(body: &Value) -> Response {
    body.to_string().into_response()
}

pub(crate) async fn ask(base_url: &str, asked: &Call) -> Result<Answered, Refusal> {
    ask_of(Provider::Whapi, &settings(), base_url, asked).await
}

async fn answer(body: &Value, asked: &Call) -> Result<Answer, Refusal> {
    let body = body.to_string();
    let gate = Gate::answering(move || body.clone().into_response()).await;
    ask(&gate.url(), asked).await.map(whole)
}

async fn page(body: &Value, asked: &Call) -> Page {
    match answer(body, asked).await {
        Ok(Answer::History(page)) => page,
        other => panic!("no history: {other:?}"),
    }
}

fn message(id: u32, timestamp: u32) -> Value {
    json!({"id": format!("Psq{id}.SOAjx-xQA"), "type": "text", "chat_id": PHONE, "from": "5511988887777", "from_me": false,
        "timestamp": timestamp, "text": {"body": "oi"}})
}

fn messages(count: u32) -> Value {
    let messages: Vec<Value> = (0..count).map(|id| message(id, 1_766_000_000 - id)).collect();
    json!({"messages": messages, "count": count, "total": count, "offset": 0, "first": 0, "last": 0})
}

fn wanting(limit: u32, cursor: Option<&str>) -> Call {
    Call::History {
        address: PHONE.parse().expect("a good address"),
        limit,
        cursor: cursor.map(str::to_owned),
        since: None,
    }
}

#[tokio::test]
async fn every_call_goes_to_its_path_behind_the_prefix_with_the_token_as_bearer() {
    let gate = Gate::answering(|| ok(&json!({}))).await;
    let chat = format!("/whapi/messages/list/{PHONE}");
    for (asked, target) in [
        (Call::Status, "/whapi/health?wakeup=false".to_owned()),
        (Call::Contacts { cursor: None }, "/whapi/contacts?count=500&offset=0".to_owned()),
        (Call::Contacts { cursor: Some("1500".into()) }, "/whapi/contacts?count=500&offset=1500".to_owned()),
        (lid(), "/whapi/contacts/lids/5511988887777".to_owned()),
        (history(), format!("{chat}?count=25&offset=0&sort=desc")),
        (wanting(1_200, None), format!("{chat}?count=500&offset=0&sort=desc")),
        (wanting(1_200, Some("1000@1766000001")), format!("{chat}?count=200&offset=1000&sort=desc&time_to=1766000001")),
        (
            Call::History { address: LID.parse().unwrap(), limit: 100, cursor: None, since: None },
            format!("/whapi/messages/list/{LID}?count=100&offset=0&sort=desc"),
        ),
    ] {
        drop(ask(&format!("{}/whapi/", gate.url()), &asked).await);
        let arrival = gate.arrivals().pop().unwrap();
        assert_eq!(arrival.target, target);
        assert_eq!(arrival.authorization, Some(format!("Bearer {TOKEN}")));
        assert_eq!(arrival.token, None);
    }
    assert_eq!(gate.arrivals().len(), 8, "a call is one request");
}

#[tokio::test]
async fn looking_at_a_sleeping_channel_does_not_wake_it_up() {
    let gate = Gate::answering(|| ok(&json!({"status": {"code": 0, "text": "NOT_INIT"}}))).await;
    let refusal = ask(&gate.url(), &Call::Status).await.unwrap_err();
    assert_eq!(refusal, Refusal::SessionLost { detail: "GET /health: the channel is NOT_INIT".into() });
    assert_eq!(gate.arrivals().pop().unwrap().target, "/health?wakeup=false", "without it the gateway would launch it");
}

#[tokio::test]
async fn the_four_good_answers_are_read() {
    let health = json!({"channel_id": "CH-1", "status": {"code": 4, "text": "AUTH"}, "user": {"id": "5511999990000"}});
    let Ok(Answer::Session(session)) = answer(&health, &Call::Status).await else { panic!("no session") };
    assert_eq!(
        Session { clock: None, ..session },
        Session { connected: true, logged_in: true, keeps_history: None, clock: None }
    );

    let Ok(Answer::Lid(found)) = answer(&json!({"lid": LID}), &lid()).await else { panic!("no LID") };
    assert_eq!(found.as_ref().map(Address::as_str), Some(LID));

    let mut body = messages(3);
    body["count"] = json!(25);
    let page = page(&body, &history()).await;
    let ids: Vec<&str> = page.messages.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, ["Psq0.SOAjx-xQA", "Psq1.SOAjx-xQA", "Psq2.SOAjx-xQA"], "ids are the gateway's own");
    assert_eq!(page.next, None);
}

#[tokio::test]
async fn contacts_are_handed_out_page_by_page_and_who_is_no_person_is_left_out() {
    let contacts: Vec<Value> =
        (0..500).map(|number| json!({"id": format!("55119{number:08}"), "pushname": "ana"})).collect();
    let mut body = json!({"contacts": contacts, "count": 500, "total": 1_000, "offset": 500});
    body["contacts"][7] = json!({"id": "120363000000000000@g.us", "name": "Família"});
    let gate = Gate::answering(move || ok(&body)).await;
    let list = listed(ask(&gate.url(), &Call::Contacts { cursor: Some("500".into()) }).await.unwrap());
    assert_eq!((list.left_out, list.next.as_deref()), (1, Some("1000")));
    let pieces = pieces(list).await.unwrap();
    assert_eq!(pieces.iter().map(|piece| piece.contacts.len()).sum::<usize>(), 499);
    let first = &pieces[0].contacts[0];
    assert_eq!(first.phone().map(Address::as_str), Some("5511900000000@s.whatsapp.net"), "a bare number is a phone");
    assert_eq!((first.lid(), first.name.as_deref()), (None, Some("ana")));
}

#[tokio::test]
async fn the_contact_list_ends_with_a_page_that_is_shorter_than_its_count() {
    for (body, next) in [
        (json!({"contacts": [{"id": "5511988887777"}], "count": 500, "total": 1, "offset": 0}), None),
        (json!({"contacts": [{"id": "5511988887777"}]}), None),
        (json!({"contacts": [], "count": 500, "total": 1_000, "offset": 1_000}), None),
        (json!({"contacts": [{"id": "5511988887777"}], "count": 500, "total": 700, "offset": 0}), Some("1")),
    ] {
        let gate = Gate::answering(move || ok(&body)).await;
        let list = listed(ask(&gate.url(), &Call::Contacts { cursor: None }).await.unwrap());
        assert_eq!(list.next.as_deref(), next);
    }
}

#[tokio::test]
async fn an_unknown_chat_is_an_empty_list_or_a_404_and_either_is_zero_messages() {
    let asked = [json!({"messages": [], "count": 25, "total": 0, "offset": 0}), json!({"messages": null})];
    for body in asked {
        let page = page(&body, &history()).await;
        assert_eq!((page.messages.len(), page.next), (0, None));
    }
    let bare = json!({"code": 404, "message": "chat not found"});
    for body in [json!({"error": bare}), bare] {
        let gate = Gate::answering(move || (StatusCode::NOT_FOUND, body.to_string()).into_response()).await;
        let Ok(Answered::Whole(Answer::History(page), _)) = ask(&gate.url(), &history()).await else {
            panic!("refused")
        };
        assert_eq!((page.messages.len(), page.next), (0, None));
    }
}

#[tokio::test]
async fn an_unknown_lid_is_a_404_or_an_answer_without_one() {
    for body in [json!({}), json!({"lid": null}), json!({"lid": ""})] {
        assert!(matches!(answer(&body, &lid()).await, Ok(Answer::Lid(None))), "{body}");
    }
    let gate = Gate::answering(|| {
        (StatusCode::NOT_FOUND, json!({"error": {"code": 404, "message": "not found"}}).to_string()).into_response()
    })
    .await;
    assert!(matches!(ask(&gate.url(), &lid()).await, Ok(Answered::Whole(Answer::Lid(None), _))));
}

#[tokio::test]
async fn messages_that_arrive_between_two_pages_are_kept_out_by_the_time_of_the_first() {
    let first = page(&messages(500), &wanting(1_200, None)).await;
    assert_eq!(first.next.as_deref(), Some("500@1766000001"), "a second later serves both readings of time_to");
    let second = page(&messages(500), &wanting(1_200, first.next.as_deref())).await;
    assert_eq!(second.next.as_deref(), Some("1000@1766000001"));
    let last = page(&messages(200), &wanting(1_200, second.next.as_deref())).await;
    assert_eq!(last.next, None);
}

#[tokio::test]
async fn a_chat_asked_for_by_its_lid_answers_under_the_phone_it_was_resolved_to() {
    let asked = Call::History { address: LID.parse().unwrap(), limit: 25, cursor: None, since: None };
    assert_eq!(page(&messages(2), &asked).await.messages.len(), 2);
    let mut mixed = messages(2);
    mixed["messages"][0]["chat_id"] = json!("190000000000009@lid");
    assert_eq!(page(&mixed, &asked).await.messages.len(), 1, "another person's words stay out");
}

#[tokio::test]
async fn a_cursor_that_cannot_be_read_is_refused_for_good_and_not_sent() {
    let gate = Gate::answering(|| ok(&messages(1))).await;
    for asked in [wanting(25, Some("soon")), Call::Contacts { cursor: Some("many".into()) }] {
        let refusal = ask(&gate.url(), &asked).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Permanent { code: "bad_cursor", .. }), "{refusal}");
    }
    assert_eq!(gate.arrivals(), []);
}

#[tokio::test]
async fn a_page_of_contacts_without_end_is_given_up() {
    let small = GatewaySettings { max_body_bytes: 8_192, ..settings() };
    let gate = Gate::answering(|| format!(r#"{{"contacts":[{}{{}}]}}"#, "{},".repeat(9_000)).into_response()).await;
    let refusal = ask_of(Provider::Whapi, &small, &gate.url(), &Call::Contacts { cursor: None }).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Transient { code: "body_too_large", .. }), "{refusal}");
}

#[tokio::test]
async fn credentials_that_cannot_be_used_are_not_sent() {
    let gate = Gate::answering(|| ok(&json!({}))).await;
    for credentials in ["", "{}", r#"{"token":""}"#, r#"{"token":"hush","hmac_key":"hush"}"#] {
        let mut connection = connection_of(Provider::Whapi, &gate.url());
        connection.credentials = credentials.into();
        let outcome = Gateways::new(&settings()).unwrap().call(&connection, &history()).await;
        let Err(Refusal::Unauthorized { detail }) = outcome else { panic!("{outcome:?}") };
        assert!(detail.starts_with(&format!("GET /messages/list/{PHONE}: not sent, credentials")), "{detail}");
        assert!(!detail.contains("hush"), "{detail}");
    }
    assert_eq!(gate.arrivals(), []);
}

#[test]
fn it_offers_two_jobs_per_contact_a_lookup_of_lids_and_the_restoring_of_messages() {
    let offered = capabilities(Provider::Whapi).unwrap();
    assert_eq!(offered.history, HistoryAccess::PerAddress);
    assert!(
        offered.contact_list
            && offered.lid_lookup
            && offered.restore
            && offered.connect.is_possible()
            && offered.bodies
    );
    assert!(!offered.top_up && offered.one_shot.is_none());
    assert!(check_credentials(Provider::Whapi, &json!({"token": "t", "hook_key": "k"})).is_ok());
}

const MESSAGE_ID: &str = "PsqXn.SOAjx-xQA";

fn one(resync: bool) -> Call {
    Call::Message { id: MESSAGE_ID.to_owned(), resync }
}

#[tokio::test]
async fn a_message_is_asked_for_by_the_gateway_s_own_id_and_resynced_only_where_that_is_said() {
    let gate = Gate::answering(|| ok(&message(1, 1_766_000_000))).await;
    for (resync, target) in [(true, "/messages/PsqXn.SOAjx-xQA?resync=true"), (false, "/messages/PsqXn.SOAjx-xQA")] {
        let Ok(Answer::Message(Some(restored))) = ask(&gate.url(), &one(resync)).await.map(whole) else {
            panic!("no message")
        };
        assert_eq!((restored.address.as_str(), restored.message.id.as_str()), (PHONE, "Psq1.SOAjx-xQA"));
        assert_eq!(gate.arrivals().pop().unwrap().target, target);
    }
    for id in ["", ".", ".."] {
        let refusal = ask(&gate.url(), &Call::Message { id: id.into(), resync: true }).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Permanent { code: "bad_request", .. }), "{refusal}");
    }
    assert_eq!(gate.arrivals().len(), 2);
}

#[tokio::test]
async fn a_404_to_a_resync_is_no_error_and_a_missing_path_is_one() {
    for body in [
        json!({"error": {"code": 404, "message": "message not found", "details": "..", "href": "..", "support": ".."}}),
        json!({"code": 404, "message": "message not found"}),
    ] {
        let gate = Gate::answering(move || (StatusCode::NOT_FOUND, body.to_string()).into_response()).await;
        for resync in [true, false] {
            let answer = ask(&gate.url(), &one(resync)).await.map(whole);
            assert!(matches!(answer, Ok(Answer::Message(None))), "{answer:?}");
        }
    }
    let gate = Gate::answering(|| (StatusCode::NOT_FOUND, "404 page not found").into_response()).await;
    assert!(matches!(ask(&gate.url(), &one(true)).await, Err(Refusal::Permanent { code: "not_found", .. })));
}

#[tokio::test]
async fn a_message_of_a_group_is_refused_for_good() {
    let mut body = message(1, 1_766_000_000);
    body["chat_id"] = json!("1203@g.us");
    let gate = Gate::answering(move || ok(&body)).await;
    let refusal = ask(&gate.url(), &one(true)).await.unwrap_err();
    let detail = format!("GET /messages/{MESSAGE_ID}: the message belongs to a group");
    assert_eq!(refusal, Refusal::Permanent { code: "not_a_person", detail });
}

#[tokio::test]
async fn a_window_is_passed_on_as_time_from_in_seconds() {
    let gate = Gate::answering(|| ok(&messages(1))).await;
    let since = Some("2025-12-17T00:00:00Z".parse().unwrap());
    let address: Address = PHONE.parse().unwrap();
    for (cursor, query) in [
        (None, "count=25&offset=0&sort=desc&time_from=1765929600"),
        (Some("5@1766000001"), "count=20&offset=5&sort=desc&time_from=1765929600&time_to=1766000001"),
    ] {
        let call = Call::History { address: address.clone(), limit: 25, cursor: cursor.map(str::to_owned), since };
        drop(ask(&gate.url(), &call).await);
        assert_eq!(gate.arrivals().pop().unwrap().target, format!("/messages/list/{PHONE}?{query}"));
    }
}

#[tokio::test]
async fn webhooks_are_added_to_those_that_stand_in_the_settings_by_get_merge_and_patch() {
    let gate = Gate::answering(|| ok(&json!({"webhooks": [theirs()], "callback_persist": true}))).await;
    let Ok(Answer::Subscriptions(found)) = ask(&gate.url(), &Call::Subscriptions).await.map(whole) else {
        panic!("no settings")
    };
    assert_eq!(found.receiver("https://theirs").unwrap().missing, ["channel"]);

    let url = "https://sincro.example/hooks/whapi/abc".to_owned();
    let credentials = json!({"token": TOKEN, "hook_key": "s3cret"});
    let connection = connection_with(Provider::Whapi, &gate.url(), &credentials);
    let connect = Call::Connect { url: url.clone(), kept: found.kept };
    let answer = ask_over(&settings(), &connection, &connect).await.map(whole);
    assert!(matches!(answer, Ok(Answer::Connected(None))), "{answer:?}");
    let arrival = gate.arrivals().pop().unwrap();
    assert_eq!((arrival.method.as_str(), arrival.target.as_str()), ("PATCH", "/settings"));
    let sent: Value = serde_json::from_str(&arrival.body).unwrap();
    assert_eq!(sent["webhooks"].as_array().map(Vec::len), Some(2));
    assert_eq!(sent["webhooks"][0], theirs());
    assert_eq!(sent["webhooks"][1]["url"], json!(url));
    assert_eq!(sent["webhooks"][1]["headers"]["X-Ingest-Key"], "s3cret");
    assert_eq!(gate.arrivals().len(), 2, "a call is one request");

    let blind = ask(&gate.url(), &Call::Connect { url, kept: None }).await.unwrap_err();
    assert!(matches!(blind, Refusal::Permanent { code: "subscriptions_unknown", .. }), "{blind}");
    assert_eq!(gate.arrivals().len(), 2, "nobody's webhooks are overwritten");
}

fn theirs() -> Value {
    json!({"mode": "body", "url": "https://theirs", "events": [{"type": "messages", "method": "post"}]})
}

#[tokio::test]
async fn settings_that_cannot_be_read_show_nothing_of_others_secrets() {
    for asked in [Call::Subscriptions, Call::Connect { url: "u".into(), kept: Some(Kept("[]".into())) }] {
        let gate = Gate::answering(|| r#"{"webhooks":[{"headers":{"X-Key":"hush"#.into_response()).await;
        let refusal = ask(&gate.url(), &asked).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Transient { code: "unreadable_answer", .. }), "{refusal}");
        assert!(!refusal.to_string().contains("hush"), "{refusal}");
    }
    let gate = Gate::answering(|| StatusCode::OK.into_response()).await;
    let connect = Call::Connect { url: "u".into(), kept: Some(Kept("[]".into())) };
    assert!(matches!(ask(&gate.url(), &connect).await.map(whole), Ok(Answer::Connected(None))));
}

#[tokio::test]
async fn calls_it_has_not_are_refused_for_good_and_not_sent() {
    let gate = Gate::answering(|| ok(&json!({}))).await;
    for asked in [Call::RequestContacts, Call::RequestHistory { count: 25 }, top_up(PHONE, false)] {
        let refusal = ask(&gate.url(), &asked).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Permanent { code: "not_supported", .. }), "{refusal}");
    }
    assert_eq!(gate.arrivals(), []);
}
