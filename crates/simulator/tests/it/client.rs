//! A caller that hides nothing: HTTP/1.1 by hand, so that tests see broken bodies and exact bytes.

use anyhow::{Context, Result};
use serde_json::Value;
use sincro_simulator::{Population, Settings, Simulator};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
    /// Whether the body ended where its length or its last chunk says.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &str| line.split_once(": ").is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| named(line)).and_then(|line| line.split_once(": ")).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }

    pub(crate) fn data(&self) -> Result<Value> {
        let mut json = self.json()?;
        anyhow::ensure!(json["success"] == true, "not a success: {json}");
        Ok(json["data"].take())
    }
}

/// A small population, quick to read as a whole.
pub(crate) fn few(contacts: u32) -> Population {
    Population { contacts, ..Population::default() }
}

pub(crate) async fn simulator(population: Population) -> Result<Simulator> {
    Simulator::start(Settings { population, ..Settings::default() }).await
}

/// With the right token.
pub(crate) async fn get(simulator: &Simulator, path: &str) -> Result<Answer> {
    send(simulator, "GET", path, Some(simulator.token()), "").await
}

/// With the token of one channel.
pub(crate) async fn get_as(simulator: &Simulator, channel: usize, path: &str) -> Result<Answer> {
    let token = simulator.tokens().nth(channel).context("a channel")?.to_owned();
    send(simulator, "GET", path, Some(&token), "").await
}

pub(crate) async fn history(simulator: &Simulator, address: &str, limit: usize) -> Result<Answer> {
    get(simulator, &format!("/chat/history?chat_jid={address}&limit={limit}")).await
}

pub(crate) async fn send(
    simulator: &Simulator,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Result<Answer> {
    let mut connection = open(simulator, method, path, token, body).await?;
    let mut bytes = Vec::new();
    // A connection that breaks in the middle is an answer too.
    let _ = connection.read_to_end(&mut bytes).await;
    parse(&bytes)
}

/// With these headers and no token but what they hold.
pub(crate) async fn send_with(
    simulator: &Simulator,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let lines: String = headers.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect();
    let mut connection = open_with(simulator, method, path, &lines, body).await?;
    let mut bytes = Vec::new();
    let _ = connection.read_to_end(&mut bytes).await;
    parse(&bytes)
}

/// Sends the request and leaves the answer to the caller.
pub(crate) async fn open(
    simulator: &Simulator,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Result<TcpStream> {
    // In the header of each provider: none of them looks at another's.
    let token = token.map(|token| format!("token: {token}\r\nAuthorization: Bearer {token}\r\n")).unwrap_or_default();
    open_with(simulator, method, path, &token, body).await
}

async fn open_with(simulator: &Simulator, method: &str, path: &str, headers: &str, body: &str) -> Result<TcpStream> {
    let host = simulator.base_url().strip_prefix("http://").context("base URL")?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    let mut connection = TcpStream::connect(host).await?;
    connection.write_all(request.as_bytes()).await?;
    Ok(connection)
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, raw) = text.split_once("\r\n\r\n").context("no head")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let answer = Answer { status, head: head.to_owned(), body: String::new(), complete: false };
    let promised = answer.header("content-length").map(str::parse::<usize>).transpose()?;
    let (body, complete) = match promised {
        Some(length) => (raw.to_owned(), raw.len() == length),
        None if answer.header("transfer-encoding") == Some("chunked") => unchunk(raw),
        None => (raw.to_owned(), true),
    };
    Ok(Answer { body, complete, ..answer })
}

fn unchunk(mut raw: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, rest)) = raw.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = rest.get(..size) else { break };
        body.push_str(chunk);
        raw = rest.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}
