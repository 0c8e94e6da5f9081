//! Secrets go in and never come out: not in an answer, not in a log, not in a table, not in the queue.

use std::fmt::Write as _;

use redis::Commands as _;
use reqwest::Method;
use serde_json::{Value, json};
use sincro_core::sync::{SyncId, SyncState, SyncStatus};
use sincro_simulator::Settings;
use uuid::Uuid;

use super::{Operation, Subject, operations};
use crate::support::{Client, Gateway, World, people, stage::FAST};

const TOKEN: &str = "Geheimnis-4711-des-ersten-Kanals";
const HMAC_KEY: &str = "Siegel-0815-mit-mehr-als-zweiunddreissig-Zeichen";
const WRONG_TOKEN: &str = "Falsches-1234-des-zweiten-Kanals";
const STRANGER: &str = "sincro_Schluessel-9999-eines-Fremden";

/// Everything that was said, where it was said.
#[derive(Default)]
struct Heard(Vec<(String, String)>);

impl Heard {
    fn note(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.0.push((place.into(), text.into()));
    }

    /// In clear, in hexadecimal (bytes of Postgres) or in base64.
    fn never_says(&self, secret: &str) {
        let hex = secret.bytes().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        for (place, text) in &self.0 {
            for (form, written) in [("clear", secret), ("hexadecimal", &hex), ("base64", &base64(secret))] {
                assert!(!text.contains(written), "{place} says {secret:?} in {form}");
            }
        }
    }
}

/// The part of the base64 of a text that is the same wherever the text begins a group of three bytes.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = text.as_bytes().chunks_exact(3).map(|group| u32::from_be_bytes([0, group[0], group[1], group[2]]));
    groups.flat_map(|bits| [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]))).collect()
}

#[tokio::test]
async fn secrets_never_come_back() {
    assert_eq!(base64("sincro"), "c2luY3Jv");
    // Everything that the binary can be made to say.
    let world = World::with(&[("SINCRO_LOG", "trace")]).await;
    let gateway = Settings { tokens: vec![TOKEN.to_owned()], population: people(4), ..Settings::default() };
    let gateway = Gateway::start(gateway).await;
    let mut api = world.api().await;
    let mut worker = world.worker().await;
    let mut heard = Heard::default();

    let channels = connect(&api, &gateway, &mut heard).await;
    be_refused(&api, &gateway, channels[1], &mut heard).await;
    let syncs = work(&api, channels, &mut heard).await;
    let truth = gateway.truth();
    for (channel, sync) in channels.into_iter().zip(syncs) {
        let subject = Subject { channel, sync, address: truth.addresses().next().unwrap() };
        read_everything(&api, subject, &mut heard).await;
    }
    look_inside(&world, &mut heard).await;
    for process in [&mut api.process, &mut worker] {
        process.terminate();
        process.exit().await;
        let log = process.whole_log();
        assert!(log.contains("sqlx::query"), "not all that it can say: {log}");
        heard.note("a log", log);
    }
    assert!(heard.0.len() > 100, "little was heard: {}", heard.0.len());
    for secret in [TOKEN, HMAC_KEY, WRONG_TOKEN, STRANGER, &world.key] {
        heard.never_says(secret);
    }
}

/// A channel that its gateway takes, and one that it does not.
async fn connect(api: &Client, gateway: &Gateway, heard: &mut Heard) -> [Uuid; 2] {
    let mut channels = [Uuid::nil(); 2];
    let given = [json!({"token": TOKEN, "hmac_key": HMAC_KEY}), json!({"token": "to be changed"})];
    for (channel, credentials) in channels.iter_mut().zip(given) {
        let made = api.post_json("/v1/channels", &channel_with(gateway, &credentials)).await;
        heard.note("POST /v1/channels", &made.body);
        *channel = made.ok::<Value>()["id"].as_str().unwrap().parse().unwrap();
    }
    let wrong = json!({"credentials": {"token": WRONG_TOKEN}});
    let changed = api.patch(&format!("/v1/channels/{}", channels[1]), &wrong).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    heard.note("PATCH", changed.body);
    channels
}

