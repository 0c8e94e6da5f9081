//! One bounded HTTP request, for every gateway alike.
//!
//! Decides what a broken transport means: the connection, the clock, the size, a redirect. What a status or a body means is
//! the gateway's own verdict. No redirect is followed (the next address would be given the token), no proxy is taken from
//! the environment, and nothing is sent twice. What is read is bounded three times: each answer by its length and by the clock, and
//! all answers in memory together by their room; a list of contacts goes to a file.

mod download;

use std::{
    error::Error as StdError,
    io,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use reqwest::{
    Client, Method, Response,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION},
    redirect,
};
use serde_json::Value;
use sincro_core::{
    clock,
    gateway::{Answer, Refusal},
};
use url::Url;

use crate::{
    excerpt::{self, excerpt},
    gateways::{Error, GatewaySettings},
    retry_after,
    room::{Held, Room},
    signs,
    spool::{Spool, SpoolWriter},
};

pub use download::MediaFile;
pub(crate) use download::{Download, is_web};

/// Shorter than servers keep an idle connection (60 s and more), so that a request seldom meets a closed one.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Whoever has an address of ours answers at once, or not at all.
const KNOCK: Duration = Duration::from_secs(5);
/// An answer that waited so long for its room in memory and ran out of time did so through our fault.
const OURS: Duration = Duration::from_secs(1);

/// A request that is ready but for its secrets.
#[derive(Debug)]
pub(crate) struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    /// JSON.
    body: Option<String>,
    /// It is waited for so long at least.
    patience: Duration,
    /// Method and path without the base URL's prefix and without the query: for people.
    name: String,
}

impl Request {
    /// `base` with these path segments after its own and this query; both are escaped here.
    pub(crate) fn get(base: &Url, path: &[&str], query: &[(&str, &str)]) -> Result<Self, Refusal> {
        Self::new(Method::GET, base, path, query)
    }

    /// The same with a body.
    pub(crate) fn post(base: &Url, path: &[&str], body: Option<&Value>) -> Result<Self, Refusal> {
        Ok(Self { body: body.map(Value::to_string), ..Self::new(Method::POST, base, path, &[])? })
    }

    /// The same with a body that is JSON already.
    pub(crate) fn patch(base: &Url, path: &[&str], body: String) -> Result<Self, Refusal> {
        Ok(Self { body: Some(body), ..Self::new(Method::PATCH, base, path, &[])? })
    }

    fn new(method: Method, base: &Url, path: &[&str], query: &[(&str, &str)]) -> Result<Self, Refusal> {
        let name = format!("{method} /{}", path.join("/"));
        let mut url = base.clone();
        url.set_query(None);
        url.set_fragment(None);
        match url.path_segments_mut() {
            Ok(mut segments) if matches!(base.scheme(), "http" | "https") => {
                segments.pop_if_empty().extend(path);
            }
            _ => {
                let detail = format!("{name}: the channel's base_url is no http or https address");
                return Err(Refusal::Permanent { code: "bad_base_url", detail });
            }
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(Self { method, url, headers: HeaderMap::new(), body: None, patience: Duration::ZERO, name })
    }

    /// What is at an address of anybody's. Its name says the host alone: the rest may hold the right to read it.
    pub(crate) fn link(url: Url) -> Self {
        let name = format!("GET a link at {}", excerpt(url.host_str().unwrap_or_default(), excerpt::BODY));
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: None, patience: Duration::ZERO, name }
    }

    /// Waits at least so long for the answer, however impatient the settings are.
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Adds a header that no log shows; none when it could not be sent.
    pub(crate) fn with_secret(mut self, header: HeaderName, secret: &str) -> Option<Self> {
        let mut value = HeaderValue::from_bytes(secret.as_bytes()).ok()?;
        value.set_sensitive(true);
        self.headers.insert(header, value);
        Some(self)
    }

    /// How long an answer is waited for at least.
    pub(crate) fn least_patience(&self) -> Duration {
        self.patience
    }

    /// Method and path, for people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// A complete answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The wait the gateway asks for.
    pub(crate) retry_after: Option<Duration>,
    /// What time it was at the gateway.
    pub(crate) clock: Option<DateTime<Utc>>,
    /// Whether its headers say that a limit counts more than this caller.
    pub(crate) names_server: bool,
    /// The body; bytes that are no UTF-8 are replaced. Empty where an error's body could not be read: its status says enough.
    pub(crate) body: String,
    /// What the body takes of the room for answers.
    pub(crate) held: Held,
}

