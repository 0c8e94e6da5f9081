//! The gateway of most figures: nginx, which makes its answers from the chat that is asked for and notes time and token of each
//! call.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{net::TcpStream, time::sleep};

use super::{
    answer,
    process::{Process, Program},
    programs,
};

/// Longer than it keeps lines of its log to itself.
const UNTIL_WRITTEN: Duration = Duration::from_millis(300);

/// A running gateway.
pub(crate) struct Nginx {
    process: Process,
    pub(crate) url: String,
    log: PathBuf,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// When it was answered, in seconds since the Unix epoch, to the millisecond.
    pub(crate) at: f64,
    /// Of its token.
    pub(crate) channel: usize,
}

impl Nginx {
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (room, port) = (programs::room(folder, "nginx", None)?, programs::free_port()?);
        let (configuration, log) = (room.join("nginx.conf"), room.join("calls.log"));
        fs::write(&configuration, configured(&room, port))?;
        let program = Program {
            name: "nginx",
            path: &programs::find("nginx")?,
            arguments: ["-e", "error.log", "-p", ".", "-c", "nginx.conf"].map(Into::into).to_vec(),
            variables: Vec::new(),
            end: "TERM",
            account: None,
            folder: &room,
        };
        let mut process = Process::start(program).await?;
        process.until("ready", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await?;
        Ok(Self { process, url: format!("http://127.0.0.1:{port}"), log })
    }

    /// Where its log ends now.
    pub(crate) async fn mark(&self) -> anyhow::Result<u64> {
        sleep(UNTIL_WRITTEN).await;
        Ok(self.log.metadata()?.len())
    }

    /// What was called since, in the order of the times.
    pub(crate) async fn calls_since(&self, mark: u64) -> anyhow::Result<Vec<Call>> {
        sleep(UNTIL_WRITTEN).await;
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(mark))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let read = |line: &str| {
            let (at, token) = line.split_once(' ')?;
            Some(Call { at: at.parse().ok()?, channel: answer::channel_of(token)? })
        };
        let mut calls = text.lines().map(read).collect::<Option<Vec<Call>>>().context("a line that is no call")?;
        calls.sort_by(|a, b| a.at.total_cmp(&b.at));
        Ok(calls)
    }

    /// Waits until there were so many calls since.
    pub(crate) async fn until_called(&self, mark: u64, calls: usize) -> anyhow::Result<()> {
        while self.calls_since(mark).await?.len() < calls {}
        Ok(())
    }

    /// `provider/host:port`, as rules name it.
    pub(crate) fn server(&self) -> String {
        format!("wuzapi/{}", self.url.trim_start_matches("http://"))
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.process.cpu_seconds()
    }
}

fn configured(room: &Path, port: u16) -> String {
    let room = room.display();
    let mut places = String::new();
    for (path, status, body) in answer::OTHERS {
        let _ = writeln!(places, "    location {path} {{ return {status} '{}'; }}", escaped(body));
    }
    let history = escaped(&answer::history("$chat", "${digits}"));
    format!(
        r"daemon off;
# One process serves many times what any of those can do who are measured.
master_process off;
pid nginx.pid;
error_log error.log warn;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path {room}/1; proxy_temp_path {room}/2; fastcgi_temp_path {room}/3;
  uwsgi_temp_path {room}/4; scgi_temp_path {room}/5;
  log_format calls '$msec $http_token';
  access_log {room}/calls.log calls buffer=64k flush=100ms;
  keepalive_timeout 600;
  keepalive_requests 1000000000;
  default_type application/json;
  map $arg_chat_jid $digits {{ default ''; '~^(?<n>[0-9]+)(%40|@)' $n; }}
  map $arg_chat_jid $domain {{ default ''; '~(%40|@)(?<d>.+)$' $d; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    set $chat $digits@$domain;
    location = /chat/history {{ return 200 '{history}'; }}
{places}  }}
}}
"
    )
}

/// As nginx reads text between single quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
}
