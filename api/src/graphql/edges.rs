//! What leads from one object of the GraphQL schema to others. Each edge asks for one key, and a batch loads all of them.

use async_graphql::{ComplexObject, Context, Result};
use shared::catalog::products::ProductView;
use shared::error::{Error, Resource};
use shared::orders::many;
use shared::page::Position;
use shared::principal::{Permission, Principal};
use shared::values::ProductId;

use crate::graphql::connection::{NodeConnection, first};
use crate::graphql::loads::{Customers, EventsOfOrders, OrdersOfCustomers, Paged, Products, StockOfProducts};
use crate::graphql::nodes::{CustomerNode, EventNode, OrderItemNode, OrderNode, ProductNode, StockNode};
use crate::graphql::run::{self, QueryRun};

#[ComplexObject]
impl OrderNode {
    /// For a customer their own
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<CustomerNode>> {
        if let Some(customer) = &self.known_customer {
            return Ok(Some(customer.clone()));
        }
        let run = run::of(ctx);
        let found = run.batches.customers.get(Customers, self.of_customer).await;
        let found = found.map_err(|error| run.refusal(error))?;
        let may = run.caller.may(Permission::CustomersRead);
        let visible = found.filter(|customer| may || customer.user_id == run.caller.user_id());
        visible
            .map(|customer| Some(CustomerNode::from(&*customer)))
            .ok_or_else(|| run.refusal(Error::NotFound(Resource::Customer)))
    }

    /// The timeline, the oldest event first
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> Result<NodeConnection<EventNode>> {
        let run = run::of(ctx);
        events(run, self, first, after).await.map_err(|error| run.refusal(error))
    }
}

async fn events(
    run: &QueryRun,
    order: &OrderNode,
    asked: Option<i32>,
    after: Option<String>,
) -> shared::error::Result<NodeConnection<EventNode>> {
    let paged = Paged { first: first(asked)?, after, of: "Order.events" };
    let page = paged.page()?;
    let list = run.batches.events.get(EventsOfOrders(paged), order.order).await?;
    let each = |event: &_| (many::event_position(order.order, event), EventNode::from(event));
    Ok(list.map_or_else(NodeConnection::empty, |list| NodeConnection::of(&page, &list, each)))
}

#[ComplexObject]
impl OrderItemNode {
    /// The product as it is now; null with `product_not_found` for a customer if it is no longer sold
    async fn product(&self, ctx: &Context<'_>) -> Result<Option<ProductNode>> {
        product(run::of(ctx), self.of_product).await
    }
}

#[ComplexObject]
impl StockNode {
    async fn product(&self, ctx: &Context<'_>) -> Result<Option<ProductNode>> {
        product(run::of(ctx), self.of_product).await
    }
}

async fn product(run: &QueryRun, id: ProductId) -> Result<Option<ProductNode>> {
    let found = run.batches.products.get(Products, id).await.map_err(|error| run.refusal(error))?;
    match found.filter(|product| is_visible(product, &run.caller)) {
        Some(product) => Ok(Some(ProductNode::from(&*product))),
        None => Err(run.refusal(Error::NotFound(Resource::Product))),
    }
}

/// A product that is not sold may be a draft. REST shows only its name then, and here it has no fewer fields than others.
pub(super) fn is_visible(product: &ProductView, caller: &Principal) -> bool {
    product.active || caller.may(Permission::CatalogWrite)
}

#[ComplexObject]
impl ProductNode {
    /// What lies where; for staff only
    async fn stock(&self, ctx: &Context<'_>) -> Result<Option<Vec<StockNode>>> {
        let run = run::of(ctx);
        let rows = run.batches.stock.get(StockOfProducts, self.product).await;
        let rows = rows.map_err(|error| run.refusal(error))?;
        Ok(Some(rows.map_or_else(Vec::new, |rows| rows.iter().map(StockNode::from).collect())))
    }
}

#[ComplexObject]
impl CustomerNode {
    /// Newest first
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<NodeConnection<OrderNode>>> {
        let run = run::of(ctx);
        orders(run, self, first, after).await.map(Some).map_err(|error| run.refusal(error))
    }
}

async fn orders(
    run: &QueryRun,
    customer: &CustomerNode,
    asked: Option<i32>,
    after: Option<String>,
) -> shared::error::Result<NodeConnection<OrderNode>> {
    let paged = Paged { first: first(asked)?, after, of: "Customer.orders" };
    let page = paged.page()?;
    let Some(list) = run.batches.orders.get(OrdersOfCustomers(paged), customer.customer).await? else {
        return Ok(NodeConnection::empty());
    };
    list.data.iter().for_each(|order| run.show(order));
    Ok(NodeConnection::of(&page, &list, |order| (Position::from(order.id.0), OrderNode::from(order))))
}
