//! Products and categories: anybody reads, staff write.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use shared::catalog::categories::{self, CategoryView, ChangeCategory, NewCategory};
use shared::catalog::products::{self, ChangeProduct, NewProduct, ProductFilter, ProductView};
use shared::page::{List, Paging};
use shared::principal::Permission;
use shared::product_cache::Cache;
use shared::product_cache::facts::VisibleProduct;
use shared::scope::Scope;
use shared::values::{CategoryId, ProductId};
use sqlx::PgPool;
use utoipa_axum::routes;

use crate::error::{ApiResult, Problem};
use crate::extract::etag::{IfMatch, Tagged};
use crate::extract::idempotent::Once;
use crate::extract::json::{Json, Listed, NoFilter, Path};
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;

pub fn routes() -> Routes {
    let read = Policy::read(Access::Anyone);
    let write = Policy::write(Access::Needs(Permission::CatalogWrite)).scope(Scope::CatalogWrite);
    let write_product = write.stales_products();
    Routes::default()
        .on(routes!(products), read)
        .on(routes!(create_product), write_product.takes_key())
        .on(routes!(product), read)
        .on(routes!(replace_product), write_product)
        .on(routes!(change_product), write_product)
        .on(routes!(delete_product), write_product)
        .on(routes!(categories), read)
        .on(routes!(create_category), write.takes_key())
        .on(routes!(category), read)
        .on(routes!(change_category), write)
        .on(routes!(delete_category), write)
}

/// List products on sale
#[utoipa::path(get, path = "/v1/products", tag = "catalog", params(ProductFilter, Paging), responses(
    (status = 200, description = "A page of products, oldest first", body = List<ProductView>),
    (status = 403, description = "`forbidden`, or `insufficient_scope` for a key: only staff may ask for `active=false`", body = Problem),
    (status = 422, description = "`invalid_search`, `invalid_limit`, `invalid_cursor`, or a filter that is not known", body = Problem),
))]
async fn products(
    State(db): State<PgPool>,
    caller: Option<Caller>,
    list: Listed<ProductFilter>,
) -> ApiResult<Answer<List<ProductView>>> {
    let mut conn = db.acquire().await?;
    let products = products::list(&mut conn, caller.as_deref(), &list.filter, &list.page).await?;
    Ok(Answer(products))
}

/// Read a product, also one that is no longer sold
///
/// Of a product that is not sold, only staff see the price and the rest. For others than staff and keys the answer may be
/// up to 2 s old.
#[utoipa::path(get, path = "/v1/products/{id}", tag = "catalog", params(("id" = ProductId, Path)), responses(
    (status = 200, description = "The product, its version in `ETag`", body = VisibleProduct, headers(("ETag" = String))),
    (status = 404, description = "`product_not_found`", body = Problem),
))]
async fn product(
    State(cache): State<Arc<Cache>>,
    caller: Option<Caller>,
    Path(id): Path<ProductId>,
) -> ApiResult<Tagged<VisibleProduct>> {
    let facts = cache.product(id, caller.as_deref()).await?;
    Ok(Tagged(facts.product.version, facts.visible_to(caller.as_deref())))
}

/// Add a product
#[utoipa::path(post, path = "/v1/products", tag = "catalog", request_body = NewProduct, responses(
    (status = 201, description = "The product; `Location` says where it is", body = ProductView, headers(("Location" = String), ("ETag" = String))),
    (status = 409, description = "`sku_taken`", body = Problem),
    (status = 422, description = "`category_not_found`, or a field is not right: see `code` and `errors`", body = Problem),
))]
async fn create_product(caller: Caller, mut once: Once<NewProduct>) -> ApiResult<Response> {
    let product = products::create(&mut once.tx, &caller, &once.body).await?;
    once.created(format!("/v1/products/{}", product.id), product.version, &product).await
}

