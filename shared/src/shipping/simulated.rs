//! A carrier that carries nothing. It keeps its own books on its own connections, never in one of our transactions,
//! like an external carrier. Alone writes `simulated.bookings`.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Carrier, CarrierError};

pub struct SimulatedCarrier {
    books: PgPool,
    latency: Duration,
}

impl SimulatedCarrier {
    pub fn new(books: PgPool, latency: Duration) -> Self {
        Self { books, latency }
    }

    /// Two concurrent bookings of a key can conflict in either unique index, so `on conflict` names none.
    async fn find_or_book(&self, key: Uuid) -> Result<String, sqlx::Error> {
        sqlx::query!(
            "insert into simulated.bookings (key, tracking_number) values ($1, $2) on conflict do nothing",
            key,
            tracking_number(key),
        )
        .execute(&self.books)
        .await?;
        sqlx::query_scalar!("select tracking_number from simulated.bookings where key = $1", key)
            .fetch_one(&self.books)
            .await
    }
}

impl Carrier for SimulatedCarrier {
    fn book(&self, key: Uuid) -> BoxFuture<'_, Result<String, CarrierError>> {
        async move {
            tokio::time::sleep(self.latency).await;
            self.find_or_book(key).await.map_err(|error| CarrierError(error.to_string()))
        }
        .boxed()
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
