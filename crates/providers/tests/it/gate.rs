//! Small servers on local ports, and connections to them. No test waits for a clock: where time has to run out, nobody ever
//! answers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Request, response::Response};
use serde_json::{Value, json};
use sincro_core::{
    channel::{Channel, Connection},
    clock,
    gateway::{Anchor, Answer, Call, ContactsPiece, Refusal},
    hook::Told,
    limit::Limit,
    provider::Provider,
};
use sincro_providers::{Answered, ContactList, GatewaySettings, Gateways, read_hook};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use uuid::Uuid;

pub(crate) const PHONE: &str = "5511988887777@s.whatsapp.net";
pub(crate) const TOKEN: &str = "hush-hush-4711";

/// What arrived at a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) target: String,
    pub(crate) token: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) method: String,
    pub(crate) api_key: Option<String>,
    pub(crate) instance_id: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
}

/// A server that ends with the test.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    task: JoinHandle<()>,
}

impl Gate {
    /// Gives this answer to everything.
    pub(crate) async fn answering(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Self {
        let arrivals: Arc<Mutex<Vec<Arrival>>> = Arc::default();
        let noted = Arc::clone(&arrivals);
        let app = Router::new().fallback(move |request: Request| {
            let (noted, answer) = (Arc::clone(&noted), answer.clone());
            async move {
                let arrival = arrival(request).await;
                noted.lock().expect("no test panics in here").push(arrival);
                answer()
            }
        });
        let listener = listener().await;
        let address = listener.local_addr().expect("a bound listener has an address");
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("the server runs") });
        Self { address, arrivals, task }
    }

    /// Gives these bytes to every request and closes the connection, whether they are an answer or not.
    pub(crate) async fn sending(bytes: &'static [u8]) -> Self {
        let listener = listener().await;
        let address = listener.local_addr().expect("a bound listener has an address");
        let task = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                // A TLS greeting has no such end; its first byte is enough.
                while !head.ends_with(b"\r\n\r\n") && head.first() != Some(&0x16) {
                    head.push(socket.read_u8().await.expect("a request comes"));
                }
                socket.write_all(bytes).await.expect("the caller listens");
                socket.shutdown().await.expect("the connection is open");
            }
        });
        Self { address, arrivals: Arc::default(), task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().expect("no test panics in here").clone()
    }
}

async fn arrival(request: Request) -> Arrival {
    let head = head_of(&request);
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.expect("the body comes");
    Arrival { body: String::from_utf8(body.to_vec()).expect("we send UTF-8"), ..head }
}

fn head_of(request: &Request) -> Arrival {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Arrival {
        target: request.uri().to_string(),
        token: header("token"),
        authorization: header("authorization"),
        user_agent: header("user-agent"),
        method: request.method().to_string(),
        api_key: header("x-api-key"),
        instance_id: header("x-instance-id"),
        content_type: header("content-type"),
        body: String::new(),
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The system accepts for it; nobody ever answers.
pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a local port is free")
}

pub(crate) fn settings() -> GatewaySettings {
    GatewaySettings { call_timeout: Duration::from_secs(10), ..GatewaySettings::default() }
}

pub(crate) fn connection(base_url: &str) -> Connection {
    connection_of(Provider::Wuzapi, base_url)
}

pub(crate) fn connection_of(provider: Provider, base_url: &str) -> Connection {
    connection_with(provider, base_url, &json!({"token": TOKEN}))
}

pub(crate) fn connection_with(provider: Provider, base_url: &str, credentials: &Value) -> Connection {
    Connection {
        channel: Channel {
            id: Uuid::nil(),
            name: "test".to_owned(),
            provider,
            base_url: base_url.parse().expect("tests use good addresses"),
            features: [].into(),
            limit: Limit::default(),
            paused: None,
            hook_token: String::new(),
            version: 1,
            created_at: clock::now(),
        },
        credentials: credentials.to_string().into(),
    }
}

pub(crate) fn history() -> Call {
    Call::History { address: PHONE.parse().expect("a good address"), limit: 25, cursor: None, since: None }
}

pub(crate) fn lid() -> Call {
    Call::LookUpLid { phone: PHONE.parse().expect("a good address") }
}

/// One call with these settings. No refusal may ever show the token.
pub(crate) async fn ask_with(settings: &GatewaySettings, base_url: &str, call: &Call) -> Result<Answered, Refusal> {
    ask_of(Provider::Wuzapi, settings, base_url, call).await
}

/// The same of any kind of gateway.
pub(crate) async fn ask_of(
    provider: Provider,
    settings: &GatewaySettings,
    base_url: &str,
    call: &Call,
) -> Result<Answered, Refusal> {
    ask_over(settings, &connection_of(provider, base_url), call).await
}

/// The same over a connection with credentials of its own.
pub(crate) async fn ask_over(
    settings: &GatewaySettings,
    connection: &Connection,
    call: &Call,
) -> Result<Answered, Refusal> {
    let gateways = Gateways::new(settings).expect("the client can be built");
    let outcome = gateways.call(connection, call).await;
    assert!(!format!("{outcome:?}").contains(TOKEN), "{outcome:?}");
    outcome
}

/// The same for a call whose answer is read whole.
pub(crate) async fn call_with(settings: &GatewaySettings, base_url: &str, call: &Call) -> Result<Answer, Refusal> {
    ask_with(settings, base_url, call).await.map(whole)
}

pub(crate) async fn call(base_url: &str, call: &Call) -> Result<Answer, Refusal> {
    call_with(&settings(), base_url, call).await
}

pub(crate) fn whole(answered: Answered) -> Answer {
    match answered {
        Answered::Whole(answer, _) => answer,
        other => panic!("{other:?}"),
    }
}

/// A contact list without pages: its pieces, and how many records were left out.
pub(crate) async fn contacts(
    settings: &GatewaySettings,
    base_url: &str,
) -> Result<(Vec<ContactsPiece>, usize), Refusal> {
    let list = listed(ask_with(settings, base_url, &Call::Contacts { cursor: None }).await?);
    assert_eq!(list.next, None);
    let left_out = list.left_out;
    Ok((pieces(list).await?, left_out))
}

pub(crate) fn listed(answered: Answered) -> ContactList {
    match answered {
        Answered::Contacts(list) => list,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn pieces(list: ContactList) -> Result<Vec<ContactsPiece>, Refusal> {
    let (mut pages, mut pieces) = (list.pieces(), Vec::new());
    while let Some(piece) = pages.next().await? {
        pieces.push(piece);
    }
    Ok(pieces)
}

/// A request to the phone for what is older than a message.
pub(crate) fn top_up(address: &str, from_me: bool) -> Call {
    let sent_at = "2025-12-17T16:46:40.250Z".parse().expect("a good time");
    let anchor = Anchor { message_id: "3EB0A1".to_owned(), from_me, sent_at };
    Call::TopUp { address: address.parse().expect("a good address"), anchor, count: 50 }
}

/// Everything that a webhook tells.
pub(crate) async fn told(connection: &Connection, content_type: &str, body: &[u8]) -> Result<Vec<Told>, String> {
    let mut pieces = read_hook(Arc::new(connection.clone()), content_type.to_owned(), body.to_vec());
    let mut told = Vec::new();
    while let Some(piece) = pieces.next().await? {
        told.extend(piece);
    }
    Ok(told)
}
