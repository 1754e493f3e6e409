//! What leads from one object of the GraphQL schema to others. Each edge asks for one key, and a batch loads all of them.

use async_graphql::{ComplexObject, Context, Result};
use shared::catalog::products::ProductView;
use shared::error::{Error, Resource};
use shared::orders::many;
use shared::page::Position;
use shared::principal::{Permission, Principal};
use shared::values::ProductId;

use crate::graphql::connection::{Connection, first};
use crate::graphql::loads::{Customers, EventsOfOrders, OrdersOfCustomers, Paged, Products, StockOfProducts};
use crate::graphql::nodes::{CustomerNode, EventNode, OrderItemNode, OrderNode, ProductNode, StockNode};
use crate::graphql::scope::{self, Scope};

#[ComplexObject]
impl OrderNode {
    /// For a customer their own
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<CustomerNode>> {
        if let Some(customer) = &self.known_customer {
            return Ok(Some(customer.clone()));
        }
        let scope = scope::of(ctx);
        let found = scope.batches.customers.get(Customers, self.of_customer).await;
        let found = found.map_err(|error| scope.refusal(error))?;
        let may = scope.caller.may(Permission::CustomersRead);
        let visible = found.filter(|customer| may || customer.user_id == scope.caller.user_id());
        visible
            .map(|customer| Some(CustomerNode::from(&*customer)))
            .ok_or_else(|| scope.refusal(Error::NotFound(Resource::Customer)))
    }

    /// The timeline, the oldest event first
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<EventNode>> {
        let scope = scope::of(ctx);
        events(scope, self, first, after).await.map_err(|error| scope.refusal(error))
    }
}

async fn events(
    scope: &Scope,
    order: &OrderNode,
    asked: Option<i32>,
    after: Option<String>,
) -> shared::error::Result<Connection<EventNode>> {
    let paged = Paged { first: first(asked)?, after, of: "Order.events" };
    let page = paged.page()?;
    let list = scope.batches.events.get(EventsOfOrders(paged), order.order).await?;
    let each = |event: &_| (many::event_position(order.order, event), EventNode::from(event));
    Ok(list.map_or_else(Connection::empty, |list| Connection::of(&page, &list, each)))
}

#[ComplexObject]
impl OrderItemNode {
    /// The product as it is now; null with `product_not_found` for a customer if it is no longer sold
    async fn product(&self, ctx: &Context<'_>) -> Result<Option<ProductNode>> {
        product(scope::of(ctx), self.of_product).await
    }
}

#[ComplexObject]
impl StockNode {
    async fn product(&self, ctx: &Context<'_>) -> Result<Option<ProductNode>> {
        product(scope::of(ctx), self.of_product).await
    }
}

async fn product(scope: &Scope, id: ProductId) -> Result<Option<ProductNode>> {
    let found = scope.batches.products.get(Products, id).await.map_err(|error| scope.refusal(error))?;
    match found.filter(|product| is_visible(product, &scope.caller)) {
        Some(product) => Ok(Some(ProductNode::from(&*product))),
        None => Err(scope.refusal(Error::NotFound(Resource::Product))),
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
        let scope = scope::of(ctx);
        let rows = scope.batches.stock.get(StockOfProducts, self.product).await;
        let rows = rows.map_err(|error| scope.refusal(error))?;
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
    ) -> Result<Option<Connection<OrderNode>>> {
        let scope = scope::of(ctx);
        orders(scope, self, first, after).await.map(Some).map_err(|error| scope.refusal(error))
    }
}

async fn orders(
    scope: &Scope,
    customer: &CustomerNode,
    asked: Option<i32>,
    after: Option<String>,
) -> shared::error::Result<Connection<OrderNode>> {
    let paged = Paged { first: first(asked)?, after, of: "Customer.orders" };
    let page = paged.page()?;
    let Some(list) = scope.batches.orders.get(OrdersOfCustomers(paged), customer.customer).await? else {
        return Ok(Connection::empty());
    };
    list.data.iter().for_each(|order| scope.show(order));
    Ok(Connection::of(&page, &list, |order| (Position::from(order.id.0), OrderNode::from(order))))
}
