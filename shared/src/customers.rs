//! Customers, who place orders: name, e-mail, addresses. Alone writes `customers`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::{IntoParams, ToSchema};

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::invalid::Invalid;
use crate::page::{List, Page};
use crate::platform::db::{self, CustomPlan};
use crate::principal::Principal;
use crate::values::search::Search;
use crate::values::{Address, CustomerId, Email, Name, Phone, UserId, given};

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-8d40-7b02-a1c5-6e0f3d9b2c48", "user_id": null, "email": "alice@example.com", "name": "Alice Archer",
    "phone": "+44 1225 000000", "addresses": [{"line1": "1 Mill Lane", "city": "Bath", "country": "GB"}],
    "version": 1, "created_at": "2026-11-21T07:00:00Z", "updated_at": "2026-11-21T07:00:00Z"
}))]
pub struct CustomerView {
    pub id: CustomerId,
    /// The user account that may see the orders of this customer
    pub user_id: Option<UserId>,
    pub email: Email,
    pub name: Name,
    pub phone: Option<Phone>,
    #[schema(value_type = Vec<Address>)]
    pub addresses: Json<Addresses>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The addresses of a customer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Vec<Address>")]
#[schema(max_items = 20)]
pub struct Addresses(Vec<Address>);

impl Addresses {
    /// More than a person has, and few enough that a page of customers stays fast.
    const MAX: usize = 20;
}

impl TryFrom<Vec<Address>> for Addresses {
    type Error = Invalid;

    fn try_from(addresses: Vec<Address>) -> Result<Self, Invalid> {
        if addresses.len() > Self::MAX {
            return Err(Invalid::new("too_many_addresses", format!("a customer has at most {} addresses", Self::MAX)));
        }
        Ok(Self(addresses))
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "email": "alice@example.com", "name": "Alice Archer", "phone": "+44 1225 000000",
    "addresses": [{"line1": "1 Mill Lane", "city": "Bath", "country": "GB"}]
}))]
pub struct NewCustomer {
    pub email: Email,
    pub name: Name,
    pub phone: Option<Phone>,
    pub addresses: Option<Addresses>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"phone": null, "user_id": "019a4f6e-9e10-7f63-b2d4-1c8a5e7f0a93"}))]
pub struct ChangeCustomer {
    pub email: Option<Email>,
    pub name: Option<Name>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Phone>)]
    pub phone: Option<Option<Phone>>,
    pub addresses: Option<Addresses>,
    /// Links the customer to a user account, which can then see its orders; null removes the link
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<UserId>)]
    pub user_id: Option<Option<UserId>>,
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CustomerFilter {
    /// The complete address; upper and lower case do not matter
    pub email: Option<Email>,
    /// Part of the name (three characters or more), or the beginning of the e-mail address
    #[param(value_type = Option<String>, max_length = 100, pattern = r"^[^\u0000]*$")]
    pub q: Option<Search>,
}

