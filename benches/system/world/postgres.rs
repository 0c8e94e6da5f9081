//! Postgres at its packaged defaults: every commit is on the disk before it is answered.

use std::path::Path;

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, postgres::PgRow};

use super::{
    process::{Process, Program},
    programs,
};

/// A running server.
pub(crate) struct Postgres {
    process: Process,
    port: u16,
}

/// A database of one measurement.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Postgres {
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (account, port) = (programs::account()?, programs::free_port()?);
        let room = programs::room(folder, "postgres", account)?;
        let server = programs::find("postgres")?.canonicalize()?;
        let mut initdb = std::process::Command::new(server.with_file_name("initdb"));
        initdb.args(["--auth=trust", "--username=sincro", "--encoding=UTF8", "--locale=C", "-D", "data"]);
        if let Some((uid, gid)) = account {
            std::os::unix::process::CommandExt::uid(&mut initdb, uid);
            std::os::unix::process::CommandExt::gid(&mut initdb, gid);
        }
        let made = initdb.current_dir(&room).output().context("cannot run initdb")?;
        anyhow::ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // Where it listens is all that is said to it.
        let settings = [format!("port={port}"), "listen_addresses=127.0.0.1".into(), "unix_socket_directories=".into()];
        let mut arguments = vec!["-D".into(), "data".into()];
        arguments.extend(settings.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
        let program = Program {
            name: "postgres",
            path: &server,
            arguments,
            variables: Vec::new(),
            end: "INT",
            account,
            folder: &room,
        };
        let mut process = Process::start(program).await?;
        let url = url(port, "postgres");
        process.until("ready", async || PgConnection::connect(&url).await.is_ok()).await?;
        Ok(Self { process, port })
    }

    /// Another database, a copy of that one.
    pub(crate) async fn database(&self, template: &str) -> anyhow::Result<Database> {
        let name = format!("bench_{}", uuid::Uuid::now_v7().simple());
        self.named(&name, template).await
    }

    pub(crate) async fn named(&self, name: &str, template: &str) -> anyhow::Result<Database> {
        // Nobody may be connected to what is copied.
        let template = if template == "postgres" { "template0" } else { template };
        let mut connection = self.connect().await?;
        run(&mut connection, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await?;
        Ok(Database { url: url(self.port, name), name: name.to_owned() })
    }

    /// Drops what earlier measurements left, and writes everything down that would be written in the middle of the next.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        let old: Vec<String> =
            sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE 'bench\\_%'")
                .fetch_all(&mut connection)
                .await?;
        for name in old {
            run(&mut connection, &format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        }
        self.write_down().await
    }

    /// Writes everything to its place that would be written there some time.
    pub(crate) async fn write_down(&self) -> anyhow::Result<()> {
        run(&mut self.connect().await?, "CHECKPOINT").await
    }

    /// Transactions of a database so far, as far as those who made them have told.
    pub(crate) async fn transactions(&self, database: &Database) -> anyhow::Result<f64> {
        let mut connection = self.connect().await?;
        let count = "SELECT (xact_commit + xact_rollback)::double precision FROM pg_stat_database WHERE datname = $1";
        Ok(sqlx::query_scalar(count).bind(&database.name).fetch_one(&mut connection).await?)
    }

    /// A setting as the server has it.
    pub(crate) async fn setting(&self, name: &str) -> anyhow::Result<String> {
        let mut connection = self.connect().await?;
        Ok(sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut connection).await?)
    }

    /// The processor time of all its processes so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.process.cpu_seconds() + super::process::cpu_seconds_of_children(self.process.pid())
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&url(self.port, "postgres")).await?)
    }
}

impl Database {
    /// Runs statements.
    pub(crate) async fn run(&self, statements: &str) -> anyhow::Result<()> {
        run(&mut self.connect().await?, statements).await
    }

    /// One number.
    pub(crate) async fn number(&self, query: &str) -> anyhow::Result<i64> {
        number(&mut self.connect().await?, query).await
    }

    /// A connection, for whoever asks often.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }
}

/// One number out of a database.
pub(crate) async fn number(connection: &mut PgConnection, query: &str) -> anyhow::Result<i64> {
    let row: PgRow = sqlx::query(AssertSqlSafe(query.to_owned())).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}

async fn run(connection: &mut PgConnection, statements: &str) -> anyhow::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(connection).await?;
    Ok(())
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://sincro@127.0.0.1:{port}/{database}")
}
