//! Do the files of a month have what the database has? They are read again, and compared with what is not written to them:
//! the orders, and the checkpoints of stock. Writes no table.

use std::collections::HashMap;
use std::fs::File as OpenFile;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::write::{Hashed, HistoryTable, blocking, hex};
use crate::error::Result;
use crate::inventory::ledger;
use crate::months::{ArchiveFile, Month};
use crate::values::{ProductId, WarehouseId};

/// Orders that one statement adds up.
const PAGE: i64 = 20_000;

#[derive(Deserialize)]
struct ItemLine {
    quantity: i64,
    unit_price_minor: i64,
}

#[derive(Deserialize)]
struct MovementLine {
    product_id: ProductId,
    warehouse_id: WarehouseId,
    on_hand_delta: i64,
    reserved_delta: i64,
}

/// What the lines of a file add up to.
#[derive(Default)]
struct Sums {
    rows: u64,
    total: i64,
    moved: HashMap<(ProductId, WarehouseId), (i64, i64)>,
}

impl Sums {
    fn add(&mut self, table: HistoryTable, line: &str) -> io::Result<()> {
        self.rows += 1;
        match table {
            HistoryTable::OrderItems => {
                let item: ItemLine = serde_json::from_str(line)?;
                self.total += item.quantity * item.unit_price_minor;
            }
            HistoryTable::OrderEvents => drop(serde_json::from_str::<serde::de::IgnoredAny>(line)?),
            HistoryTable::StockMovements => {
                let movement: MovementLine = serde_json::from_str(line)?;
                let (on_hand, reserved) = self.moved.entry((movement.product_id, movement.warehouse_id)).or_default();
                *on_hand += movement.on_hand_delta;
                *reserved += movement.reserved_delta;
            }
        }
        Ok(())
    }
}

/// What is wrong, if something is.
pub(super) async fn month(
    conn: &mut PgConnection,
    dir: &Path,
    month: &Month,
    files: &[ArchiveFile],
) -> Result<Result<(), String>> {
    let mut read = HashMap::new();
    for table in <HistoryTable as strum::IntoEnumIterator>::iter() {
        let name = table.file();
        let Some(file) = files.iter().find(|file| file.name == name) else {
            return Ok(Err(format!("{name} is missing")));
        };
        let (sums, sha256) = blocking(dir.join(&name), move |path| add_up(&path, table)).await?;
        if (sums.rows, &sha256) != (file.rows, &file.sha256) {
            return Ok(Err(format!("{name} has {} rows and not {}, or was changed", sums.rows, file.rows)));
        }
        read.insert(name, sums);
    }
    let orders = orders(conn, month).await?;
    let items = &read[&HistoryTable::OrderItems.file()];
    if items.total != orders.total {
        return Ok(Err(format!("the items cost {}, the orders {} (minor units)", items.total, orders.total)));
    }
    let events = read[&HistoryTable::OrderEvents.file()].rows;
    if i64::try_from(events).ok() != Some(orders.events) {
        return Ok(Err(format!("there are {events} events; the orders count {}", orders.events)));
    }
    let Some(mut moved) = ledger::moved_in(conn, month).await? else {
        return Ok(Err("there is no checkpoint of stock at the end of the part".to_owned()));
    };
    for (row, written) in &read[&HistoryTable::StockMovements.file()].moved {
        let checked = moved.remove(row).unwrap_or_default();
        if checked != *written {
            let ((product, warehouse), (on_hand, reserved)) = (row, checked);
            return Ok(Err(format!(
                "of product {} in warehouse {}, {written:?} moved (on hand, reserved), and ({on_hand}, {reserved}) by the \
                 checkpoints",
                product.0, warehouse.0
            )));
        }
    }
    match moved.into_iter().find(|(_, moved)| *moved != (0, 0)) {
        Some(((product, _), _)) => Ok(Err(format!("movements of product {} are missing", product.0))),
        None => Ok(Ok(())),
    }
}

fn add_up(path: &Path, table: HistoryTable) -> io::Result<(Sums, String)> {
    let mut sums = Sums::default();
    let mut hashed = Hashed { file: BufReader::new(OpenFile::open(path)?), hash: Sha256::new() };
    for line in BufReader::new(GzDecoder::new(&mut hashed)).lines() {
        sums.add(table, &line?)?;
    }
    io::copy(&mut hashed, &mut io::sink())?; // What follows the last line, which should be nothing.
    Ok((sums, hex(&hashed.hash.finalize())))
}

/// What the orders of a month say.
#[derive(Default)]
struct Orders {
    events: i64,
    total: i64,
}

async fn orders(conn: &mut PgConnection, month: &Month) -> Result<Orders> {
    let (mut sums, mut after) = (Orders::default(), month.low);
    loop {
        let page = sqlx::query!(
            r#"with page as (
                   select id, event_sequence, total_minor from orders where id > $1 and id < $2 order by id limit $3)
               select coalesce(sum(event_sequence), 0) as "events!", coalesce(sum(total_minor), 0)::bigint as "total!",
                      (select id from page order by id desc limit 1) as last
                 from page"#,
            after,
            month.high,
            PAGE,
        )
        .fetch_one(&mut *conn)
        .await?;
        let Some(last) = page.last else { return Ok(sums) };
        after = last;
        sums.events += page.events;
        sums.total += page.total;
    }
}