impl Reply {
    /// One for tests, without anything in its headers.
    #[cfg(test)]
    pub(crate) fn of(status: u16, body: &str) -> Self {
        Self {
            status,
            retry_after: None,
            clock: None,
            names_server: false,
            body: body.to_owned(),
            held: Held::default(),
        }
    }

    /// Its answer, with the gateway's time where that is asked for.
    pub(crate) fn dated(&self, mut answer: Answer) -> Answer {
        if let Answer::Session(session) = &mut answer {
            session.clock = self.clock;
        }
        answer
    }
}

/// The client and its bounds. Clones share the pool.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client,
    settings: GatewaySettings,
    room: Room,
}

impl Http {
    pub(crate) fn new(settings: &GatewaySettings) -> Result<Self, Error> {
        let client = Client::builder()
            .user_agent(concat!("sincro/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.call_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .gzip(true)
            .build()
            .map_err(|error| Error::Client(Box::new(error)))?;
        Ok(Self { client, settings: settings.clone(), room: Room::new(settings.memory_bytes) })
    }

    /// Sends it once and reads the answer to its end.
    pub(crate) async fn send(&self, request: Request) -> Result<Reply, Refusal> {
        let (name, patience) = (request.name.clone(), self.patience(&request));
        let (response, reply) = self.ask(request).await?;
        self.complete(&name, patience, response, reply).await
    }

    /// Sends an order once. Its status says whether it was taken: a body that cannot be read changes nothing about that, and is
    /// empty.
    pub(crate) async fn order(&self, request: Request) -> Result<Reply, Refusal> {
        let (name, patience) = (request.name.clone(), self.patience(&request));
        let (response, reply) = self.ask(request).await?;
        let mut held = self.room.place();
        let body = self.read(&name, patience, response, &mut held).await.unwrap_or_default();
        Ok(Reply { body: text(body), held, ..reply })
    }

    /// Whether somebody answers there with a good status, and if not, what came.
    pub(crate) async fn knock(&self, url: &str) -> Result<(), String> {
        let url: Url = url.parse().map_err(|error| format!("no address: {error}"))?;
        let answer = self.client.get(url).timeout(KNOCK).send().await;
        match answer {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("answered with status {}", response.status().as_u16())),
            Err(error) if error.is_timeout() => Err(format!("no answer within {KNOCK:?}")),
            Err(error) => Err(root_cause(&error.without_url())),
        }
    }

    /// Sends it once. A good answer goes to a file, whatever its length; the reply beside it has no body then.
    pub(crate) async fn fetch(&self, request: Request) -> Result<(Reply, Option<Spool>), Refusal> {
        let (name, patience) = (request.name.clone(), self.patience(&request));
        let (response, reply) = self.ask(request).await?;
        if response.status().is_success() {
            let spool = self.spool(&name, patience, response).await?;
            Ok((reply, Some(spool)))
        } else {
            Ok((self.complete(&name, patience, response, reply).await?, None))
        }
    }

    /// How long an answer is waited for.
    fn patience(&self, request: &Request) -> Duration {
        self.settings.call_timeout.max(request.least_patience())
    }

    /// The answer up to its body.
    async fn ask(&self, request: Request) -> Result<(Response, Reply), Refusal> {
        let name = request.name.clone();
        let (response, reply) = self.head(request).await?;
        if response.status().is_redirection() {
            return Err(redirected(&name, &response));
        }
        Ok((response, reply))
    }

    /// The same where a redirect is an answer like others.
    async fn head(&self, request: Request) -> Result<(Response, Reply), Refusal> {
        let patience = self.patience(&request);
        let Request { method, url, headers, body, patience: _, name } = request;
        let mut asking = self.client.request(method, url).headers(headers).timeout(patience);
        if let Some(body) = body {
            asking = asking.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = asking.send().await.map_err(|error| self.broken(&name, patience, error, 0))?;
        let reply = Reply {
            status: response.status().as_u16(),
            retry_after: retry_after::read(response.headers(), clock::now()),
            clock: retry_after::date(response.headers()),
            names_server: signs::name_server(response.headers()),
            body: String::new(),
            held: Held::default(),
        };
        Ok((response, reply))
    }

    async fn complete(
        &self,
        name: &str,
        patience: Duration,
        response: Response,
        reply: Reply,
    ) -> Result<Reply, Refusal> {
        let is_success = response.status().is_success();
        let mut held = self.room.place();
        let body = match self.read(name, patience, response, &mut held).await {
            Ok(body) => text(body),
            Err(_) if !is_success => String::new(),
            Err(refusal) => return Err(refusal),
        };
        Ok(Reply { body, held, ..reply })
    }

    /// Stops at the limit, so that no answer costs more memory than that; pieces come decompressed.
    async fn read(
        &self,
        name: &str,
        patience: Duration,
        mut response: Response,
        held: &mut Held,
    ) -> Result<Vec<u8>, Refusal> {
        let limit = self.settings.max_body_bytes;
        if announced(&response).is_some_and(|length| length > limit) {
            return Err(too_large(name, limit));
        }
        // No room is set aside for what was announced: it is believed as it comes.
        let (mut body, mut waited) = (Vec::new(), Duration::ZERO);
        loop {
            let piece = match response.chunk().await {
                // The gateway's time ran out while it waited for us.
                Err(error) if error.is_timeout() && waited > OURS => return Err(no_room(name, waited)),
                piece => piece.map_err(|error| self.broken(name, patience, error, body.len()))?,
            };
            let Some(piece) = piece else { return Ok(body) };
            if body.len() + piece.len() > limit {
                return Err(too_large(name, limit));
            }
            let asked = Instant::now();
            held.grow(body.len() + piece.len()).await;
            waited += asked.elapsed();
            body.extend_from_slice(&piece);
        }
    }

    /// The same into a file.
    async fn spool(&self, name: &str, patience: Duration, mut response: Response) -> Result<Spool, Refusal> {
        let limit = self.settings.max_contacts_bytes;
        if announced(&response).is_some_and(|length| length > limit) {
            return Err(too_large(name, limit));
        }
        let unkept = |error: io::Error| {
            let detail = format!("{name}: the answer could not be kept in a temporary file: {error}");
            Refusal::Transient { code: "spool", detail }
        };
        let mut spool = SpoolWriter::create().await.map_err(unkept)?;
        loop {
            let piece = response.chunk().await.map_err(|error| self.broken(name, patience, error, spool.len()))?;
            let Some(piece) = piece else { break };
            if spool.len() + piece.len() > limit {
                return Err(too_large(name, limit));
            }
            spool.write(&piece).await.map_err(unkept)?;
        }
        spool.finish().await.map_err(unkept)
    }

    /// What a transport error means, in words that hold neither the query nor a header.
    fn broken(&self, name: &str, whole: Duration, error: reqwest::Error, bytes_read: usize) -> Refusal {
        let connect = self.settings.connect_timeout;
        if error.is_builder() {
            let detail = format!("{name}: no request could be made: {}", root_cause(&error.without_url()));
            return Refusal::Permanent { code: "bad_base_url", detail };
        }
        if error.is_connect() {
            let timed_out = error.is_timeout();
            let cause = root_cause(&error.without_url());
            let detail = if timed_out {
                format!("{name}: no connection within {connect:?}")
            } else {
                format!("{name}: no connection: {cause}")
            };
            return Refusal::Unreachable { detail };
        }
        let (code, cause) = if error.is_timeout() {
            ("timeout", format!("no complete answer within {whole:?} ({bytes_read} bytes of it came)"))
        } else if is_garbled(&error) {
            let cause = root_cause(&error.without_url());
            ("unreadable_answer", format!("the answer is garbled after {bytes_read} bytes: {cause}"))
        } else if bytes_read > 0 || error.is_decode() || error.is_body() {
            let cause = root_cause(&error.without_url());
            ("connection", format!("the answer broke off after {bytes_read} bytes: {cause}"))
        } else {
            ("connection", format!("no answer: {}", root_cause(&error.without_url())))
        };
        Refusal::Transient { code, detail: format!("{name}: {cause}") }
    }
}

/// Bytes that are no UTF-8 are replaced.
fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap_or_else(|not| String::from_utf8_lossy(not.as_bytes()).into_owned())
}

fn announced(response: &Response) -> Option<usize> {
    response.content_length().and_then(|length| usize::try_from(length).ok())
}

fn no_room(name: &str, waited: Duration) -> Refusal {
    Refusal::Unreachable { detail: format!("{name}: the answer found no room in memory for {waited:.1?}") }
}

fn too_large(name: &str, limit: usize) -> Refusal {
    Refusal::Transient { code: "body_too_large", detail: format!("{name}: the answer is longer than {limit} bytes") }
}

/// Names the host alone: the rest of an address may hold a secret.
fn redirected(name: &str, response: &Response) -> Refusal {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let host = location.and_then(|location| response.url().join(location).ok());
    let place = host
        .as_ref()
        .and_then(Url::host_str)
        .map_or_else(|| "without saying where to".to_owned(), |host| format!("to {}", excerpt(host, excerpt::BODY)));
    let status = response.status().as_u16();
    let detail = format!(
        "{name}: {status} redirects {place}; redirects are not followed, so base_url has to be the final address"
    );
    Refusal::Permanent { code: "redirect", detail }
}

/// Whether the bytes came and are wrong: a body that does not unpack, or lengths of pieces that are none.
fn is_garbled(error: &reqwest::Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

/// The innermost cause, which is the one that tells something: `Connection refused (os error 111)`.
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let innermost = causes(error).last().unwrap_or(error);
    excerpt(&innermost.to_string(), excerpt::CAUSE)
}

/// What is behind an error, from near to far.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_prefix_of_a_base_url_is_kept_and_what_follows_is_escaped() {
        for (base, expected) in [
            ("http://gate:8080", "http://gate:8080/user/lid/55%2F11@lid?limit=1&chat_jid=a%40b%26c"),
            ("https://gate/wuzapi", "https://gate/wuzapi/user/lid/55%2F11@lid?limit=1&chat_jid=a%40b%26c"),
            ("https://gate/a/b/?key=1#top", "https://gate/a/b/user/lid/55%2F11@lid?limit=1&chat_jid=a%40b%26c"),
        ] {
            let path = ["user", "lid", "55/11@lid"];
            let request =
                Request::get(&base.parse().unwrap(), &path, &[("limit", "1"), ("chat_jid", "a@b&c")]).unwrap();
            assert_eq!(request.url.as_str(), expected);
            assert_eq!(request.name(), "GET /user/lid/55/11@lid");
        }
    }

    #[test]
    fn an_address_that_is_not_http_is_refused_for_good() {
        for base in ["mailto:ana@example.org", "ftp://gate/"] {
            let refusal = Request::get(&base.parse().unwrap(), &["session", "status"], &[]).unwrap_err();
            assert!(matches!(refusal, Refusal::Permanent { code: "bad_base_url", .. }), "{refusal}");
        }
    }

    #[test]
    fn a_request_may_ask_for_more_patience_than_the_settings_have_and_never_for_less() {
        let http = Http::new(&GatewaySettings { call_timeout: Duration::from_secs(30), ..GatewaySettings::default() });
        let http = http.unwrap();
        let request = || Request::get(&"http://gate".parse().unwrap(), &["messages", "A"], &[]).unwrap();
        assert_eq!(http.patience(&request()), Duration::from_secs(30));
        assert_eq!(http.patience(&request().with_patience(Duration::from_secs(45))), Duration::from_secs(45));
        assert_eq!(http.patience(&request().with_patience(Duration::from_secs(5))), Duration::from_secs(30));
    }

    #[test]
    fn a_body_is_json_and_its_method_is_part_of_its_name() {
        let base = "http://gate/v1".parse().unwrap();
        let request = Request::post(&base, &["history", "sync"], Some(&serde_json::json!({"count": 25}))).unwrap();
        assert_eq!((request.name(), request.body.as_deref()), ("POST /history/sync", Some(r#"{"count":25}"#)));
        assert_eq!(Request::patch(&base, &["settings"], "{}".into()).unwrap().name(), "PATCH /settings");
    }

    #[test]
    fn a_secret_header_does_not_show_in_debug_output() {
        let request = Request::get(&"http://gate".parse().unwrap(), &["session", "status"], &[]).unwrap();
        let request = request.with_secret(HeaderName::from_static("token"), "hush-hush").unwrap();
        assert!(!format!("{request:?}").contains("hush"));
    }
}
