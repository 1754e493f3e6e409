//! A TCP proxy in front of Postgres. It counts statements. It can close a connection before or after a commit, or drop
//! the answer to a statement.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The fault of the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    Nothing = 0,
    /// The commit does not reach the server.
    BeforeCommit = 1,
    /// The server commits, and its answer is dropped.
    AfterCommit = 2,
}

#[derive(Default)]
struct Control {
    cut: AtomicU8,
    /// Text in the statement whose answer is dropped.
    words: Mutex<Option<&'static str>>,
    statements: AtomicU64,
    cuts: AtomicU64,
}

/// The proxy reads the protocol, so the connections must not use TLS.
pub struct Proxy {
    pub addr: SocketAddr,
    control: Arc<Control>,
}

impl Proxy {
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let control = Arc::new(Control::default());
        let shared = control.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let control = shared.clone();
                tokio::spawn(async move {
                    // When one side closes, both are closed.
                    drop(carry(client, upstream, &control).await);
                });
            }
        });
        Ok(Self { addr, control })
    }

    /// The statements since the last call. `begin` and `commit` count too.
    pub fn take_statements(&self) -> u64 {
        self.control.statements.swap(0, Ordering::SeqCst)
    }

    /// Applies this fault to the next commit, once.
    pub fn cut_next(&self, cut: Cut) {
        self.control.cut.store(cut as u8, Ordering::SeqCst);
    }

    /// The server runs the next prepared statement that contains this text. Then the connection is closed without the
    /// answer.
    pub fn lose_answer_to(&self, words: &'static str) {
        *self.control.words.lock().expect("no thread panics while it holds this") = Some(words);
    }

    pub fn cuts(&self) -> u64 {
        self.control.cuts.load(Ordering::SeqCst)
    }
}

impl Control {
    fn take_cut(&self) -> Cut {
        match self.cut.swap(0, Ordering::SeqCst) {
            1 => Cut::BeforeCommit,
            2 => Cut::AfterCommit,
            _ => Cut::Nothing,
        }
    }

    /// True if the answer to this statement must be dropped. Later statements are not affected.
    fn take_words(&self, sql: &str) -> bool {
        self.words.lock().expect("no thread panics while it holds this").take_if(|words| sql.contains(*words)).is_some()
    }
}

async fn carry(client: TcpStream, upstream: SocketAddr, control: &Control) -> io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let (lose_answers, losing) = tokio::sync::watch::channel(false);
    tokio::select! {
        end = requests(client_in, server_out, control, &lose_answers) => end,
        end = answers(server_in, client_out, control, &losing) => end,
    }
}

/// Forwards messages from the client to the server.
async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    control: &Control,
    lose_answers: &tokio::sync::watch::Sender<bool>,
) -> io::Result<()> {
    // The first message has no type, only a length and the protocol version.
    let startup = read_body(&mut from, Vec::new()).await?;
    to.write_all(&startup).await?;
    let mut prepared = HashMap::new();
    let mut lose_answer = false;
    loop {
        let kind = from.read_u8().await?;
        let message = read_body(&mut from, vec![kind]).await?;
        if matches!(kind, b'E' | b'Q') {
            control.statements.fetch_add(1, Ordering::SeqCst);
        }
        match kind {
            // Parse contains a name and the text. Bind contains a portal and the name.
            b'P' => drop(prepared.insert(text(&message, 0), text(&message, 1))),
            b'B' => lose_answer |= prepared.get(&text(&message, 1)).is_some_and(|sql| control.take_words(sql)),
            // Sync: the server runs the bound statement and answers.
            b'S' if lose_answer => {
                lose_answers.send_replace(true);
                to.write_all(&message).await?;
                std::future::pending::<()>().await; // `answers` closes the connection.
            }
            _ => {}
        }
        if kind == b'Q' && message[5..].to_ascii_lowercase().starts_with(b"commit") {
            match control.take_cut() {
                Cut::Nothing => {}
                Cut::BeforeCommit => {
                    control.cuts.fetch_add(1, Ordering::SeqCst);
                    return Ok(());
                }
                Cut::AfterCommit => {
                    lose_answers.send_replace(true);
                    to.write_all(&message).await?;
                    std::future::pending::<()>().await; // `answers` closes the connection.
                }
            }
        }
        to.write_all(&message).await?;
    }
}

/// One of the zero-terminated texts at the beginning of a message.
fn text(message: &[u8], which: usize) -> String {
    let text = message[5..].split(|byte| *byte == 0).nth(which).unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

async fn read_body(from: &mut OwnedReadHalf, mut message: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    message.extend(length.to_be_bytes());
    let head = message.len();
    let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
    let body = body.filter(|body| *body < 256 << 20).ok_or(io::ErrorKind::InvalidData)?;
    message.resize(head + body, 0);
    from.read_exact(&mut message[head..]).await?;
    Ok(message)
}

/// Forwards bytes from the server to the client. A dropped answer is still read, and counted only then, so that the
/// server has surely acted.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    control: &Control,
    losing: &tokio::sync::watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if *losing.borrow() {
            control.cuts.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
