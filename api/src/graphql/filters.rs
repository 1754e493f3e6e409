//! The filters of the GraphQL schema, turned into those of REST.

use async_graphql::{ID, InputObject};
use shared::catalog::products::ProductFilter;
use shared::customers::CustomerFilter;
use shared::error::{Error, Result};
use shared::invalid::Invalid;
use shared::inventory::list::StockFilter;
use shared::orders::read::OrderFilter;
use uuid::Uuid;

use crate::graphql::scalars::{Int64, OrderStatusName, Time};

/// Which of the orders that the caller may see
#[derive(Debug, InputObject)]
#[graphql(name = "OrderFilter")]
pub(super) struct OrdersWanted {
    status: Option<OrderStatusName>,
    customer_id: Option<ID>,
    /// Placed at this time or later
    from: Option<Time>,
    /// Placed before this time
    to: Option<Time>,
}

impl TryFrom<&OrdersWanted> for OrderFilter {
    type Error = Error;

    fn try_from(wanted: &OrdersWanted) -> Result<Self> {
        Ok(Self {
            status: wanted.status.map(Into::into),
            customer_id: id("customerId", wanted.customer_id.as_ref())?,
            from: wanted.from.map(|Time(from)| from),
            to: wanted.to.map(|Time(to)| to),
            ..Self::default()
        })
    }
}

#[derive(Debug, InputObject)]
#[graphql(name = "ProductFilter")]
pub(super) struct ProductsWanted {
    /// Part of the name or the SKU; one or two characters match only at the start of a word
    q: Option<String>,
    category_id: Option<ID>,
    /// In minor units; with a price the list is sorted by price
    min_price: Option<Int64>,
    /// In minor units; sorted in the same way
    max_price: Option<Int64>,
    /// False lists the products that are no longer sold; for staff only
    active: Option<bool>,
}

impl TryFrom<&ProductsWanted> for ProductFilter {
    type Error = Error;

    fn try_from(wanted: &ProductsWanted) -> Result<Self> {
        Ok(Self {
            q: parsed("q", wanted.q.as_deref())?,
            category_id: id("categoryId", wanted.category_id.as_ref())?,
            min_price: wanted.min_price.map(|Int64(price)| price),
            max_price: wanted.max_price.map(|Int64(price)| price),
            active: wanted.active,
        })
    }
}

#[derive(Debug, InputObject)]
#[graphql(name = "StockFilter")]
pub(super) struct StockWanted {
    product_id: Option<ID>,
    warehouse_id: Option<ID>,
    /// Only what is low (`available <= reorderLevel`), or only what is not
    low_stock: Option<bool>,
}

impl TryFrom<&StockWanted> for StockFilter {
    type Error = Error;

    fn try_from(wanted: &StockWanted) -> Result<Self> {
        Ok(Self {
            product_id: id("productId", wanted.product_id.as_ref())?,
            warehouse_id: id("warehouseId", wanted.warehouse_id.as_ref())?,
            low_stock: wanted.low_stock,
            ..Self::default()
        })
    }
}

#[derive(Debug, InputObject)]
#[graphql(name = "CustomerFilter")]
pub(super) struct CustomersWanted {
    /// The complete address; upper and lower case do not matter
    email: Option<String>,
}

impl TryFrom<&CustomersWanted> for CustomerFilter {
    type Error = Error;

    fn try_from(wanted: &CustomersWanted) -> Result<Self> {
        Ok(Self { email: parsed("email", wanted.email.as_deref())?, ..Self::default() })
    }
}

/// The filter of REST, or the one without any condition.
pub(super) fn filter<'a, W, F: Default + TryFrom<&'a W, Error = Error>>(wanted: Option<&'a W>) -> Result<F> {
    wanted.map(F::try_from).transpose().map(Option::unwrap_or_default)
}

fn id<T: From<Uuid>>(field: &str, text: Option<&ID>) -> Result<Option<T>> {
    let parse = |text: &ID| {
        let id = Uuid::try_parse(text).map(T::from);
        id.map_err(|_| Error::field(format!("filter.{field}"), "invalid_value", "it must be an id"))
    };
    text.map(parse).transpose()
}

fn parsed<T: std::str::FromStr<Err = Invalid>>(field: &str, text: Option<&str>) -> Result<Option<T>> {
    let parse = |text: &str| {
        let parsed = text.parse();
        parsed.map_err(|invalid: Invalid| Error::InvalidFields(vec![invalid.at(format!("filter.{field}"))]))
    };
    text.map(parse).transpose()
}
