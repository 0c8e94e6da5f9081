//! A line between a process and Redis or Postgres that can be cut, mended and slowed down.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{ConnectionAddr, IntoConnectionInfo as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};
use url::Url;

/// Longer than any test: what is sent does not arrive until the line is quick again.
const NEVER: Duration = Duration::from_hours(1);
const POSTGRES_PORT: u16 = 5432;

/// Passes connections on to a server.
pub(crate) struct Proxy {
    address: SocketAddr,
    to: Arc<ConnectionAddr>,
    delay: watch::Sender<Duration>,
    standing: Arc<AtomicUsize>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// A line to the Redis at this URL.
    pub(crate) async fn to_redis(url: &str) -> Self {
        Self::to(url.into_connection_info().unwrap().addr().clone()).await
    }

    /// A line to the Postgres at this URL.
    pub(crate) async fn to_postgres(url: &str) -> Self {
        let url = Url::parse(url).unwrap();
        let host = url.host_str().expect("DATABASE_URL names a host").to_owned();
        Self::to(ConnectionAddr::Tcp(host, url.port().unwrap_or(POSTGRES_PORT))).await
    }

    async fn to(to: ConnectionAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self {
            address,
            to: Arc::new(to),
            delay: watch::Sender::default(),
            standing: Arc::default(),
            accepting: Mutex::default(),
        };
        proxy.accept(listener);
        proxy
    }

    /// The same server, with the same user and database, over this line.
    pub(crate) fn url(&self, original: &str) -> String {
        let mut url = Url::parse(original).unwrap();
        if !matches!(url.scheme(), "redis" | "postgres" | "postgresql") {
            url = Url::parse("redis://localhost").unwrap();
        }
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.into()
    }

    /// Breaks every connection; new ones are refused.
    pub(crate) fn cut(&self) {
        if let Some(accepting) = self.accepting.lock().unwrap().as_ref() {
            accepting.abort();
        }
    }

    /// Takes connections again.
    pub(crate) async fn mend(&self) {
        let before = self.accepting.lock().unwrap().take();
        if let Some(before) = before {
            // Until the address is free.
            assert!(before.await.is_err_and(|end| end.is_cancelled()), "mended before it was cut");
        }
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accept(listener);
    }

    /// From now on everything takes so much longer, each way; zero is as quick as ever. Holds for what is under way, too.
    pub(crate) fn slow(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }

    /// Connections stand, and nothing arrives any more.
    pub(crate) fn hang(&self) {
        self.slow(NEVER);
    }

    /// How many connections stand.
    pub(crate) fn standing(&self) -> usize {
        self.standing.load(Ordering::Relaxed)
    }

    fn accept(&self, listener: TcpListener) {
        let (to, delay, standing) = (self.to.clone(), self.delay.clone(), self.standing.clone());
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and the lines with it.
            let mut lines = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                let counted = Standing::count(&standing);
                let line = pass_on(from, to.clone(), delay.clone());
                lines.spawn(async move {
                    let _counted = counted;
                    line.await
                });
            }
        });
        *self.accepting.lock().unwrap() = Some(accepting);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

/// One connection that stands, until it is dropped.
struct Standing(Arc<AtomicUsize>);

impl Standing {
    fn count(standing: &Arc<AtomicUsize>) -> Self {
        standing.fetch_add(1, Ordering::Relaxed);
        Self(standing.clone())
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn pass_on(from: TcpStream, to: Arc<ConnectionAddr>, delay: watch::Sender<Duration>) -> io::Result<()> {
    from.set_nodelay(true)?;
    match &*to {
        ConnectionAddr::Tcp(host, port) => {
            let server = TcpStream::connect((host.as_str(), *port)).await?;
            server.set_nodelay(true)?;
            both_ways(from, server, &delay).await
        }
        ConnectionAddr::Unix(path) => both_ways(from, UnixStream::connect(path).await?, &delay).await,
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Until either side is closed.
async fn both_ways(
    from: TcpStream,
    to: impl AsyncRead + AsyncWrite,
    delay: &watch::Sender<Duration>,
) -> io::Result<()> {
    let ((client_out, client_in), (server_out, server_in)) = (split(from), split(to));
    tokio::select! {
        ended = carry(client_out, server_in, delay.subscribe()) => ended,
        ended = carry(server_out, client_in, delay.subscribe()) => ended,
    }
}

/// Hands on what comes, each piece when its time has come.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut delay: watch::Receiver<Duration>,
) -> io::Result<()> {
    let (arrived, mut queued) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = async {
        loop {
            let mut piece = Vec::with_capacity(16 * 1024);
            if from.read_buf(&mut piece).await? == 0 || arrived.send((Instant::now(), piece)).is_err() {
                return Ok(());
            }
        }
    };
    let writing = async {
        while let Some((at, piece)) = queued.recv().await {
            come(at, &mut delay).await;
            to.write_all(&piece).await?;
        }
        pending().await
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    }
}

/// Until what arrived then may be handed on; the delay may change meanwhile.
async fn come(arrived: Instant, delay: &mut watch::Receiver<Duration>) {
    loop {
        let due = arrived + *delay.borrow_and_update();
        tokio::select! {
            () = sleep_until(due) => return,
            changed = delay.changed() => if changed.is_err() { return },
        }
    }
}
