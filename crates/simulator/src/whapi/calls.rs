//! The handlers.

use std::{collections::HashMap, ops::RangeInclusive, sync::Arc};

use axum::{
    Extension,
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use super::{
    answers, chat,
    message::{MEDIA, OWN_NUMBER},
    readings::UnknownChat,
};
use crate::{
    gate::Pretence,
    media,
    people::Person,
    server::{Channel, Server},
};

type Asking = Extension<Arc<Channel>>;
type Running = State<Arc<Server>>;
type Parameters = Query<HashMap<String, String>>;

/// How many of a list are asked for at once.
const COUNT: RangeInclusive<usize> = 1..=500;
const USUAL_COUNT: usize = 100;
/// The digits of a contact's number.
const DIGITS: RangeInclusive<usize> = 7..=15;
/// What may stand before the at sign of a chat.
const CHAT: RangeInclusive<usize> = 10..=31;

/// The words of the status, by their numbers. Those of the last two are not described.
const WORDS: [&str; 8] = ["NOT_INIT", "INIT", "LAUNCH", "QR", "AUTH", "ERROR", "SYNC_ERROR", "STOP"];

/// Looking at a sleeping channel wakes it, unless the call says that it shall not.
pub(super) async fn health(
    State(server): Running,
    Extension(channel): Asking,
    Extension(pretence): Extension<Pretence>,
    Query(asked): Parameters,
) -> Response {
    let wakes = asked.get("wakeup").is_none_or(|wakeup| wakeup != "false");
    let word = match (channel.session.is_asleep(), pretence.session) {
        (true, _) if wakes => {
            channel.session.wake();
            "LAUNCH".to_owned()
        }
        (true, _) => "NOT_INIT".to_owned(),
        (false, true) => "AUTH".to_owned(),
        (false, false) => channel.session.word().unwrap_or_else(|| "QR".to_owned()),
    };
    let code = code_of(&word);
    let user = pretence.session.then(|| json!({ "id": OWN_NUMBER, "name": format!("simulated-{}", channel.number) }));
    answers::ok(&json!({
        "channel_id": server.contract.name_of(&channel),
        "start_at": 1_766_000_000,
        "uptime": server.clock.uptime().as_secs(),
        "version": "1.8",
        "status": { "code": code, "text": word },
        "user": user,
    }))
}

/// The number of a word.
pub(super) fn code_of(word: &str) -> usize {
    WORDS.iter().position(|known| *known == word).unwrap_or(WORDS.len())
}

pub(super) async fn contacts(
    State(server): Running,
    Extension(channel): Asking,
    Extension(pretence): Extension<Pretence>,
    Query(asked): Parameters,
) -> Response {
    if !pretence.session {
        return no_session(&server);
    }
    let Some(Span { count, offset }) = Span::of(&asked, &server) else { return bad_parameters(&server) };
    // A long list takes long to draw; whoever calls meanwhile must not be timed late for it.
    let listing = tokio::task::spawn_blocking(move || {
        let listed = |person: &Person| person.listed_keys().map(|key| contact(person, key)).collect::<Vec<_>>();
        let people = channel.archive.people();
        let total: usize = people.iter().map(|person| person.listed_keys().count()).sum();
        let page: Vec<Value> = people.iter().flat_map(listed).skip(offset).take(count).collect();
        answers::ok(&json!({ "contacts": page, "count": count, "total": total, "offset": offset }))
    });
    listing.await.unwrap_or_else(|_| answers::error(&server, StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
}

/// A phone is named by its number alone.
fn contact(person: &Person, key: &str) -> Value {
    json!({
        "id": key.strip_suffix("@s.whatsapp.net").unwrap_or(key),
        "name": person.full_name,
        "pushname": person.push_name,
        "is_business": person.number % 10 == 7,
        "saved": !person.full_name.is_empty(),
    })
}

pub(super) async fn lid(
    State(server): Running,
    Extension(channel): Asking,
    Extension(pretence): Extension<Pretence>,
    Path(number): Path<String>,
) -> Response {
    if !pretence.session {
        return no_session(&server);
    }
    if !DIGITS.contains(&number.len()) || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return bad_parameters(&server);
    }
    match channel.archive.person(&format!("{number}@s.whatsapp.net")).and_then(|person| person.lid) {
        Some(lid) => answers::ok(&json!({ "lid": lid })),
        None => answers::error(&server, StatusCode::NOT_FOUND, "Specified contact not found"),
    }
}

pub(super) async fn chat(
    State(server): Running,
    Extension(channel): Asking,
    Extension(pretence): Extension<Pretence>,
    Path(address): Path<String>,
    Query(asked): Parameters,
) -> Response {
    if !pretence.session {
        return no_session(&server);
    }
    let span = Span::of(&asked, &server).filter(|_| is_chat(&address));
    let filter = chat::Filter::of(&asked);
    let (Some(Span { count, offset }), Some(filter)) = (span, filter) else { return bad_parameters(&server) };
    let readings = server.readings.with(|readings| *readings);
    let all = chat::all(&channel, &address, readings, filter);
    if all.is_empty() && readings.unknown_chat == UnknownChat::NotFound {
        return answers::error(&server, StatusCode::NOT_FOUND, "chat not found");
    }
    let page: Vec<Value> = all.into_iter().skip(offset).take(count).collect();
    if !page.is_empty() {
        channel.arrivals.add(&address, readings.arriving);
    }
    let last = offset + page.len().saturating_sub(1);
    answers::ok(&json!({
        "count": count, "total": page.len(), "offset": offset, "first": offset, "last": last, "messages": page,
    }))
}

pub(super) async fn file(
    State(server): Running,
    Extension(channel): Asking,
    Extension(pretence): Extension<Pretence>,
    Path(id): Path<String>,
) -> Response {
    if !pretence.session {
        return no_session(&server);
    }
    let found = id.strip_prefix(MEDIA).and_then(|id| media::find(&channel, id));
    found.map_or_else(
        || answers::error(&server, StatusCode::NOT_FOUND, "media not found"),
        |(message, media)| media.download(&message),
    )
}

/// `^[\d-]{10,31}@[\w\.]{1,}$`
fn is_chat(address: &str) -> bool {
    address.split_once('@').is_some_and(|(user, domain)| {
        let named = user.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        named && CHAT.contains(&user.len()) && !domain.is_empty() && domain.bytes().all(word)
    })
}

/// Which part of a list is asked for.
struct Span {
    count: usize,
    offset: usize,
}

impl Span {
    /// None when the gateway would refuse it.
    fn of(asked: &HashMap<String, String>, server: &Server) -> Option<Self> {
        let number = |name: &str, usual: usize| asked.get(name).map_or(Some(usual), |text| text.parse().ok());
        let count = number("count", USUAL_COUNT).filter(|count| COUNT.contains(count))?;
        let longest = server.readings.with(|readings| readings.longest_page);
        Some(Self { count: count.min(longest), offset: number("offset", 0)? })
    }
}

pub(super) fn bad_parameters(server: &Server) -> Response {
    answers::error(server, StatusCode::BAD_REQUEST, "Wrong request parameters")
}

pub(super) fn no_session(server: &Server) -> Response {
    answers::error(server, StatusCode::UNAUTHORIZED, "Need channel authorization for this request")
}
