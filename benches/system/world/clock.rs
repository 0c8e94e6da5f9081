//! The gateway of those figures that are about milliseconds: it has the driver's own clock, and takes its time where it is told to.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    time::sleep,
};

use super::answer;

/// A running gateway, on a thread of its own so that nothing the driver does makes its clock late.
pub(crate) struct ClockGateway {
    pub(crate) url: String,
    seen: Arc<Seen>,
    // Closed, it ends the thread.
    _open: oneshot::Sender<()>,
}

#[derive(Default)]
struct Seen {
    calls: Mutex<Vec<(Instant, usize)>>,
    news: Notify,
}

impl ClockGateway {
    /// One that answers after this time.
    pub(crate) fn start(delay: Duration) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let seen = Arc::new(Seen::default());
        let (open, closed) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let noted = Arc::clone(&seen);
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = serve(listener, delay, noted) => {}
                    _ = closed => {}
                }
            });
        });
        Ok(Self { url, seen, _open: open })
    }

    /// When the first byte of the first call since `after` came for that channel; waits for it.
    pub(crate) async fn first_call(&self, channel: usize, after: usize) -> Instant {
        loop {
            let news = self.seen.news.notified();
            if let Some(at) = self.found(channel, after) {
                return at;
            }
            news.await;
        }
    }

    /// How many calls there were.
    pub(crate) fn count(&self) -> usize {
        self.seen.calls.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn found(&self, channel: usize, after: usize) -> Option<Instant> {
        let calls = self.seen.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().skip(after).find(|call| call.1 == channel).map(|call| call.0)
    }
}

async fn serve(listener: std::net::TcpListener, delay: Duration, seen: Arc<Seen>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let seen = Arc::clone(&seen);
        tokio::spawn(async move { converse(stream, delay, &seen).await });
    }
}

/// Whoever speaks to it sends one request after the other, none of them with a body.
async fn converse(mut stream: TcpStream, delay: Duration, seen: &Seen) -> Option<()> {
    let mut buffer = Vec::with_capacity(4_096);
    loop {
        buffer.clear();
        let mut begun = None;
        while !buffer.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
            begun.get_or_insert_with(Instant::now);
        }
        let request = String::from_utf8_lossy(&buffer).into_owned();
        let token = header(&request, "token").and_then(answer::channel_of);
        if let (Some(begun), Some(channel)) = (begun, token) {
            seen.calls.lock().unwrap_or_else(PoisonError::into_inner).push((begun, channel));
            seen.news.notify_waiters();
        }
        sleep(delay).await;
        stream.write_all(answered(&request).as_bytes()).await.ok()?;
    }
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let lines = request.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(named, _)| named.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn answered(request: &str) -> String {
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let (status, body) = match path.split_once("chat_jid=") {
        Some((_, query)) => {
            let chat = query.split('&').next().unwrap_or_default().replace("%40", "@");
            let digits = chat.split('@').next().unwrap_or_default();
            (200, answer::history(&chat, digits))
        }
        None => answer::OTHERS
            .iter()
            .find(|(known, _, _)| path.starts_with(known))
            .map_or_else(|| (404, String::new()), |(_, status, body)| (*status, (*body).to_owned())),
    };
    let length = body.len();
    format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}
