//! A line between a process and Redis that can be cut and mended.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use redis::{ConnectionAddr, IntoConnectionInfo as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
    task::{AbortHandle, JoinSet},
};
use url::Url;

/// Passes connections on to a server.
pub(crate) struct Proxy {
    address: SocketAddr,
    to: Arc<ConnectionAddr>,
    accepting: Mutex<Option<AbortHandle>>,
}

impl Proxy {
    /// A line to the Redis at this URL.
    pub(crate) async fn to_redis(url: &str) -> Self {
        let to = url.into_connection_info().unwrap().addr().clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, to: Arc::new(to), accepting: Mutex::default() };
        proxy.accept(listener);
        proxy
    }

    /// The same Redis, with the same user and database, over this line.
    pub(crate) fn url(&self, original: &str) -> String {
        let mut url = Url::parse(original).unwrap();
        if url.scheme() != "redis" {
            url = Url::parse("redis://localhost").unwrap();
        }
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.into()
    }

    /// Breaks every connection; new ones are refused.
    pub(crate) fn cut(&self) {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.abort();
        }
    }

    /// Takes connections again.
    pub(crate) async fn mend(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accept(listener);
    }

    fn accept(&self, listener: TcpListener) {
        let to = self.to.clone();
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and the lines with it.
            let mut lines = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                lines.spawn(pass_on(from, to.clone()));
            }
        });
        *self.accepting.lock().unwrap() = Some(accepting.abort_handle());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn pass_on(mut from: TcpStream, to: Arc<ConnectionAddr>) -> io::Result<()> {
    from.set_nodelay(true)?;
    match &*to {
        ConnectionAddr::Tcp(host, port) => {
            let server = TcpStream::connect((host.as_str(), *port)).await?;
            server.set_nodelay(true)?;
            both_ways(&mut from, server).await
        }
        ConnectionAddr::Unix(path) => both_ways(&mut from, UnixStream::connect(path).await?).await,
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

async fn both_ways(from: &mut TcpStream, mut to: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    copy_bidirectional(from, &mut to).await?;
    Ok(())
}
