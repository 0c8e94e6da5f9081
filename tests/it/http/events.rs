//! The event stream of a sync: at once, in order, to its end, and on from where a reader was.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use sincro_core::sync::{SyncId, SyncState, SyncStatus};
use socket2::{Domain, Socket, Type};
use tokio::task::JoinSet;

use super::{PHONE, idle_channel};
use crate::support::{Client, Gateway, Stage, World, bounds::LONG, people, stage::FAST, within};

/// Opens the stream; with the last id that was seen, if any.
async fn open(api: &Client, sync: SyncId, seen: Option<&str>) -> Response {
    let mut request = api.request(Method::GET, &format!("/v1/syncs/{sync}/events"));
    if let Some(seen) = seen {
        request = request.header("Last-Event-ID", seen);
    }
    within("an event stream", request.send()).await.unwrap()
}

/// The stream to its end: the ids, and what came under them.
async fn read(stream: Response) -> Vec<(i64, SyncStatus)> {
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let text = within("the end of an event stream", stream.text()).await.unwrap();
    text.split("\n\n").filter_map(event).collect()
}

/// An event; a comment is none.
fn event(text: &str) -> Option<(i64, SyncStatus)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let status = serde_json::from_str(field("data:")?).unwrap();
    assert_eq!(field("event:"), Some("status"));
    Some((field("id:").unwrap().parse().unwrap(), status))
}

#[tokio::test]
async fn the_first_event_comes_at_once_though_nothing_happens() {
    let world = World::new().await;
    let api = world.api().await;
    let sync = api.start_sync(idle_channel(&api).await, 25).await;
    let mut stream = api.follow(sync.id).await;
    let first = within("the first event", stream.next()).await.unwrap();
    assert_eq!((first.id, first.state, first.revision), (sync.id, SyncState::Planning, sync.revision));
}

#[tokio::test]
async fn ids_grow_and_the_stream_ends_with_the_sync() {
    let stage = Stage::of(people(30)).await;
    let sync = stage.start().await;
    let events = read(open(&stage.api, sync, None).await).await;
    assert!(events.is_sorted_by_key(|(id, _)| *id), "the ids went back");
    assert!(events.is_sorted_by_key(|(_, status)| status.jobs.settled()), "the numbers went back");
    assert!(events.iter().all(|(id, status)| *id == status.revision && status.id == sync));
    let ends = events.iter().filter(|(_, status)| status.state.is_terminal()).count();
    let (_, last) = events.last().unwrap();
    assert_eq!((ends, last.state, last.jobs.settled()), (1, SyncState::Completed, last.jobs.total));
    assert_eq!(*last, stage.api.status(sync).await, "the last event is what the sync is from then on");
}

#[tokio::test]
async fn a_reader_who_comes_back_is_told_what_is_new_and_only_that() {
    let world = World::new().await;
    let api = world.api().await;
    let channel = idle_channel(&api).await;
    let sync = api.start_ticket(channel, PHONE, 5).await.id;
    // Paused, nothing about it changes by itself.
    let seen = api.steer(sync, "pause").await.revision;
    let stream = open(&api, sync, Some(&seen.to_string())).await;
    let end = api.steer(sync, "cancel").await.revision;
    let events = read(stream).await;
    assert!(events.iter().all(|(id, _)| *id > seen), "{seen} had been seen: {events:?}");
    assert_eq!(events.last().map(|(id, status)| (*id, status.state)), Some((end, SyncState::Cancelled)));

    // It is over: who has not seen the end is shown it, who has is told to stop coming back.
    let missed = read(open(&api, sync, Some(&seen.to_string())).await).await;
    assert_eq!(missed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [end]);
    let done = open(&api, sync, Some(&end.to_string())).await;
    assert_eq!(done.status(), 204);
    assert_eq!(done.text().await.unwrap(), "");

    // What is no id of this sync counts as nothing seen.
    for strange in ["", "seven", "-1", "999999", "99999999999999999999999"] {
        let events = read(open(&api, sync, Some(strange)).await).await;
        assert_eq!(events.len(), 1, "{strange}");
    }
}

