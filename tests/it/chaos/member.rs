//! A process of the run: an API or a worker, over lines of its own, started again as often as it dies.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    folder::Folder,
    line::Line,
    servers::{Server, send},
};
use crate::support::{process, within};

/// After a start that failed, as a supervisor would wait.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Who is told to end is gone after so long: a worker has its time of grace (2 s) and six seconds for the last words to a Redis
/// that is away, the API ten seconds for answers under way; the rest is a busy machine's.
const GONE_AFTER: Duration = Duration::from_secs(15);
const SIGABRT: i32 = 6;
const SIGTERM: i32 = 15;

/// A place for one process.
pub(super) struct Member {
    pub(super) name: String,
    verb: &'static str,
    /// What it says when it is up.
    up: &'static str,
    settings: Vec<(String, String)>,
    pub(super) to_redis: Line,
    pub(super) to_postgres: Line,
    life: Option<Life>,
    /// Not to be started before.
    down_until: Option<Instant>,
    /// How often it was started.
    pub(super) lives: u32,
}

struct Life {
    child: Child,
    /// Length of the log before it.
    log_before: usize,
    /// Told to die at a point of its code.
    drilled: bool,
    /// When it was told to end, or woke up with that order.
    ends: Option<Instant>,
    frozen: bool,
}

/// What became of a process.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It lives, or is meant to be down.
    Fine,
    /// It died at the point it was told to.
    Died,
    /// It ended although nobody told it to, or not as it was told to.
    Ended(ExitStatus),
    /// It was told to end long ago, and lives.
    Lingers,
}

impl Member {
    pub(super) async fn new(
        name: &str,
        verb: &'static str,
        redis: &Server,
        postgres: &Server,
        settings: &[(&str, &str)],
    ) -> Self {
        let (to_redis, to_postgres) = (Line::to(redis.port).await, Line::to(postgres.port).await);
        let (redis, postgres) = (redis.url(to_redis.port()), postgres.url(to_postgres.port()));
        let own = [("REDIS_URL", redis.as_str()), ("DATABASE_URL", postgres.as_str())];
        let settings = own.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let up = if verb == "api" { "serving the API" } else { "the worker works" };
        Self {
            name: name.to_owned(),
            verb,
            up,
            settings: settings.collect(),
            to_redis,
            to_postgres,
            life: None,
            down_until: None,
            lives: 0,
        }
    }

    /// Starts it; `drill` says what it shall die of.
    pub(super) fn start(&mut self, folder: &Folder, drill: Option<&str>) {
        let mut command = process::command();
        command.arg(self.verb).envs(self.settings.iter().map(|(name, value)| (name, value)));
        let clock = self.settings.iter().find(|(name, _)| name == "SINCRO_DRILL").map(|(_, value)| value.as_str());
        let drills: Vec<&str> = clock.into_iter().chain(drill).collect();
        command.env("SINCRO_DRILL", drills.join(","));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(folder.log(&self.name));
        let log_before = self.log(folder).len();
        let child = command.spawn().unwrap();
        folder.warden.note(&self.name, &child);
        self.life = Some(Life { child, log_before, drilled: drill.is_some(), ends: None, frozen: false });
        self.down_until = None;
        self.lives += 1;
    }

    /// SIGKILL, also of a frozen one. It stays down for so long.
    pub(super) fn kill(&mut self, for_: Duration) {
        if let Some(mut life) = self.life.take() {
            let _ = life.child.kill();
            let _ = life.child.wait();
        }
        self.down_until = Some(Instant::now() + for_);
    }

    /// SIGTERM; it is started again when it has ended.
    pub(super) fn terminate(&mut self) {
        if let Some(life) = &mut self.life {
            life.ends = Some(Instant::now());
        }
        self.signal("TERM");
    }

    pub(super) fn freeze(&mut self) {
        self.signal("STOP");
        if let Some(life) = &mut self.life {
            life.frozen = true;
        }
    }

    pub(super) fn thaw(&mut self) {
        self.signal("CONT");
        if let Some(life) = &mut self.life {
            life.frozen = false;
            life.ends = life.ends.map(|_| Instant::now());
        }
    }

    /// Looks after it, as a supervisor does: what is not up is started, when its time has come.
    pub(super) fn look_after(&mut self, folder: &Folder) -> Found {
        let Some(life) = &mut self.life else {
            if self.down_until.is_some_and(|until| Instant::now() >= until) {
                self.start(folder, None);
            }
            return Found::Fine;
        };
        let Some(status) = life.child.try_wait().unwrap() else {
            let lingers = !life.frozen && life.ends.is_some_and(|told| told.elapsed() > GONE_AFTER);
            return if lingers { Found::Lingers } else { Found::Fine };
        };
        let (drilled, ends) = (life.drilled, life.ends.is_some());
        let was_up = self.is_up(folder);
        self.life = None;
        self.down_until = Some(Instant::now() + AGAIN_AFTER);
        match (status.code(), status.signal()) {
            (Some(0), _) if ends => Found::Fine,
            // Told to end before it listened to signals.
            (None, Some(SIGTERM)) if ends && !was_up => Found::Fine,
            (None, Some(SIGABRT)) if drilled => Found::Died,
            _ => Found::Ended(status),
        }
    }

    /// Waits until it works.
    pub(super) async fn until_up(&mut self, folder: &Folder) {
        let name = self.name.clone();
        within(&format!("{name} is up"), async {
            while !self.is_up(folder) {
                let found = self.look_after(folder);
                assert!(matches!(found, Found::Fine | Found::Died), "{name}: {found:?}");
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Ends it for good.
    pub(super) fn end(&mut self) {
        self.kill(Duration::ZERO);
        self.down_until = None;
    }

    /// How often it has said this in all its lives.
    pub(super) fn times_said(&self, folder: &Folder, message: &str) -> usize {
        let message = format!("\"message\":\"{message}");
        self.log(folder).lines().filter(|line| line.contains(&message)).count()
    }

    fn is_up(&self, folder: &Folder) -> bool {
        let log = self.log(folder);
        self.life.as_ref().is_some_and(|life| log.get(life.log_before..).is_some_and(|log| log.contains(self.up)))
    }

    fn log(&self, folder: &Folder) -> String {
        fs::read(folder.log_path(&self.name)).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    fn signal(&self, signal: &str) {
        if let Some(life) = &self.life {
            send(signal, life.child.id());
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}
