//! One redis-server, to be asked, killed, frozen and started again. It writes to the disk only what it is told to save.

use std::{fs, net::Ipv4Addr, process::Command};

use redis::{FromRedisValue, IntoConnectionInfo as _, RedisConnectionInfo, RedisResult};
use tempfile::TempDir;

use super::{Kept, free_port, text};

/// A user and a password.
pub(crate) type Login = (&'static str, &'static str);

/// A running redis-server on loopback.
pub(crate) struct Redis {
    pub(crate) port: u16,
    /// User and password; without, whoever comes may do everything.
    login: Option<Login>,
    mode: &'static str,
    // Ends before its folder goes.
    kept: Kept,
    folder: TempDir,
}

impl Redis {
    /// One that stands alone.
    pub(crate) async fn alone() -> Self {
        Self::start("", "").await
    }

    /// With these lines of configuration beside the usual ones; a Sentinel with the mode `--sentinel`.
    pub(super) async fn start(mode: &'static str, settings: &str) -> Self {
        Self::start_for(None, mode, settings).await
    }

    /// One that lets nobody in but this user.
    pub(super) async fn start_for(login: Option<Login>, mode: &'static str, settings: &str) -> Self {
        let settings = match login {
            Some((user, password)) => format!("user default off\nuser {user} on >{password} ~* &* +@all\n{settings}"),
            None => settings.to_owned(),
        };
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let configuration = format!(
            "bind 127.0.0.1\nport {port}\ndir \"{}\"\nsave \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n{settings}\n",
            folder.path().display()
        );
        // A Sentinel refuses what is not its own.
        let known =
            |line: &&str| mode.is_empty() || !["save", "append", "repl"].iter().any(|word| line.starts_with(word));
        let configuration: Vec<_> = configuration.lines().filter(known).collect();
        fs::write(folder.path().join("redis.conf"), configuration.join("\n")).unwrap();
        let kept = keep(&folder, mode);
        let redis = Self { port, login, mode, kept, folder };
        redis.answers().await;
        redis
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        self.kept.signal("KILL");
    }

    /// SIGSTOP: it neither answers nor ends, its connections stay open.
    pub(crate) fn freeze(&self) {
        self.kept.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.kept.signal("CONT");
    }

    /// At the same place, with what it was told to save; it remembers who it is in its cluster.
    pub(crate) async fn start_again(&mut self) {
        self.kept.end();
        self.kept = keep(&self.folder, self.mode);
        self.answers().await;
    }

    /// Without a database behind its port.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends a command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let place = (Ipv4Addr::LOCALHOST.to_string(), self.port).into_connection_info()?;
        let settings = self.login.map_or_else(RedisConnectionInfo::default, |(user, password)| {
            RedisConnectionInfo::default().set_username(user).set_password(password)
        });
        let client = redis::Client::open(place.set_redis_settings(settings))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await
    }

    /// Waits until it is no replica any more.
    pub(crate) async fn becomes_master(&self) {
        self.says(&["INFO", "replication"], &["role:master"]).await;
    }

    /// How many calls of scripts it has run so far.
    pub(crate) async fn scripts_run(&self) -> u64 {
        let stats: String = self.ask(&["INFO", "commandstats"]).await.unwrap();
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split_once(','));
        calls.map_or(0, |(calls, _)| calls.parse().unwrap())
    }

    /// Waits until the answer to a command contains all of these words.
    pub(super) async fn says(&self, command: &[&str], words: &[&str]) {
        let says_so = async || {
            let answer: RedisResult<redis::Value> = self.ask(command).await;
            let text = answer.map(|answer| text_of(&answer)).unwrap_or_default();
            words.iter().all(|word| text.contains(word))
        };
        self.kept.until(&format!("{words:?}"), says_so).await;
    }

    async fn answers(&self) {
        self.says(&["PING"], &["PONG"]).await;
    }
}

fn keep(folder: &TempDir, mode: &str) -> Kept {
    let configuration = folder.path().join("redis.conf");
    let command = ["redis-server", text(&configuration), mode];
    // Also a frozen one takes this signal.
    let command = if mode.is_empty() { &command[..2] } else { &command };
    Kept::start(Command::new("sh"), "KILL", folder.path().join("log"), command)
}

/// All words of an answer, separated by blanks.
fn text_of(answer: &redis::Value) -> String {
    match answer {
        redis::Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        redis::Value::SimpleString(text) => text.clone(),
        redis::Value::Array(parts) => parts.iter().map(text_of).collect::<Vec<_>>().join(" "),
        redis::Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