#[tokio::test]
async fn many_readers_at_once_all_see_the_same_end() {
    const READERS: usize = 60;
    let world = World::new().await;
    let api = world.api().await;
    let gateway = Gateway::of(people(20)).await;
    let channel = api.create_channel(&gateway, FAST).await;
    let sync = api.start_sync(channel, 25).await.id;
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let mut stream = api.follow(sync).await;
        // Everybody reads before anything happens.
        within("the first event", stream.next()).await.unwrap();
        readers.spawn(async move {
            let end = stream.end().await;
            assert!(stream.is_closed().await);
            end
        });
    }
    let _worker = world.worker().await;
    let ends = readers.join_all().await;
    let end = api.status(sync).await;
    assert_eq!((ends.len(), end.state), (READERS, SyncState::Completed));
    assert!(ends.iter().all(|seen| *seen == end), "somebody saw another end");
}

#[tokio::test]
async fn one_stream_more_than_there_may_be_is_refused_until_one_is_closed() {
    let world = World::with(&[("SINCRO_EVENT_STREAMS", "2")]).await;
    let api = world.api().await;
    let sync = api.start_ticket(idle_channel(&api).await, PHONE, 5).await.id;
    let (mut one, mut other) = (api.follow(sync).await, api.follow(sync).await);
    for stream in [&mut one, &mut other] {
        within("the first event", stream.next()).await.unwrap();
    }
    let refused = open(&api, sync, None).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "too_many_streams");
    drop(one);
    let opened = async {
        loop {
            let stream = open(&api, sync, None).await;
            if stream.status() != 503 {
                return stream;
            }
        }
    };
    let opened = within("room for another stream", opened).await;
    api.steer(sync, "cancel").await;
    assert_eq!(read(opened).await.last().unwrap().1.state, SyncState::Cancelled);
    assert_eq!(other.end().await.state, SyncState::Cancelled);
}

#[tokio::test]
async fn nothing_piles_up_for_a_reader_who_does_not_read() {
    const EVENTS: usize = 60;
    let world = World::new().await;
    let api = world.api().await;
    let _worker = world.worker().await;
    let channel = idle_channel(&api).await;
    // Each event is about two kilobytes, so what fits into the sleeper's line is soon full.
    let reason = json!({"reason": "\u{1f4a4}".repeat(500)});
    api.post_json(&format!("/v1/channels/{channel}/pause"), &reason).await.ok::<Value>();
    let sync = api.start_ticket(channel, PHONE, 5).await.id;
    let mut reader = api.follow(sync).await;
    reader.until(|status| status.limited_by.as_ref().is_some_and(|why| why.len() > 2_000)).await;
    let mut sleeper = narrow_stream(&api, sync);
    for _ in 0..EVENTS {
        let now = api.status(sync).await.revision;
        api.steer(sync, "pause").await;
        api.steer(sync, "resume").await;
        reader.until(|status| status.revision > now).await;
    }
    api.steer(sync, "cancel").await;
    reader.end().await;
    let mut slept = String::new();
    sleeper.read_to_string(&mut slept).unwrap();
    let told = slept.matches("event: status").count();
    assert!(slept.contains("\"state\":\"cancelled\""), "it is told the end: {slept}");
    assert!(told < EVENTS * 2 / 3, "{told} of {EVENTS} events were kept for it, {} bytes", slept.len());
}

/// A stream whose line holds a few dozen kilobytes that nobody has read, where others hold megabytes.
fn narrow_stream(api: &Client, sync: SyncId) -> TcpStream {
    let address = api.base.trim_start_matches("http://");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.set_tcp_mss(88).unwrap();
    socket.connect(&address.parse::<SocketAddr>().unwrap().into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LONG)).unwrap();
    let key = api.key();
    let request = format!(
        "GET /v1/syncs/{sync}/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[tokio::test]
async fn a_stopping_api_ends_its_streams_and_the_next_one_takes_them_up() {
    let world = World::new().await;
    let mut api = world.api().await;
    let sync = api.start_ticket(idle_channel(&api).await, PHONE, 5).await.id;
    let mut stream = api.follow(sync).await;
    let seen = within("the first event", stream.next()).await.unwrap().revision;
    api.process.terminate();
    assert!(stream.is_closed().await);
    assert!(api.process.exit().await.success());

    let api = world.api().await;
    let stream = open(&api, sync, Some(&seen.to_string())).await;
    api.steer(sync, "cancel").await;
    assert_eq!(read(stream).await.last().unwrap().1.state, SyncState::Cancelled);
}
