//! A minimal HTTP/1.1 client. The generator shares two cores with the server that it measures, and a full client would
//! take more CPU time from it.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer that is measured here is larger.
const LARGEST_ANSWER: usize = 1 << 20;

/// A keep-alive connection.
pub struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

/// An answer. It borrows the connection's buffer.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Connection {
    pub async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self::on(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn on(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends a request and reads the whole answer.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let (status, length) = read_head(&self.buffer[..head]).ok_or(io::ErrorKind::InvalidData)?;
        while self.buffer.len() < head + length {
            self.read_more().await?;
        }
        Ok(Answer { status, body: &self.buffer[head..head + length] })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.buffer.len() > LARGEST_ANSWER {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The status and the `content-length`. Every server that is measured here sends one.
fn read_head(head: &[u8]) -> Option<(u16, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })?;
    Some((status, length))
}

/// Appends a POST with a JSON body, or a GET if there is no body.
pub fn write(to: &mut Vec<u8>, path: &str, token: Option<&str>, body: Option<&str>) {
    let (method, content) = match body {
        Some(body) => ("POST", format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())),
        None => ("GET", String::new()),
    };
    let caller = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    to.extend_from_slice(format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n{caller}{content}\r\n").as_bytes());
    to.extend_from_slice(body.unwrap_or_default().as_bytes());
}
