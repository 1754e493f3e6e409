//! Who orders. Alone writes `customers`.

use sqlx::PgConnection;

use crate::error::Result;
use crate::values::{CustomerId, Email, Name, UserId};

/// Makes the customer that a new user orders as. It inherits nothing from one that staff made with the
/// same address: anybody can type anybody's address.
pub async fn create_own(conn: &mut PgConnection, user_id: UserId, email: &Email, name: &Name) -> Result<CustomerId> {
    let id = sqlx::query_scalar!(
        "insert into customers (user_id, email, name) values ($1, $2, $3) returning id as \"id: CustomerId\"",
        user_id.0,
        email.as_str(),
        name.as_str(),
    )
    .fetch_one(conn)
    .await?;
    Ok(id)
}

pub async fn exists(conn: &mut PgConnection, id: CustomerId) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"select exists (select from customers where id = $1) as "exists!""#, id.0)
        .fetch_one(conn)
        .await?)
}
