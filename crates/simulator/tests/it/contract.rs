//! The gateway without faults answers as the contract says.

use anyhow::{Context, Result};
use serde_json::json;
use sincro_simulator::{KnownBy, Person, Population, Settings, Simulator};

use crate::client::{few, get, history, send, simulator};

#[tokio::test]
async fn errors_come_in_the_envelope_byte_for_byte() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    let answer = send(&simulator, "GET", "/user/contacts", None, "").await?;
    assert_eq!((answer.status, answer.header("content-type")), (401, Some("application/json")));
    assert_eq!(answer.body, "{\"code\":401,\"error\":\"unauthorized\",\"success\":false}\n");
    Ok(())
}

#[tokio::test]
async fn success_comes_in_the_envelope_byte_for_byte() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    let answer = history(&simulator, "nobody@lid", 5).await?;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.body, "{\"code\":200,\"data\":null,\"success\":true}\n");
    Ok(())
}

#[tokio::test]
async fn the_token_is_taken_from_the_header_or_the_query() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    let asked = |path: &'static str, token: Option<&'static str>| send(&simulator, "GET", path, token, "");
    assert_eq!(asked("/session/status?token=simulated-token", None).await?.status, 200);
    assert_eq!(asked("/session/status", Some("simulated-token")).await?.status, 200);
    assert_eq!(asked("/session/status?token=simulated-token", Some("wrong")).await?.status, 401, "the header wins");
    assert_eq!(asked("/chat/history", Some("wrong")).await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn health_needs_no_token_and_counts_sessions() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    let health = send(&simulator, "GET", "/health", None, "").await?.json()?;
    assert_eq!((&health["status"], &health["connected_users"]), (&json!("ok"), &json!(1)));
    simulator.set_session(false);
    let health = send(&simulator, "GET", "/health", None, "").await?.json()?;
    assert_eq!((&health["connected_users"], &health["logged_in_users"]), (&json!(0), &json!(0)));
    Ok(())
}

#[tokio::test]
async fn the_status_tells_the_token_in_clear_and_the_history_as_a_string() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    let status = get(&simulator, "/session/status").await?.data()?;
    assert_eq!(status["token"], simulator.token());
    assert_eq!((&status["connected"], &status["loggedIn"]), (&json!(true), &json!(true)));
    assert_eq!(status["history"], "100");
    assert_eq!(status["jid"], "5511999990000:12@s.whatsapp.net");
    Ok(())
}

#[tokio::test]
async fn the_contact_list_has_one_key_per_person_unless_told_otherwise() -> Result<()> {
    let plain = simulator(few(200)).await?;
    let contacts = get(&plain, "/user/contacts").await?.data()?;
    let contacts = contacts.as_object().context("a map")?;
    assert_eq!(contacts.len(), 200);
    assert!(contacts.keys().all(|key| key.ends_with("@s.whatsapp.net")));
    assert!(contacts.values().all(|contact| contact["Found"] == true && contact["PushName"].is_string()));

    let mixed = simulator(Population { share_paired: 0.3, share_lid_only: 0.2, ..few(200) }).await?;
    let keys = get(&mixed, "/user/contacts").await?.data()?;
    let truth = mixed.truth();
    let paired = truth.persons().iter().filter(|person| person.known_by == KnownBy::Both).count();
    assert!(paired > 30);
    assert_eq!(keys.as_object().context("a map")?.len(), 200 + paired);
    assert!(truth.persons().iter().all(|person| person.listed_keys().all(|key| keys.get(key).is_some())));
    Ok(())
}

