//! `POST /hooks/{provider}/{hook_token}`: webhooks of gateways.
//!
//! Whatever comes is kept as it came, and answered when that is committed; somebody else reads it. Its bytes are followed by the
//! signature while they arrive, and never all in memory.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
};
use futures::StreamExt as _;
use sincro_core::{
    channel::{ChannelId, Connection},
    hook::{Proof, Seal},
    provider::Provider,
};
use sincro_store::{
    Store,
    inbox::{Arrival, InboxId},
};
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    problem::{Code, Problem, refusals},
    state::App,
};

/// Bytes that are kept together: what is longer is kept as it comes.
const PART: usize = 1024 * 1024;
/// The longest silence in the middle of a body.
const SILENCE: Duration = Duration::from_secs(10);
/// A content type is kept up to this length.
const LONGEST_TYPE: usize = 200;

refusals!(Refusals: &[
    Code::ChannelNotFound, Code::HookRefused, Code::BadHook, Code::BodyTooLarge, Code::Internal, Code::LedgerUnavailable,
    Code::TimedOut,
]);

/// Take a webhook
///
/// For gateways: the address is a channel's `hook_url`. The body is kept as it is, up to `hook_max_body_mb`, and read later; the answer
/// says that it is kept. Where the channel's credentials hold a secret for webhooks, one without a good signature is refused.
#[utoipa::path(
    post, path = "/hooks/{provider}/{hook_token}", operation_id = "take_webhook", tag = "webhooks",
    params(
        ("provider" = Provider, Path, description = "The kind of gateway"),
        ("hook_token" = String, Path, description = "The channel's secret part of the address"),
    ),
    request_body(content = Vec<u8>, description = "Whatever the gateway sends", content_type = "*/*"),
    responses((status = 200, description = "It is kept"), Refusals),
)]
pub(crate) async fn take(
    State(app): State<App>,
    Path((provider, hook_token)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let connection = connection(&app, &provider, &hook_token).await?;
    let provider = connection.channel.provider;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let proof = (app.settings.prove)(&connection, &header);
    let mut incoming = Incoming {
        app: &app,
        provider,
        channel: connection.channel.id,
        content_type: content_type(&headers),
        most: app.settings.hook_max_body_bytes,
        stream: body.into_data_stream(),
        verified: !matches!(proof, Proof::Address),
        seal: None,
        bytes: 0,
    };
    match proof {
        // Read to its end: who is still sending would see a broken connection instead of the answer.
        Proof::Missing(header) => {
            while incoming.next_chunk().await?.is_some() {}
            return Err(unproven(provider, header));
        }
        Proof::Signature(seal) => incoming.seal = Some(seal),
        Proof::Address | Proof::Secret => {}
    }
    incoming.keep().await?;
    count(provider, "kept");
    Ok(StatusCode::OK)
}

/// Answer for a webhook address
///
/// For whoever registers the address and asks whether it is ours: Meta's question (`hub.mode`, `hub.verify_token`, `hub.challenge`) is
/// answered with what it sent. Anybody else learns that this is an address that takes webhooks.
#[utoipa::path(
    get, path = "/hooks/{provider}/{hook_token}", operation_id = "answer_for_webhooks", tag = "webhooks",
    params(
        ("provider" = Provider, Path, description = "The kind of gateway"),
        ("hook_token" = String, Path, description = "The channel's secret part of the address"),
        ("hub.mode" = Option<String>, Query, description = "`subscribe`, where Meta asks"),
        ("hub.verify_token" = Option<String>, Query, description = "The channel's `verify_token`"),
        ("hub.challenge" = Option<String>, Query, description = "What is sent back"),
    ),
    responses((status = 200, body = String, description = "The challenge, or nothing", content_type = "text/plain"), Refusals),
)]
pub(crate) async fn answer(
    State(app): State<App>,
    Path((provider, hook_token)): Path<(String, String)>,
    uri: Uri,
) -> Result<String, Problem> {
    let connection = connection(&app, &provider, &hook_token).await?;
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let parameter = |name: &str| query.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
    match (app.settings.challenge)(&connection, &parameter) {
        None => Ok(String::new()),
        Some(Ok(answer)) => Ok(answer),
        Some(Err(())) => Err(unproven(connection.channel.provider, "hub.verify_token")),
    }
}

