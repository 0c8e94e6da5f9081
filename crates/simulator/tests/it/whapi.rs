//! The contract of Whapi.Cloud, over the people, the gate and the faults that all contracts share.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sincro_simulator::{Call, Faults, Population, Provider, Readings, Settings, Simulator, UnknownChat};

use crate::client::{Answer, few, get, send};

async fn whapi(population: Population, readings: Readings) -> Result<Simulator> {
    let settings = Settings { provider: Provider::Whapi, whapi: readings, population, ..Settings::default() };
    Simulator::start(settings).await
}

async fn usual(population: Population) -> Result<Simulator> {
    whapi(population, Readings::default()).await
}

async fn chat(simulator: &Simulator, address: &str, query: &str) -> Result<Answer> {
    get(simulator, &format!("/messages/list/{address}?{query}")).await
}

fn ids(answer: &Value) -> Vec<String> {
    let messages = answer["messages"].as_array().into_iter().flatten();
    messages.filter_map(|message| message["id"].as_str().map(str::to_owned)).collect()
}

/// The state that a look without waking up tells.
async fn word(simulator: &Simulator) -> Result<Value> {
    Ok(get(simulator, "/health?wakeup=false").await?.json()?["status"]["text"].take())
}

/// The first phone whose chat holds at least so many messages.
fn chat_of(simulator: &Simulator, least: usize) -> Result<String> {
    let truth = simulator.truth();
    let phones = truth.persons().iter().filter_map(|person| person.phone_jid.clone());
    phones.into_iter().find(|phone| truth.chat(phone, least).len() == least).context("a long chat")
}

#[tokio::test]
async fn errors_have_a_wrapper_or_none() -> Result<()> {
    for (bare, pointer) in [(false, "/error/code"), (true, "/code")] {
        let simulator = whapi(few(1), Readings { bare_errors: bare, ..Readings::default() }).await?;
        let answer = send(&simulator, "GET", "/contacts", None, "").await?;
        assert_eq!((answer.status, answer.json()?.pointer(pointer)), (401, Some(&json!(401))));
        let answer = get(&simulator, "/messages").await?;
        assert_eq!((answer.status, answer.json()?.pointer(pointer)), (404, Some(&json!(404))));
    }
    Ok(())
}

#[tokio::test]
async fn the_token_is_a_bearer() -> Result<()> {
    let simulator = usual(few(1)).await?;
    assert_eq!(get(&simulator, "/health").await?.status, 200);
    assert_eq!(send(&simulator, "GET", "/health", Some("wrong"), "").await?.status, 401);
    assert_eq!(get(&simulator, "/session/status").await?.status, 404, "no path of another provider");
    Ok(())
}