/// Replace a product
///
/// Fields that are left out become empty, except `active`, which stays.
#[utoipa::path(
    put, path = "/v1/products/{id}", tag = "catalog",
    params(("id" = ProductId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = NewProduct, responses(
    (status = 200, description = "The product as it is now", body = ProductView, headers(("ETag" = String))),
    (status = 404, description = "`product_not_found`", body = Problem),
    (status = 409, description = "`sku_taken`", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
    (status = 422, description = "`category_not_found`, or a field is not right: see `code` and `errors`", body = Problem),
))]
async fn replace_product(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<ProductId>,
    IfMatch(seen): IfMatch,
    Json(body): Json<NewProduct>,
) -> ApiResult<Tagged<ProductView>> {
    let mut tx = db.begin().await?;
    let product = products::change(&mut tx, &caller, id, seen, &body.into()).await?;
    tx.commit().await?;
    Ok(Tagged(product.version, product))
}

/// Change a product
///
/// Fields that are left out stay. `active: true` brings a deleted product back.
#[utoipa::path(
    patch, path = "/v1/products/{id}", tag = "catalog",
    params(("id" = ProductId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = ChangeProduct, responses(
    (status = 200, description = "The product as it is now", body = ProductView, headers(("ETag" = String))),
    (status = 404, description = "`product_not_found`", body = Problem),
    (status = 409, description = "`sku_taken`", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
    (status = 422, description = "`category_not_found`, or a field is not right: see `code` and `errors`", body = Problem),
))]
async fn change_product(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<ProductId>,
    IfMatch(seen): IfMatch,
    Json(body): Json<ChangeProduct>,
) -> ApiResult<Tagged<ProductView>> {
    let mut tx = db.begin().await?;
    let product = products::change(&mut tx, &caller, id, seen, &body).await?;
    tx.commit().await?;
    Ok(Tagged(product.version, product))
}

/// End the sale of a product
///
/// It becomes `active: false`; old orders still show it.
#[utoipa::path(
    delete, path = "/v1/products/{id}", tag = "catalog",
    params(("id" = ProductId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    responses(
    (status = 204, description = "It is no longer sold; asking again changes nothing"),
    (status = 404, description = "`product_not_found`", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
))]
async fn delete_product(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<ProductId>,
    IfMatch(seen): IfMatch,
) -> ApiResult<StatusCode> {
    let mut tx = db.begin().await?;
    products::retire(&mut tx, &caller, id, seen).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List categories
#[utoipa::path(get, path = "/v1/categories", tag = "catalog", params(Paging), responses(
    (status = 200, description = "A page of categories, oldest first", body = List<CategoryView>),
    (status = 422, description = "`invalid_limit` or `invalid_cursor`", body = Problem),
))]
async fn categories(State(db): State<PgPool>, list: Listed<NoFilter>) -> ApiResult<Answer<List<CategoryView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(categories::list(&mut conn, &list.page).await?))
}

/// Read a category
#[utoipa::path(get, path = "/v1/categories/{id}", tag = "catalog", params(("id" = CategoryId, Path)), responses(
    (status = 200, description = "The category, its version in `ETag`", body = CategoryView, headers(("ETag" = String))),
    (status = 404, description = "`category_not_found`", body = Problem),
))]
async fn category(State(db): State<PgPool>, Path(id): Path<CategoryId>) -> ApiResult<Tagged<CategoryView>> {
    let mut conn = db.acquire().await?;
    let category = categories::get(&mut conn, id).await?;
    Ok(Tagged(category.version, category))
}

/// Add a category
#[utoipa::path(post, path = "/v1/categories", tag = "catalog", request_body = NewCategory, responses(
    (status = 201, description = "The category; `Location` says where it is", body = CategoryView, headers(("Location" = String), ("ETag" = String))),
    (status = 409, description = "`category_name_taken`", body = Problem),
    (status = 422, description = "`category_not_found` for the parent, or a field is not right: see `code` and `errors`", body = Problem),
))]
async fn create_category(caller: Caller, mut once: Once<NewCategory>) -> ApiResult<Response> {
    let category = categories::create(&mut once.tx, &caller, &once.body).await?;
    once.created(format!("/v1/categories/{}", category.id), category.version, &category).await
}

/// Rename or move a category
#[utoipa::path(
    patch, path = "/v1/categories/{id}", tag = "catalog",
    params(("id" = CategoryId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = ChangeCategory, responses(
    (status = 200, description = "The category as it is now", body = CategoryView, headers(("ETag" = String))),
    (status = 404, description = "`category_not_found`", body = Problem),
    (status = 409, description = "`category_name_taken`", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
    (status = 422, description = "`category_not_found` or `category_cycle` for the parent, or a field is not right: see `code` and `errors`", body = Problem),
))]
async fn change_category(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<CategoryId>,
    IfMatch(seen): IfMatch,
    Json(body): Json<ChangeCategory>,
) -> ApiResult<Tagged<CategoryView>> {
    let mut tx = db.begin().await?;
    let category = categories::change(&mut tx, &caller, id, seen, &body).await?;
    tx.commit().await?;
    Ok(Tagged(category.version, category))
}

/// Delete an empty category
#[utoipa::path(
    delete, path = "/v1/categories/{id}", tag = "catalog",
    params(("id" = CategoryId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "`category_not_found`", body = Problem),
    (status = 409, description = "`category_in_use`: products (also deleted ones) or categories are in it", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
))]
async fn delete_category(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<CategoryId>,
    IfMatch(seen): IfMatch,
) -> ApiResult<StatusCode> {
    let mut tx = db.begin().await?;
    categories::delete(&mut tx, &caller, id, seen).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
