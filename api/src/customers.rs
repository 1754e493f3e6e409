//! Customers, as staff see them.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use shared::customers::{self, ChangeCustomer, CustomerFilter, CustomerView, NewCustomer};
use shared::page::{List, Paging};
use shared::principal::Permission;
use shared::scope::Scope;
use shared::values::CustomerId;
use sqlx::PgPool;
use utoipa_axum::routes;

use crate::error::{ApiResult, Problem};
use crate::extract::etag::{IfMatch, Tagged};
use crate::extract::idempotent::Once;
use crate::extract::json::{Json, Listed, Path};
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;

pub fn routes() -> Routes {
    let read = Policy::read(Access::Needs(Permission::CustomersRead)).scope(Scope::CustomersRead);
    let write = Policy::write(Access::Needs(Permission::CustomersWrite)).scope(Scope::CustomersWrite);
    Routes::default()
        .on(routes!(customers), read)
        .on(routes!(create_customer), write.takes_key())
        .on(routes!(customer), read)
        .on(routes!(change_customer), write)
}

/// List customers
#[utoipa::path(get, path = "/v1/customers", tag = "customers", params(CustomerFilter, Paging), responses(
    (status = 200, description = "A page of customers, oldest first", body = List<CustomerView>),
    (status = 422, description = "`invalid_email`, `invalid_limit`, `invalid_cursor`, or a filter that is not known", body = Problem),
))]
async fn customers(State(db): State<PgPool>, list: Listed<CustomerFilter>) -> ApiResult<Answer<List<CustomerView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(customers::list(&mut conn, &list.filter, &list.page).await?))
}

/// Read a customer
#[utoipa::path(get, path = "/v1/customers/{id}", tag = "customers", params(("id" = CustomerId, Path)), responses(
    (status = 200, description = "The customer, its version in `ETag`", body = CustomerView, headers(("ETag" = String))),
    (status = 404, description = "`customer_not_found`", body = Problem),
))]
async fn customer(State(db): State<PgPool>, Path(id): Path<CustomerId>) -> ApiResult<Tagged<CustomerView>> {
    let mut conn = db.acquire().await?;
    let customer = customers::get(&mut conn, id).await?;
    Ok(Tagged(customer.version, customer))
}

/// Add a customer without an account
///
/// A user who later registers with the same address does not get this customer, because an address proves nothing.
/// Staff can link the two by changing `user_id`.
#[utoipa::path(post, path = "/v1/customers", tag = "customers", request_body = NewCustomer, responses(
    (status = 201, description = "The customer; `Location` says where it is", body = CustomerView, headers(("Location" = String), ("ETag" = String))),
))]
async fn create_customer(caller: Caller, mut once: Once<NewCustomer>) -> ApiResult<Response> {
    let customer = customers::create(&mut once.tx, &caller, &once.body).await?;
    once.created(format!("/v1/customers/{}", customer.id), customer.version, &customer).await
}

/// Change a customer, or link it to an account
#[utoipa::path(
    patch, path = "/v1/customers/{id}", tag = "customers",
    params(("id" = CustomerId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = ChangeCustomer, responses(
    (status = 200, description = "The customer as it is now", body = CustomerView, headers(("ETag" = String))),
    (status = 404, description = "`customer_not_found`", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
    (status = 422, description = "`user_not_found`, or a field is not right: see `code` and `errors`", body = Problem),
))]
async fn change_customer(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<CustomerId>,
    IfMatch(seen): IfMatch,
    Json(body): Json<ChangeCustomer>,
) -> ApiResult<Tagged<CustomerView>> {
    let mut tx = db.begin().await?;
    let customer = customers::change(&mut tx, &caller, id, seen, &body).await?;
    tx.commit().await?;
    Ok(Tagged(customer.version, customer))
}