#[tokio::test]
async fn a_sleeping_channel_is_woken_by_a_look_unless_the_look_says_not_to() -> Result<()> {
    let simulator = usual(few(3)).await?;
    simulator.lull(simulator.token())?;
    assert_eq!(word(&simulator).await?, "NOT_INIT");
    assert_eq!(word(&simulator).await?, "NOT_INIT", "looking changed nothing");
    let refused = get(&simulator, "/contacts").await?;
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("Need channel authorization"), "{}", refused.body);
    assert_eq!(get(&simulator, "/health").await?.json()?["status"]["text"], "LAUNCH");
    assert_eq!(word(&simulator).await?, "AUTH");
    assert_eq!(get(&simulator, "/contacts").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_lost_session_says_its_word_and_nothing_but_its_status_answers() -> Result<()> {
    let simulator = usual(few(3)).await?;
    let phone = chat_of(&simulator, 1)?;
    for says in ["SYNC_ERROR", "STOP", "SOMETHING_NEW"] {
        simulator.lose_session_with(simulator.token(), says)?;
        assert_eq!(word(&simulator).await?, says);
        assert_eq!(chat(&simulator, &phone, "").await?.status, 401);
    }
    simulator.set_session(false);
    assert_eq!(word(&simulator).await?, "QR");
    let post = |body| send(&simulator, "POST", "/__sim/session", None, body);
    assert_eq!(post(r#"{"up":false,"says":"LAUNCH"}"#).await?.status, 204);
    assert_eq!(word(&simulator).await?, "LAUNCH");
    assert_eq!(post(r#"{"up":true,"says":"QR"}"#).await?.status, 400);
    assert_eq!(post(r#"{"up":true}"#).await?.status, 204);
    assert_eq!(word(&simulator).await?, "AUTH");
    assert_eq!(send(&simulator, "POST", "/__sim/sleep", None, r#"{"channel":0}"#).await?.status, 204);
    assert_eq!(word(&simulator).await?, "NOT_INIT");
    Ok(())
}

#[tokio::test]
async fn contacts_come_in_pages_under_bare_numbers() -> Result<()> {
    let simulator = usual(Population { share_lid_only: 0.1, ..few(1_203) }).await?;
    let (mut seen, mut offset) = (BTreeSet::new(), 0);
    loop {
        let page = get(&simulator, &format!("/contacts?count=500&offset={offset}")).await?.json()?;
        assert_eq!((&page["count"], &page["total"], &page["offset"]), (&json!(500), &json!(1_203), &json!(offset)));
        let listed = page["contacts"].as_array().context("a list")?;
        seen.extend(listed.iter().filter_map(|contact| contact["id"].as_str().map(str::to_owned)));
        offset += listed.len();
        if listed.len() < 500 {
            break;
        }
    }
    let truth = simulator.truth();
    let keys = truth.persons().iter().flat_map(sincro_simulator::Person::listed_keys);
    let expected: BTreeSet<String> = keys.map(|key| key.trim_end_matches("@s.whatsapp.net").to_owned()).collect();
    assert_eq!(seen, expected);
    for query in ["count=0", "count=501", "count=ten", "offset=-1"] {
        assert_eq!(get(&simulator, &format!("/contacts?{query}")).await?.status, 400, "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn a_lid_is_asked_for_by_number_and_may_be_unknown() -> Result<()> {
    let simulator = usual(Population { share_without_lid: 0.5, ..few(30) }).await?;
    let truth = simulator.truth();
    for person in truth.persons() {
        let number = person.phone_jid.as_deref().and_then(|phone| phone.split('@').next()).context("a number")?;
        let answer = get(&simulator, &format!("/contacts/lids/{number}")).await?;
        match &person.lid {
            Some(lid) => assert_eq!(answer.json()?["lid"], json!(lid)),
            None => assert_eq!(answer.status, 404),
        }
    }
    assert_eq!(get(&simulator, "/contacts/lids/190000000000001@lid").await?.status, 400);
    let phone = truth.persons()[0].phone_jid.clone().context("a phone")?;
    assert_eq!(simulator.calls().count(|call| call.is_lookup() && call.address.as_deref() == Some(&phone)), 1);
    Ok(())
}

#[tokio::test]
async fn a_chat_comes_newest_first_in_pages_and_is_the_truth() -> Result<()> {
    let simulator = usual(few(60)).await?;
    let truth = simulator.truth();
    for address in truth.addresses() {
        let answer = chat(&simulator, address, "count=100&offset=0&sort=desc").await?.json()?;
        let expected: Vec<String> = truth.chat(address, 100).into_iter().map(|message| message.message_id).collect();
        assert_eq!(ids(&answer), expected);
        let times = truth.chat(address, 100).into_iter().map(|message| message.readable_at.timestamp());
        let told =
            answer["messages"].as_array().into_iter().flatten().filter_map(|message| message["timestamp"].as_i64());
        assert!(times.eq(told));
        let behind = chat(&simulator, address, "count=7&offset=5").await?.json()?;
        assert_eq!(ids(&behind), expected.iter().skip(5).take(7).cloned().collect::<Vec<_>>());
    }
    for address in ["5511988887777", "abc@s.whatsapp.net", "123@lid"] {
        assert_eq!(chat(&simulator, address, "").await?.status, 400, "{address}");
    }
    Ok(())
}

#[tokio::test]
async fn the_log_notes_from_when_on_a_chat_is_asked_for() -> Result<()> {
    let simulator = usual(few(1)).await?;
    let nobody = "5511900000000@s.whatsapp.net";
    for (query, since_s) in [("time_from=1766000000", Some(1_766_000_000)), ("count=5", None), ("time_from=", None)] {
        simulator.calls().clear();
        chat(&simulator, nobody, query).await?;
        assert_eq!(simulator.calls().all()[0].since_s, since_s, "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_chat_is_an_empty_list_or_a_404() -> Result<()> {
    let simulator = usual(few(1)).await?;
    let nobody = "5511900000000@s.whatsapp.net";
    let answer = chat(&simulator, nobody, "").await?;
    assert_eq!((answer.status, &answer.json()?["messages"]), (200, &json!([])));
    simulator.set_readings(Readings { unknown_chat: UnknownChat::NotFound, ..Readings::default() })?;
    assert_eq!(chat(&simulator, nobody, "").await?.status, 404);
    assert!(simulator.set_readings(Readings { longest_page: 0, ..Readings::default() }).is_err());
    let body = r#"{"unknown_chat":"empty_list","bare_errors":true}"#;
    assert_eq!(send(&simulator, "POST", "/__sim/readings", None, body).await?.status, 204);
    assert_eq!(chat(&simulator, nobody, "").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn messages_that_arrive_shift_the_pages_unless_their_time_is_kept_out() -> Result<()> {
    let readings = Readings { arriving: 2, longest_page: 5, ..Readings::default() };
    let simulator = whapi(Population { messages_mean: 40, ..few(20) }, readings).await?;
    let phone = chat_of(&simulator, 20)?;
    let expected: Vec<String> =
        simulator.truth().chat(&phone, 20).into_iter().map(|message| message.message_id).collect();
    let first = chat(&simulator, &phone, "count=500").await?.json()?;
    assert_eq!((ids(&first), &first["count"]), (expected[..5].to_vec(), &json!(5)), "the gateway gives less at once");
    let newest_s = first["messages"][0]["timestamp"].as_i64().context("a time")?;

    let shifted = chat(&simulator, &phone, "count=5&offset=5").await?.json()?;
    assert_eq!(ids(&shifted), expected[3..8], "two came in");
    let frozen = chat(&simulator, &phone, &format!("count=5&offset=5&time_to={}", newest_s - 1)).await?.json()?;
    assert!(!ids(&frozen).iter().any(|id| id.starts_with("NEW")));
    let bounded = chat(&simulator, &phone, &format!("count=5&offset=5&time_to={}", newest_s + 1)).await?.json()?;
    assert_eq!(ids(&bounded), expected[2..7], "three came in within the newest message's second, three later");
    let exclusive = Readings { time_to_inclusive: false, ..readings };
    simulator.set_readings(exclusive)?;
    let without = chat(&simulator, &phone, &format!("count=5&time_to={newest_s}")).await?.json()?;
    assert!(!ids(&without).contains(&expected[0]), "its own second is left out");
    Ok(())
}

#[tokio::test]
async fn a_lids_chat_names_the_phone_where_it_is_known() -> Result<()> {
    let simulator = usual(Population { share_without_lid: 0.0, share_empty: 0.0, ..few(30) }).await?;
    let truth = simulator.truth();
    let (phone, lid) = truth
        .persons()
        .iter()
        .filter_map(|person| person.phone_jid.as_deref().zip(person.lid.as_deref()))
        .find(|(_, lid)| !truth.chat(lid, 1).is_empty())
        .context("a chat under a LID")?;
    assert_eq!(chat(&simulator, lid, "").await?.json()?["messages"][0]["chat_id"], phone);
    simulator.set_readings(Readings { resolves_lids: false, ..Readings::default() })?;
    assert_eq!(chat(&simulator, lid, "").await?.json()?["messages"][0]["chat_id"], lid);
    Ok(())
}

#[tokio::test]
async fn faults_are_told_in_its_own_words_and_the_log_knows_what_was_asked() -> Result<()> {
    let simulator = usual(few(3)).await?;
    let phone = chat_of(&simulator, 1)?;
    for (fault, status, text) in [
        ("429:7=all", 429, "Too many requests"),
        ("402=all", 402, "Trial version limit exceeded"),
        ("500=all", 500, "internal error"),
        ("banned=all", 403, "blocked by WhatsApp"),
        ("401=all", 401, "Unauthorized"),
        ("no-session=all", 401, "Need channel authorization"),
        ("shape=all", 200, "unexpected"),
        ("501=all", 200, "messages"),
    ] {
        simulator.set_faults(fault.parse::<Faults>()?)?;
        let answer = chat(&simulator, &phone, "").await?;
        assert_eq!(answer.status, status, "{fault}");
        assert!(answer.body.contains(text), "{fault}: {}", answer.body);
    }
    simulator.set_faults(Faults::default())?;
    get(&simulator, "/health?wakeup=false").await?;
    get(&simulator, "/contacts").await?;
    let calls = simulator.calls();
    assert_eq!(calls.count(Call::is_history), 8);
    assert_eq!((calls.count(Call::is_status), calls.count(Call::is_contacts)), (1, 1));
    assert_eq!(calls.count(|call| call.path == "/messages/list/{jid}" && call.address.as_deref() == Some(&phone)), 8);
    Ok(())
}
