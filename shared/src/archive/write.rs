//! Writes the rows of a month to files: gzip, one row as JSON in each line. Writes no table; `months` notes each file.

use std::fs::{self, File as OpenFile};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::months::{self, ArchiveFile, Month};

/// Rows that one statement reads. Each is some hundred bytes.
const PAGE: i64 = 5_000;

/// The tables of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter)]
#[strum(serialize_all = "snake_case")]
pub(super) enum HistoryTable {
    OrderItems,
    OrderEvents,
    StockMovements,
}

impl HistoryTable {
    pub(super) fn file(self) -> String {
        format!("{}.jsonl.gz", <&str>::from(self))
    }
}

/// A row, and where it stands.
struct Line {
    id: Uuid,
    place: i32,
    row: String,
}

/// Writes the files that are not there yet, and returns them all.
pub(super) async fn month(db: &PgPool, dir: &Path, month: &Month) -> Result<Vec<ArchiveFile>> {
    let mut files = month.files.clone();
    make_room(dir).map_err(|error| failed(dir, &error))?;
    files.retain(|file| dir.join(&file.name).exists());
    for table in <HistoryTable as strum::IntoEnumIterator>::iter() {
        if !files.iter().any(|file| file.name == table.file()) {
            files.push(write(db, dir, month, table).await?);
            months::wrote(&mut *db.acquire().await?, month, &files).await?;
        }
    }
    Ok(files)
}

/// Makes the folder, and removes what attempts left that were cut.
fn make_room(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "part") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// A file of an earlier attempt goes first. From then on nobody replaces a file that is complete: a process that was frozen
/// in the middle finds the table empty when it wakes up.
async fn write(db: &PgPool, dir: &Path, month: &Month, table: HistoryTable) -> Result<ArchiveFile> {
    // If this process was frozen between two files, another one may have dropped the part: only its files are left.
    if months::oldest(&mut *db.acquire().await?).await?.low != month.low {
        return Err(Error::internal("another process has removed the part meanwhile"));
    }
    let mut file = blocking(dir.join(table.file()), NewFile::create).await?;
    let mut after = (month.low, i32::MIN);
    loop {
        // A connection for each page: nothing stays open meanwhile.
        let page = page(&mut *db.acquire().await?, table, month, after).await?;
        let Some(last) = page.last() else { break };
        after = (last.id, last.place);
        file = blocking(file, move |mut file| {
            page.iter().try_for_each(|line| file.add(&line.row))?;
            Ok(file)
        })
        .await?;
    }
    blocking(file, NewFile::finish).await
}

/// The next rows in the order of the primary key.
async fn page(conn: &mut PgConnection, table: HistoryTable, month: &Month, after: (Uuid, i32)) -> Result<Vec<Line>> {
    let (id, place) = after;
    Ok(match table {
        HistoryTable::OrderItems => {
            sqlx::query_as!(
                Line,
                r#"select order_id as id, line::int as "place!", to_jsonb(r)::text as "row!" from order_items r
                    where (order_id, line) > ($1, $2::int) and order_id >= $1 and order_id < $3 order by order_id, line limit $4"#,
                id,
                place,
                month.high,
                PAGE,
            )
            .fetch_all(conn)
            .await?
        }
        HistoryTable::OrderEvents => {
            sqlx::query_as!(
                Line,
                r#"select order_id as id, sequence as place, (to_jsonb(r) - 'xact')::text as "row!" from order_events r
                    where (order_id, sequence) > ($1, $2) and order_id >= $1 and order_id < $3
                    order by order_id, sequence limit $4"#,
                id,
                place,
                month.high,
                PAGE,
            )
            .fetch_all(conn)
            .await?
        }
        HistoryTable::StockMovements => {
            // The first id of the month is not after itself.
            sqlx::query_as!(
                Line,
                r#"select id, 0 as "place!", to_jsonb(r)::text as "row!" from stock_movements r
                    where (id > $1 or $2 < 0 and id = $1) and id >= $1 and id < $3 order by id limit $4"#,
                id,
                place,
                month.high,
                PAGE,
            )
            .fetch_all(conn)
            .await?
        }
    })
}

/// A file that is being written. It has its name only when it is complete and on the disk.
struct NewFile {
    path: PathBuf,
    unfinished: PathBuf,
    rows: u64,
    lines: GzEncoder<BufWriter<Hashed<OpenFile>>>,
}

/// Hashes what is written to a file, or read from it.
pub(super) struct Hashed<F> {
    pub file: F,
    pub hash: Sha256,
}

impl<F: Read> Read for Hashed<F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        self.hash.update(&bytes[..read]);
        Ok(read)
    }
}

impl<F: Write> Write for Hashed<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewFile {
    fn create(path: PathBuf) -> io::Result<Self> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let unfinished = unfinished(&path);
        let hashed = Hashed { file: OpenFile::create(&unfinished)?, hash: Sha256::new() };
        Ok(Self { path, unfinished, rows: 0, lines: GzEncoder::new(BufWriter::new(hashed), Compression::default()) })
    }

    fn add(&mut self, row: &str) -> io::Result<()> {
        self.rows += 1;
        self.lines.write_all(row.as_bytes())?;
        self.lines.write_all(b"\n")
    }

    fn finish(self) -> io::Result<ArchiveFile> {
        let Hashed { file, hash } = self.lines.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        if self.path.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "another process has written the file meanwhile"));
        }
        put(&self.unfinished, &self.path)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(ArchiveFile { name, rows: self.rows, sha256: hex(&hash.finalize()) })
    }
}

/// The name of a file that is being written: of each attempt another.
fn unfinished(path: &Path) -> PathBuf {
    path.with_added_extension(format!("{}.part", Uuid::now_v7()))
}

/// Gives a file its name, so that it has it after a power failure too.
fn put(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    OpenFile::open(to.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Says beside the files what is in them.
pub(super) async fn manifest(dir: &Path, month: &Month, files: &[ArchiveFile]) -> Result<()> {
    let said = json!({ "part": month.name, "ids_from": month.low, "ids_before": month.high, "files": files });
    let text = format!("{said:#}\n");
    blocking(dir.join("manifest.json"), move |path| {
        let unfinished = unfinished(&path);
        let mut file = OpenFile::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        put(&unfinished, &path)
    })
    .await
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// Runs what reads or writes files where it blocks nobody.
pub(super) async fn blocking<I: Send + 'static, T: Send + 'static>(
    input: I,
    work: impl FnOnce(I) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(move || work(input)).await.map_err(Error::internal)?;
    done.map_err(|error| Error::internal(format!("the archive could not be written or read: {error}")))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::internal(format!("{}: {error}; ARCHIVE_DIR must be a folder that the worker may write to", path.display()))
}