fn channel_with(gateway: &Gateway, credentials: &Value) -> Value {
    json!({"name": "n", "provider": "wuzapi", "base_url": gateway.base_url(), "credentials": credentials,
           "features": ["import_messages"], "limit": FAST})
}

/// What cannot be used is not repeated either.
async fn be_refused(api: &Client, gateway: &Gateway, channel: Uuid, heard: &mut Heard) {
    for credentials in [
        json!({"token": TOKEN, "key": HMAC_KEY}),
        json!({"token": TOKEN, "hmac_key": [HMAC_KEY]}),
        json!(TOKEN),
        json!([TOKEN]),
    ] {
        let refused = api.post_json("/v1/channels", &channel_with(gateway, &credentials)).await;
        assert_eq!(refused.refused(422), "bad_credentials");
        heard.note("a refusal", refused.body);
    }
    let url = json!({"base_url": format!("http://user:{TOKEN}@127.0.0.1:9")});
    let refused = api.patch(&format!("/v1/channels/{channel}"), &url).await;
    assert_eq!(refused.refused(422), "bad_base_url");
    heard.note("a refusal", refused.body);
    let stranger = api.with_key(STRANGER).get("/v1/channels").await;
    assert_eq!(stranger.refused(401), "unauthorized");
    heard.note("a refusal", stranger.body);
}

/// One gateway takes its token, the other refuses it, and both are written down.
async fn work(api: &Client, [good, bad]: [Uuid; 2], heard: &mut Heard) -> [SyncId; 2] {
    let completed = api.start_sync(good, 25).await.id;
    assert_eq!(api.end_of(completed).await.state, SyncState::Completed);
    let stuck = api.start_sync(bad, 25).await.id;
    let is_paused = |status: &SyncStatus| status.limited_by.as_deref().is_some_and(|why| why.starts_with("paused"));
    let paused = api.follow(stuck).await.until(is_paused).await;
    heard.note("an event", format!("{paused:?}"));
    heard.note("a cancelled sync", format!("{:?}", api.steer(stuck, "cancel").await));
    [completed, stuck]
}

/// Every GET there is.
async fn read_everything(api: &Client, subject: Subject<'_>, heard: &mut Heard) {
    // Whoever asks for an address of webhooks knows its secret part.
    let open = |operation: &&Operation| operation.method == Method::GET && !operation.path.starts_with("/hooks/");
    for operation in operations(api).await.iter().filter(open) {
        let reply = api.get(&operation.path_of(subject)).await;
        assert_eq!(reply.status, 200, "{}", operation.name());
        heard.note(operation.name(), format!("{:?}\n{}", reply.headers, reply.body));
    }
}

/// Every row and every key.
async fn look_inside(world: &World, heard: &mut Heard) {
    for table in world.tables().await {
        for row in world.rows(&format!("SELECT to_jsonb(t)::text AS row FROM {table} t")).await {
            heard.note(format!("table {table}"), row["row"].as_str().unwrap());
        }
    }
    for key in world.queue.keys() {
        heard.note("the queue", format!("{key} {}", content(world, &key)));
    }
}

/// What Redis keeps under a key.
fn content(world: &World, key: &str) -> String {
    let mut redis = redis::Client::open(world.queue.url.as_str()).unwrap().get_connection().unwrap();
    let kind: String = redis::cmd("TYPE").arg(key).query(&mut redis).unwrap();
    let content: redis::Value = match kind.as_str() {
        "hash" => redis.hgetall(key).unwrap(),
        "list" => redis.lrange(key, 0, -1).unwrap(),
        "set" => redis.smembers(key).unwrap(),
        "zset" => redis.zrange(key, 0, -1).unwrap(),
        _ => redis.get(key).unwrap(),
    };
    let mut texts = Vec::new();
    let mut rest = vec![&content];
    while let Some(value) = rest.pop() {
        match value {
            redis::Value::Array(values) | redis::Value::Set(values) => rest.extend(values),
            redis::Value::Map(pairs) => rest.extend(pairs.iter().flat_map(|(key, value)| [key, value])),
            redis::Value::BulkString(bytes) => texts.push(String::from_utf8_lossy(bytes).into_owned()),
            other => texts.push(format!("{other:?}")),
        }
    }
    texts.join(" ")
}
