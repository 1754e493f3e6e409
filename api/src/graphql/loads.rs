//! What belongs to orders, products and customers, for many of them at once.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use shared::catalog::products::{self, ProductView};
use shared::customers::{self, CustomerView};
use shared::error::Result;
use shared::inventory::{StockView, list as stock};
use shared::orders::read::OrderEvent;
use shared::orders::{OrderView, many};
use shared::page::{List, Page};
use shared::principal::Principal;
use shared::values::{CustomerId, OrderId, ProductId};
use sqlx::{PgConnection, PgPool};

use crate::graphql::batch::{Batch, Load};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Products;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Customers;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StockOfProducts;

/// One page of the timeline of each order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EventsOfOrders(pub Paged);

/// One page of the orders of each customer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OrdersOfCustomers(pub Paged);

/// Which page of a connection below many parents.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Paged {
    pub first: i64,
    pub after: Option<String>,
    /// The connection, such as `Order.events`: a cursor is valid only for the connection that it came from.
    pub of: &'static str,
}

impl Paged {
    pub(super) fn page(&self) -> Result<Page> {
        Page::parse(Some(self.first), self.after.as_deref(), self.of)
    }
}

impl Load for Products {
    type Key = ProductId;
    type Value = ProductView;

    async fn load(
        &self,
        conn: &mut PgConnection,
        _: &Principal,
        ids: &[ProductId],
    ) -> Result<HashMap<ProductId, ProductView>> {
        let products = products::by_ids(conn, ids).await?;
        Ok(products.into_iter().map(|product| (product.id, product)).collect())
    }
}

impl Load for Customers {
    type Key = CustomerId;
    type Value = CustomerView;

    async fn load(
        &self,
        conn: &mut PgConnection,
        _: &Principal,
        ids: &[CustomerId],
    ) -> Result<HashMap<CustomerId, CustomerView>> {
        let customers = customers::by_ids(conn, ids).await?;
        Ok(customers.into_iter().map(|customer| (customer.id, customer)).collect())
    }
}

impl Load for StockOfProducts {
    type Key = ProductId;
    type Value = Vec<StockView>;

    async fn load(
        &self,
        conn: &mut PgConnection,
        _: &Principal,
        ids: &[ProductId],
    ) -> Result<HashMap<ProductId, Vec<StockView>>> {
        let mut of_each: HashMap<ProductId, Vec<StockView>> = HashMap::new();
        for row in stock::of_products(conn, ids).await? {
            of_each.entry(row.product_id).or_default().push(row);
        }
        Ok(of_each)
    }
}

impl Load for EventsOfOrders {
    type Key = OrderId;
    type Value = List<OrderEvent>;

    async fn load(
        &self,
        conn: &mut PgConnection,
        caller: &Principal,
        ids: &[OrderId],
    ) -> Result<HashMap<OrderId, List<OrderEvent>>> {
        many::events(conn, caller, ids, &self.0.page()?).await
    }
}

impl Load for OrdersOfCustomers {
    type Key = CustomerId;
    type Value = List<OrderView>;

    async fn load(
        &self,
        conn: &mut PgConnection,
        caller: &Principal,
        ids: &[CustomerId],
    ) -> Result<HashMap<CustomerId, List<OrderView>>> {
        many::of_customers(conn, caller, ids, &self.0.page()?).await
    }
}

/// All batches of one request.
#[derive(Default)]
pub(super) struct Batches {
    pub products: Batch<Products>,
    pub customers: Batch<Customers>,
    pub stock: Batch<StockOfProducts>,
    pub events: Batch<EventsOfOrders>,
    pub orders: Batch<OrdersOfCustomers>,
}

impl Batches {
    /// What to run to answer every resolver that waits.
    pub(super) fn start(&self, db: &PgPool, caller: &Arc<Principal>) -> Vec<BoxFuture<'static, ()>> {
        [
            self.products.start(db, caller),
            self.customers.start(db, caller),
            self.stock.start(db, caller),
            self.events.start(db, caller),
            self.orders.start(db, caller),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
