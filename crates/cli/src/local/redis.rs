//! A private Redis: appends every write to a file, listens on 127.0.0.1 only, asks for a password of its own.
//!
//! Only the server's life; what is in it belongs to the queue. The few bytes spoken here find out whether it is ready.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::folder::Folder;
use super::leash::{Leash, Program};
use super::{ports, programs};

const NAME: &str = "redis";
/// A long append-only file takes a while to load.
const READY_PATIENCE: Duration = Duration::from_mins(2);
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

/// A running server.
pub(super) struct Redis {
    leash: Leash,
    url: String,
}

impl Redis {
    /// Starts it and waits until it answers. Without `fsync`, only a test's data may be in it.
    pub(super) async fn start(folder: &Folder, fsync: bool) -> anyhow::Result<Self> {
        let lock = folder.vacant(NAME).await?;
        let program = programs::redis_server()?;
        let room = folder.room(NAME)?;
        let password = folder.password(&room.join("password"))?;
        let remembered = room.join("port");
        let mut attempt = 1;
        loop {
            let port = ports::pick(&remembered)?;
            let settings = room.join("redis.conf");
            folder.write_private(&settings, &configuration(&room, port, &password, fsync)?)?;
            let mut leash = Leash::start(Program {
                name: NAME,
                script: &folder.leash(),
                path: &program,
                arguments: vec![settings.into()],
                // Writes the rest of the append-only file, then ends.
                orderly_stop: "TERM",
                forced_stop: "KILL",
                account: folder.account(),
                working_dir: folder.path(),
                log: &folder.log(NAME),
                lock: lock.try_clone()?,
            })?;
            match wait_until_ready(&mut leash, port, &password).await {
                Ok(()) => {
                    folder.write_private(&remembered, &port.to_string())?;
                    return Ok(Self { leash, url: format!("redis://default:{password}@127.0.0.1:{port}/0") });
                }
                Err(_) if attempt < ports::ATTEMPTS && leash.ended()?.is_some() && !ports::is_free(port) => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Saves what is not on the disk yet and stops.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.leash.stop().await
    }
}

/// In a file, not on the command line, which every user of the machine can read.
fn configuration(room: &Path, port: u16, password: &str, fsync: bool) -> anyhow::Result<String> {
    let dir = room.to_str().with_context(|| format!("Redis cannot use the folder {}", room.display()))?;
    let dir = dir.replace('\\', "\\\\").replace('"', "\\\"");
    let appendfsync = if fsync { "everysec" } else { "no" };
    Ok(format!(
        "bind 127.0.0.1\nport {port}\nprotected-mode yes\nrequirepass {password}\n\
         dir \"{dir}\"\nsave \"\"\nappendonly yes\nappendfsync {appendfsync}\n\
         maxmemory-policy noeviction\ndaemonize no\nsupervised no\nlogfile \"\"\n"
    ))
}

async fn wait_until_ready(leash: &mut Leash, port: u16, password: &str) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + READY_PATIENCE;
    loop {
        if let Some(status) = leash.ended()? {
            anyhow::bail!("Redis did not start ({status}); {}", leash.log_tail());
        }
        let answer = tokio::time::timeout(ANSWER_PATIENCE, answers(port, password)).await;
        if matches!(answer, Ok(Ok(true))) {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            anyhow::bail!("Redis is not ready after {} s; {}", READY_PATIENCE.as_secs(), leash.log_tail());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a Redis answers there that knows our password and has loaded its data.
async fn answers(port: u16, password: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(format!("AUTH {password}\r\nPING\r\nQUIT\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(1024).read_to_string(&mut answer).await?;
    Ok(answer.starts_with("+OK\r\n+PONG\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_blanks_and_quotes_is_one_word_of_the_configuration() {
        let text = configuration(Path::new("/data/my \"own\" place"), 5, "secret", true).expect("a path of text");
        assert!(text.contains("dir \"/data/my \\\"own\\\" place\"\n"));
    }
}