#[tokio::test]
async fn a_lid_is_found_for_a_phone_or_named_as_unknown() -> Result<()> {
    let simulator = simulator(Population { share_without_lid: 0.5, ..few(20) }).await?;
    let truth = simulator.truth();
    for person in truth.persons() {
        let phone = person.phone_jid.as_deref().context("listed by phone")?;
        let answer = get(&simulator, &format!("/user/lid/{phone}")).await?;
        if let Some(lid) = &person.lid {
            assert_eq!(answer.data()?, json!({ "jid": phone, "lid": lid }));
            let other_way = get(&simulator, &format!("/user/lid/{lid}")).await?;
            assert_eq!(other_way.status, 404);
            let why = other_way.json()?["error"].take();
            assert!(why.as_str().is_some_and(|why| why.starts_with("LID not found for this number: ")), "{why}");
        } else {
            assert_eq!(answer.status, 404);
            assert_eq!(answer.json()?["error"], "LID not found for this number");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_lid_look_up_takes_escaped_and_bare_numbers_and_refuses_nonsense() -> Result<()> {
    let simulator = simulator(Population { share_without_lid: 0.0, ..few(1) }).await?;
    let truth = simulator.truth();
    let person = &truth.persons()[0];
    let phone = person.phone_jid.as_deref().context("phone")?;
    let number = phone.split('@').next().context("number")?;
    for asked in [phone.replace('@', "%40"), number.to_owned(), format!("+{number}")] {
        assert_eq!(get(&simulator, &format!("/user/lid/{asked}")).await?.data()?["jid"], phone, "{asked}");
    }
    for asked in ["@s.whatsapp.net", "abc@s.whatsapp.net", "+"] {
        let answer = get(&simulator, &format!("/user/lid/{asked}")).await?;
        assert_eq!((answer.status, &answer.json()?["error"]), (400, &json!("invalid jid format")), "{asked}");
    }
    assert_eq!(simulator.calls().all()[0].address.as_deref(), Some(phone), "logged unescaped");
    Ok(())
}

#[tokio::test]
async fn without_a_session_only_stored_history_is_served() -> Result<()> {
    let simulator = simulator(few(10)).await?;
    simulator.set_session(false);
    for path in ["/user/contacts", "/user/lid/5511900000000@s.whatsapp.net", "/user/lid/nonsense"] {
        let answer = get(&simulator, path).await?;
        assert_eq!((answer.status, &answer.json()?["error"]), (500, &json!("no session")), "{path}");
    }
    let status = get(&simulator, "/session/status").await?.data()?;
    assert_eq!((&status["connected"], &status["loggedIn"]), (&json!(false), &json!(false)));
    assert_eq!(get(&simulator, "/chat/history?chat_jid=nobody@lid").await?.status, 200);
    simulator.set_session(true);
    assert_eq!(get(&simulator, "/user/contacts").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn history_refuses_bad_parameters_and_disabled_channels() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    for (query, status, why) in [
        ("", 400, "chat_jid is required"),
        ("?chat_jid=", 400, "chat_jid is required"),
        ("?chat_jid=a@lid&limit=ten", 400, "invalid limit"),
        ("?chat_jid=a@lid&limit=1.5", 400, "invalid limit"),
        ("?chat_jid=a@lid&limit=-1", 500, "failed to get message history: pq: LIMIT must not be negative"),
    ] {
        let answer = get(&simulator, &format!("/chat/history{query}")).await?;
        assert_eq!((answer.status, &answer.json()?["error"]), (status, &json!(why)), "{query}");
    }
    simulator.set_history(false);
    let answer = get(&simulator, "/chat/history").await?;
    assert_eq!(answer.status, 501, "asked before the parameters are looked at");
    assert_eq!(answer.json()?["error"], "message history is disabled for this user");
    assert_eq!(get(&simulator, "/session/status").await?.data()?["history"], "0");
    Ok(())
}

#[tokio::test]
async fn the_limit_is_honoured_and_defaults_to_fifty() -> Result<()> {
    let many = Population { messages_mean: 80, messages_max: 80, share_empty: 0.0, share_without_lid: 1.0, ..few(1) };
    let simulator = simulator(many).await?;
    let truth = simulator.truth();
    let address = truth.addresses().next().context("an address")?;
    let rows = |query: String| {
        let simulator = &simulator;
        async move {
            let data = get(simulator, &format!("/chat/history?chat_jid={address}{query}")).await?.data()?;
            anyhow::Ok(data.as_array().map(Vec::len))
        }
    };
    assert_eq!(rows(String::new()).await?, Some(50));
    for limit in [1, 25, 80] {
        assert_eq!(rows(format!("&limit={limit}")).await?, Some(limit));
    }
    assert_eq!(rows("&limit=500".to_owned()).await?, Some(80));
    assert_eq!(rows("&limit=0".to_owned()).await?, None, "no rows are null, not an empty list");
    Ok(())
}

#[tokio::test]
async fn rows_have_the_columns_of_the_table_newest_inserted_first() -> Result<()> {
    let simulator = simulator(Population { share_empty: 0.0, ..few(60) }).await?;
    let truth = simulator.truth();
    let (mut absent, mut unreadable, mut without_time, mut tagged, mut quoting) = (0, 0, 0, 0, 0);
    for address in truth.addresses() {
        let data = history(&simulator, address, 100).await?.data()?;
        let rows = data.as_array().cloned().unwrap_or_default();
        let inserted: Vec<&str> = rows.iter().filter_map(|row| row["timestamp"].as_str()).collect();
        assert!(inserted.is_sorted_by(|one, other| one >= other), "{inserted:?}");
        for row in &rows {
            assert_eq!(row["chat_jid"], address);
            assert!(row["id"].is_u64() && row["user_id"].is_string() && row["media_link"] == "");
            let record = row["data_json"].as_str().context("a text")?;
            if record.is_empty() {
                assert_eq!(row["sender_jid"], "me");
                absent += 1;
            } else {
                let record: serde_json::Value = serde_json::from_str(record)?;
                unreadable += usize::from(record == json!({}));
                without_time += usize::from(record["Info"]["ID"].is_string() && record["Info"]["Timestamp"].is_null());
            }
            tagged += usize::from(row["text_content"] == ":image:");
            quoting += usize::from(row["quoted_message_id"].is_string());
        }
    }
    assert!(absent > 0 && unreadable > 0 && without_time > 0 && tagged > 0 && quoting > 0);
    Ok(())
}

#[tokio::test]
async fn unknown_paths_and_methods_are_not_answered_as_calls() -> Result<()> {
    let simulator = simulator(few(1)).await?;
    let unknown = get(&simulator, "/group/list").await?;
    assert_eq!((unknown.status, unknown.body.as_str()), (404, "404 page not found\n"));
    assert_eq!(send(&simulator, "POST", "/user/contacts", Some(simulator.token()), "{}").await?.status, 405);
    Ok(())
}

#[tokio::test]
async fn each_token_opens_a_channel_with_people_of_its_own() -> Result<()> {
    let tokens = vec!["one".to_owned(), "two".to_owned()];
    let simulator = Simulator::start(Settings { tokens, population: few(30), ..Settings::default() }).await?;
    for token in ["one", "two"] {
        let truth = simulator.truth_of(token).context("a channel")?;
        let contacts = send(&simulator, "GET", "/user/contacts", Some(token), "").await?.data()?;
        assert_eq!(contacts.as_object().map(serde_json::Map::len), Some(30));
        assert!(truth.persons().iter().flat_map(Person::listed_keys).all(|key| contacts.get(key).is_some()));
    }
    simulator.set_session_of("two", false)?;
    assert!(simulator.set_session_of("three", false).is_err());
    assert_eq!(send(&simulator, "GET", "/user/contacts", Some("one"), "").await?.status, 200);
    assert_eq!(send(&simulator, "GET", "/user/contacts", Some("two"), "").await?.status, 500);
    assert_eq!(simulator.calls().count(|call| call.channel == Some(1)), 2);
    Ok(())
}