async fn connection(app: &App, provider: &str, hook_token: &str) -> Result<Connection, Problem> {
    let nobody = || Problem::new(Code::ChannelNotFound, "this is no channel's address for webhooks");
    // Not remembered: a secret that was changed holds from now on.
    Ok(app.store.connection_of_hook(provider.parse().map_err(|_| nobody())?, hook_token).await?)
}

/// A webhook whose bytes are coming.
struct Incoming<'a> {
    app: &'a App,
    provider: Provider,
    channel: ChannelId,
    content_type: String,
    most: usize,
    stream: BodyDataStream,
    verified: bool,
    seal: Option<Box<dyn Seal>>,
    bytes: usize,
}

impl Incoming<'_> {
    async fn keep(mut self) -> Result<(), Problem> {
        let first = self.next_part().await?;
        if first.len() < PART {
            self.check()?;
            let arrival = Arrival { channel: self.channel, content_type: self.content_type, verified: self.verified };
            self.app.store.keep_hook(&arrival, &first).await?;
            return Ok(());
        }
        let store = self.app.store.clone();
        let id = store.begin_hook(self.channel, &self.content_type).await?;
        let mut arriving = Arriving { store, id, settled: false };
        let kept = self.keep_parts(id, first).await;
        if kept.is_err() {
            arriving.take_back().await;
        }
        arriving.settled = true;
        kept
    }

    /// While one part is being kept the next one comes: whoever sends is not held up.
    async fn keep_parts(&mut self, id: InboxId, first: Vec<u8>) -> Result<(), Problem> {
        let store = self.app.store.clone();
        let (mut part, mut keeping) = (first, None);
        for place in 0.. {
            let last = part.len() < PART;
            kept(keeping.take()).await?;
            if !part.is_empty() {
                let store = store.clone();
                keeping = Some(tokio::spawn(async move { store.add_to_hook(id, place, &part).await }));
            }
            if last {
                break;
            }
            part = self.next_part().await?;
        }
        self.check()?;
        kept(keeping).await?;
        store.end_hook(id, i64::try_from(self.bytes).unwrap_or(i64::MAX), self.verified).await?;
        Ok(())
    }

    /// So many bytes as are kept together; fewer at the end.
    async fn next_part(&mut self) -> Result<Vec<u8>, Problem> {
        let mut part = Vec::new();
        while part.len() < PART {
            let Some(chunk) = self.next_chunk().await? else { break };
            part.extend_from_slice(&chunk);
        }
        Ok(part)
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        let chunk = match timeout(SILENCE, self.stream.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) | Err(_) => {
                count(self.provider, "broken_off");
                return Err(Problem::new(Code::BadHook, "the body ended early"));
            }
        };
        self.bytes += chunk.len();
        if self.bytes > self.most {
            count(self.provider, "too_large");
            return Err(Problem::new(Code::BodyTooLarge, format!("the body has more than {} bytes", self.most)));
        }
        if let Some(seal) = &mut self.seal {
            seal.take(&chunk);
        }
        Ok(Some(chunk))
    }

    fn check(&mut self) -> Result<(), Problem> {
        if self.seal.take().is_none_or(Seal::holds) { Ok(()) } else { Err(unproven(self.provider, "the signature")) }
    }
}

/// A part is there.
async fn kept(keeping: Option<JoinHandle<Result<(), sincro_store::Error>>>) -> Result<(), Problem> {
    match keeping {
        Some(keeping) => Ok(keeping.await.map_err(Problem::internal)??),
        None => Ok(()),
    }
}

/// A webhook whose parts are kept before it is known whether all of it is good. What came of it is taken back if it is not, and also if
/// the request is dropped.
struct Arriving {
    store: Store,
    id: InboxId,
    settled: bool,
}

impl Arriving {
    async fn take_back(&self) {
        if let Err(error) = self.store.drop_hook(self.id).await {
            tracing::warn!(inbox = self.id, %error, "what came of a webhook that was refused stays for a while");
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.settled {
            let left = Self { store: self.store.clone(), id: self.id, settled: true };
            tokio::spawn(async move { left.take_back().await });
        }
    }
}

fn unproven(provider: Provider, what: &str) -> Problem {
    count(provider, "refused");
    tracing::warn!(%provider, what, "a webhook was refused: it does not show that it comes from the gateway");
    Problem::new(Code::HookRefused, format!("{what} is missing or wrong"))
}

fn content_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.chars().take(LONGEST_TYPE).collect()
}

fn count(provider: Provider, result: &'static str) {
    metrics::counter!("sincro_hooks_total", "provider" => provider.as_str(), "result" => result).increment(1);
}
