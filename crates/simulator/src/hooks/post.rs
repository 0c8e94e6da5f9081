//! Sending one webhook: HTTP/1.1 by hand, because no HTTP client belongs in this crate. A connection for each, closed behind
//! it.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::body::Body;

/// As much of an answer as anybody looks at.
const LONGEST_ANSWER: usize = 64 * 1_024;

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
}

/// Posts a body. Whoever answers before all of it was sent is believed, and gets no more.
pub(super) async fn post(url: &str, headers: &[(String, String)], body: &Body) -> io::Result<Answer> {
    let (host, path) = parts(url)?;
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
        body.content_type,
        body.len()
    );
    for (name, value) in headers {
        head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
    }
    head.push_str("\r\n");
    exchange(host, head, body.pieces()).await
}

/// Asks for a page.
pub(super) async fn get(url: &str) -> io::Result<Answer> {
    let (host, path) = parts(url)?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    exchange(host, head, std::iter::empty()).await
}

async fn exchange(
    host: &str,
    head: String,
    pieces: impl Iterator<Item = axum::body::Bytes> + Send,
) -> io::Result<Answer> {
    let authority = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let connection = TcpStream::connect(authority).await?;
    connection.set_nodelay(true)?;
    let (mut reader, mut writer) = connection.into_split();
    let writing = async {
        writer.write_all(head.as_bytes()).await?;
        for piece in pieces {
            writer.write_all(&piece).await?;
        }
        io::Result::Ok(())
    };
    let reading = async {
        let mut read = Vec::new();
        let mut buffer = [0; 4_096];
        while read.len() < LONGEST_ANSWER {
            match reader.read(&mut buffer).await {
                Ok(0) => break,
                Ok(count) => read.extend_from_slice(&buffer[..count]),
                // Who closes on a body that is still coming may have answered all the same.
                Err(_) if !read.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    };
    let (read, _) = tokio::join!(reading, writing);
    answer(&read?)
}

fn answer(read: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(read);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer"))?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok(Answer { status, text: body })
}

/// Host with port, and path with query.
fn parts(url: &str) -> io::Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").filter(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
    let rest = rest.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "only http:// is spoken here"))?;
    Ok(rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_path_without_secrets_of_its_own() {
        assert_eq!(parts("http://127.0.0.1:80/a/b?c=d").unwrap(), ("127.0.0.1:80", "/a/b?c=d"));
        assert_eq!(parts("http://host").unwrap(), ("host", "/"));
        for wrong in ["https://host/", "host", "http://", "http://a b/"] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
    }
}
