//! A carrier that carries nothing. It keeps its own books on its own connections, never in one of our transactions,
//! like an external carrier. Alone writes `simulated_bookings`.

use std::collections::HashMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Carrier, CarrierError};
use crate::batch::{Batcher, Together};
use crate::error::{Error, Result};

pub struct SimulatedCarrier {
    booking: Batcher<Booking>,
    latency: Duration,
}

impl SimulatedCarrier {
    /// Also starts the task that writes the books.
    pub fn new(books: PgPool, latency: Duration) -> Self {
        Self { booking: Batcher::start(Booking { books }), latency }
    }
}

impl Carrier for SimulatedCarrier {
    fn book(&self, key: Uuid) -> BoxFuture<'_, std::result::Result<String, CarrierError>> {
        async move {
            tokio::time::sleep(self.latency).await;
            self.booking.ask(key).await.map_err(|error| CarrierError(error.to_string()))
        }
        .boxed()
    }
}

/// Bookings that arrive together are written together.
struct Booking {
    books: PgPool,
}

impl Together for Booking {
    type Entry = Uuid;
    type Answer = String;
    type Key = Uuid;

    fn key(key: &Uuid) -> Uuid {
        *key
    }

    /// Two concurrent bookings of a key can conflict in either unique index, so `on conflict` names none. The first
    /// number of a key stays its number, so it is read in a statement of its own.
    async fn carry_out(&self, keys: &[Uuid]) -> Result<Vec<String>> {
        let numbers: Vec<String> = keys.iter().map(|key| tracking_number(*key)).collect();
        let written = sqlx::query!(
            r#"insert into simulated_bookings (key, tracking_number)
               select * from unnest($1::uuid[], $2::text[]) t (key, number) order by key
               on conflict do nothing returning key"#,
            keys,
            &numbers,
        )
        .fetch_all(&self.books)
        .await?;
        if written.len() == keys.len() {
            return Ok(numbers);
        }
        let booked = sqlx::query!("select key, tracking_number from simulated_bookings where key = any($1)", keys)
            .fetch_all(&self.books)
            .await?;
        let mut booked: HashMap<Uuid, String> = booked.into_iter().map(|row| (row.key, row.tracking_number)).collect();
        keys.iter()
            .map(|key| booked.remove(key).ok_or_else(|| Error::internal("a booking is not in the books")))
            .collect()
    }
}

/// `MR` and ten characters of Crockford's alphabet, made from the random end of the key.
fn tracking_number(key: Uuid) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digit = |place: u32| {
        let index = usize::try_from(key.as_u128() >> (5 * place) & 31).expect("five bits");
        char::from(ALPHABET[index])
    };
    std::iter::once("MR".to_owned()).chain((0..10).map(|place| digit(place).to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracking_numbers_are_short_and_belong_to_their_key() {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        assert_eq!(tracking_number(one), tracking_number(one));
        assert_ne!(tracking_number(one), tracking_number(other));
        assert_eq!(tracking_number(Uuid::nil()), "MR0000000000");
        assert_eq!(tracking_number(Uuid::max()), "MRZZZZZZZZZZ");
    }
}
