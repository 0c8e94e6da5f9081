//! A line between one process and one server, which can be cut, mended, and made slow.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::sleep,
};

const PIECE: usize = 16 * 1024;

/// Passes connections on to a port of this machine.
pub(super) struct Line {
    address: SocketAddr,
    to: u16,
    delay_ms: Arc<AtomicU64>,
    accepting: Option<AbortHandle>,
}

impl Line {
    pub(super) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut line = Self { address, to: port, delay_ms: Arc::default(), accepting: None };
        line.accept(listener);
        line
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Breaks every connection; new ones are refused.
    pub(super) fn cut(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }

    /// From now on every piece takes so much longer, in both directions.
    pub(super) fn slow_down(&self, by: Duration) {
        self.delay_ms.store(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// As good as new.
    pub(super) async fn mend(&mut self) {
        self.slow_down(Duration::ZERO);
        if self.accepting.is_none() {
            let listener = TcpListener::bind(self.address).await.unwrap();
            self.accept(listener);
        }
    }

    fn accept(&mut self, listener: TcpListener) {
        let (to, delay) = (self.to, self.delay_ms.clone());
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                connections.spawn(pass_on(from, to, delay.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        self.accepting = Some(accepting.abort_handle());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn pass_on(from: TcpStream, to: u16, delay: Arc<AtomicU64>) -> io::Result<()> {
    let to = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
    from.set_nodelay(true)?;
    to.set_nodelay(true)?;
    let ((hear, say), (hear_server, tell_server)) = (from.into_split(), to.into_split());
    // The end of either direction is the end of both.
    tokio::select! {
        ended = pump(hear, tell_server, &delay) => ended,
        ended = pump(hear_server, say, &delay) => ended,
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay_ms: &AtomicU64,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        let delay = delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
        to.write_all(&piece[..length]).await?;
    }
}
