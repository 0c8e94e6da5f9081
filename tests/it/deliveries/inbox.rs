//! What comes in: answered at once whatever its size, read whatever it holds, kept where nobody understands it.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use sincro_core::message::Origin;
use sincro_simulator::{Provider, Settings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::Url;

use super::{Line, SECRET, talkative};
use crate::support::{World, announce, within};

const MB: usize = 1024 * 1024;

impl Line {
    async fn hook_path(&self) -> String {
        let channel = self.api.channel(self.channel).await;
        channel["hook_url"].as_str().unwrap().parse::<Url>().unwrap().path().to_owned()
    }

    /// Posts a signed webhook on a connection of its own; how long the answer took behind the last byte. That byte is sent when those before
    /// it have come, so that what lies in the buffers of the line is no part of it.
    async fn post(&self, path: &str, body: &[u8]) -> Duration {
        let address = self.api.base().trim_start_matches("http://").to_owned();
        let mut connection = TcpStream::connect(&address).await.unwrap();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body);
        let signature: String = signature.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nx-hmac-signature: {signature}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let (most, last) = body.split_at(body.len().saturating_sub(1_000));
        connection.write_all(most).await.unwrap();
        if most.len() > 2 * MB {
            let kept = "SELECT coalesce(sum(length(body)), 0)::bigint FROM inbox_parts WHERE inbox_id = (SELECT max(id) FROM inbox)";
            let come = i64::try_from(most.len() - 2 * MB).unwrap();
            within("all but the end", async { while self.world.number(kept).await < come {} }).await;
        }
        connection.write_all(last).await.unwrap();
        let sent = Instant::now();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        let took = sent.elapsed();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        took
    }

    async fn all_read(&self) {
        let read = async { while self.world.number("SELECT count(*) FROM inbox WHERE state = 'unread'").await > 0 {} };
        within("the end of the inbox", read).await;
    }
}

fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap()
}

/// History of one chat nobody asked for, of about so many bytes.
fn history(id: &str, bytes: usize) -> String {
    let padding = "x".repeat(bytes);
    format!(
        r#"{{"type":"HistorySync","userID":"u","padding":"{padding}","event":{{"Data":{{"syncType":3,"progress":10,"conversations":[
           {{"ID":"5511988887777@s.whatsapp.net","messages":[{{"message":{{"key":{{"remoteJID":"5511988887777@s.whatsapp.net",
           "fromMe":false,"ID":"{id}"}},"message":{{"conversation":"oi"}},"messageTimestamp":1766000000}}}}]}}]}}}}}}"#
    )
}

fn wuzapi() -> Settings {
    Settings { provider: Provider::Wuzapi, population: talkative(1), ..Settings::default() }
}

#[tokio::test]
async fn a_webhook_is_answered_within_50_ms_of_its_last_byte_whatever_its_size() {
    let world = World::alone(&[("SINCRO_HOOK_MAX_BODY_MB", "66")]).await;
    let line = Line::served_by("all", world, wuzapi()).await;
    let path = line.hook_path().await;
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for n in 0..300 {
        small.push(line.post(&path, history(&format!("small{n}"), 100).as_bytes()).await);
    }
    for n in 0..6 {
        large.push(line.post(&path, history(&format!("large{n}"), 64 * MB).as_bytes()).await);
        line.all_read().await;
    }
    small.sort_unstable();
    large.sort_unstable();
    let p99 = small[small.len() * 99 / 100];
    announce(&format!("webhooks answered: small p99 {p99:?}, 64 MB at most {:?}", large.last().unwrap()));
    assert!(p99 < Duration::from_millis(50), "{p99:?}");
    assert!(large.iter().all(|took| *took < Duration::from_millis(50)), "{large:?}");
    line.all_read().await;
    let stored = line.api.messages(line.channel).await;
    assert_eq!(stored.len(), 306);
    assert!(stored.iter().all(|message| message.origin == Origin::History));
}

#[tokio::test]
async fn webhooks_to_a_paused_channel_are_stored_all_the_same() {
    let line = Line::with(wuzapi(), &[]).await;
    let path = line.hook_path().await;
    assert_eq!(line.api.steer_channel(line.channel, "pause").await["state"], "paused");
    for n in 0..3 {
        line.post(&path, history(&format!("paused{n}"), 100).as_bytes()).await;
    }
    line.all_read().await;
    assert_eq!(line.api.messages(line.channel).await.len(), 3);
    assert_eq!(line.api.channel(line.channel).await["state"], "paused");
    assert_eq!(line.gateway.calls().count(|_| true), 0, "nothing was asked for");
}

#[tokio::test]
async fn what_nobody_understands_is_kept_for_people_and_what_is_unknown_is_counted() {
    let line = Line::with(wuzapi(), &[]).await;
    let path = line.hook_path().await;
    line.post(&path, b"this is no JSON").await;
    line.post(&path, br#"{"type":"SomethingNew","userID":"u","event":{}}"#).await;
    line.all_read().await;
    let states = "SELECT state, error IS NOT NULL AS says_why, events FROM inbox ORDER BY id";
    let rows = line.world.rows(states).await;
    assert_eq!(rows[0]["state"], "unreadable");
    assert_eq!(rows[0]["says_why"], true);
    assert_eq!(rows[1]["state"], "read");
    assert_eq!(rows[1]["events"]["unknown SomethingNew"], 1);
    let metrics = line.api.get("/metrics").await.body;
    assert!(metrics.contains("sincro_hook_events_total{provider=\"wuzapi\",kind=\"unknown\"} 1"), "{metrics}");
    assert_eq!(line.world.number("SELECT count(*) FROM inbox_parts").await, 2, "their bytes are there");
}

#[tokio::test]
async fn a_flood_is_taken_and_read_to_its_end() {
    let line = Line::with(wuzapi(), &[]).await;
    let path = line.hook_path().await;
    for round in 0..10 {
        let bodies: Vec<String> = (0..40).map(|n| history(&format!("flood{round}x{n}"), 2_000)).collect();
        let posts = bodies.iter().map(|body| line.post(&path, body.as_bytes()));
        futures::future::join_all(posts).await;
    }
    line.all_read().await;
    assert_eq!(line.world.number("SELECT count(*) FROM messages").await, 400);
}