/// The oldest first.
pub async fn list(conn: &mut PgConnection, filter: &CustomerFilter, page: &Page) -> Result<List<CustomerView>> {
    let customers = sqlx::query_as!(
        CustomerView,
        "select id, user_id as \"user_id: UserId\", email as \"email: Email\", name as \"name: Name\",
                phone as \"phone: Phone\", addresses as \"addresses: Json<Addresses>\", version, created_at, updated_at
           from customers
          where ($1::uuid is null or id > $1) and ($2::text is null or lower(email) = lower($2))
            and ($4::text is null or lower(email) like $4 or lower(name) like $5)
          order by id limit $3",
        page.after_id(),
        filter.email.as_ref().map(Email::as_str),
        page.fetch(),
        filter.q.as_ref().map(Search::begins),
        filter.q.as_ref().and_then(Search::contains),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(page.list(customers, |customer| customer.id.0.into()))
}

pub async fn get(conn: &mut PgConnection, id: CustomerId) -> Result<CustomerView> {
    sqlx::query_as!(
        CustomerView,
        "select id, user_id as \"user_id: UserId\", email as \"email: Email\", name as \"name: Name\",
                phone as \"phone: Phone\", addresses as \"addresses: Json<Addresses>\", version, created_at, updated_at
           from customers where id = $1",
        id.0,
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound(Resource::Customer))
}

/// The customers with these ids; those that do not exist are left out.
pub async fn by_ids(conn: &mut PgConnection, ids: &[CustomerId]) -> Result<Vec<CustomerView>> {
    Ok(sqlx::query_as!(
        CustomerView,
        "select id, user_id as \"user_id: UserId\", email as \"email: Email\", name as \"name: Name\",
                phone as \"phone: Phone\", addresses as \"addresses: Json<Addresses>\", version, created_at, updated_at
           from customers where id = any((select $1::uuid[])::uuid[])",
        &ids.iter().map(|id| id.0).collect::<Vec<_>>(),
    )
    .fetch_all(conn)
    .await?)
}

/// Creates a customer without a user account. A user who registers with the same address later does not get this customer.
pub async fn create(conn: &mut PgConnection, principal: &Principal, new: &NewCustomer) -> Result<CustomerView> {
    let id = CustomerId::new();
    sqlx::query!(
        "insert into customers (id, email, name, phone, addresses) values ($1, $2, $3, $4, coalesce($5::jsonb, '[]'))",
        id.0,
        new.email.as_str(),
        new.name.as_str(),
        new.phone.as_ref().map(Phone::as_str),
        new.addresses.as_ref().map(Json) as _,
    )
    .execute(&mut *conn)
    .await?;
    actions::record(conn, principal, Action::new("customer.created", "customer", id)).await?;
    get(conn, id).await
}

/// Creates the customer of a new user. It is not linked to an existing customer with the same address, because anybody can
/// register with any address.
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

/// Changes the given fields. With `seen`, only if the customer still has that version.
pub async fn change(
    conn: &mut PgConnection,
    principal: &Principal,
    id: CustomerId,
    seen: Option<i32>,
    change: &ChangeCustomer,
) -> Result<CustomerView> {
    if let Some(user_id) = change.user_id {
        refuse_to_leave_a_user_without(conn, id, user_id).await?;
    }
    let changed = sqlx::query_scalar!(
        "update customers c
            set email = coalesce($3, c.email),
                name = coalesce($4, c.name),
                phone = case when $5 then $6 else c.phone end,
                addresses = coalesce($7, c.addresses),
                user_id = case when $8 then $9 else c.user_id end,
                version = c.version + 1,
                updated_at = statement_timestamp()
           from (select * from customers where id = $1 for no key update) old
          where c.id = old.id and ($2::int is null or c.version = $2)
         returning array_remove(array[
                case when c.email <> old.email then 'email' end,
                case when c.name <> old.name then 'name' end,
                case when c.phone is distinct from old.phone then 'phone' end,
                case when c.addresses <> old.addresses then 'addresses' end,
                case when c.user_id is distinct from old.user_id then 'user_id' end], null)
                as \"changed!: Vec<String>\"",
        id.0,
        seen,
        change.email.as_ref().map(Email::as_str),
        change.name.as_ref().map(Name::as_str),
        change.phone.is_some(),
        change.phone.as_ref().and_then(Option::as_ref).map(Phone::as_str),
        change.addresses.as_ref().map(Json) as _,
        change.user_id.is_some(),
        change.user_id.flatten().map(|id| id.0),
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(|error| match db::broken_constraint(&error) {
        Some("customers_user_id_fkey") => Error::field("user_id", "user_not_found", "there is no user with this id"),
        _ => error.into(),
    })?;
    let customer = get(conn, id).await?;
    let changed = changed.ok_or(Error::VersionMismatch)?;
    if !changed.is_empty() {
        actions::record(conn, principal, Action::changed("customer.changed", "customer", id, &changed)).await?;
    }
    Ok(customer)
}

/// Every user needs a customer, so the last customer of a user cannot be unlinked or linked to another user.
async fn refuse_to_leave_a_user_without(
    conn: &mut PgConnection,
    id: CustomerId,
    user_id: Option<UserId>,
) -> Result<()> {
    // Two changes at the same time could each rely on the customer that the other one takes, so only one runs at a time.
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('customers', 0))").execute(&mut *conn).await?;
    let is_last = sqlx::query_scalar!(
        "select exists (
            select from customers c
             where c.id = $1 and c.user_id is not null and c.user_id is distinct from $2
               and not exists (select from customers o where o.user_id = c.user_id and o.id <> c.id)
         ) as \"is_last!\"",
        id.0,
        user_id.map(|id| id.0),
    )
    .fetch_one(conn)
    .await?;
    if is_last {
        let message = "this is the only customer of its user account; link the account to another customer first";
        return Err(Error::field("user_id", "last_customer", message));
    }
    Ok(())
}
