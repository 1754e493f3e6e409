//! Where a GraphQL query begins: single objects, and lists as in REST.

use async_graphql::{ComplexObject, Context, ID, Object, Result, SimpleObject};
use shared::catalog::products::{self, ProductFilter};
use shared::customers::{self, CustomerFilter};
use shared::error::{Error, Resource};
use shared::identity::users;
use shared::inventory::list::{self as stock, StockFilter};
use shared::orders::read::{self, OrderFilter};
use shared::page::{Page, Position};
use shared::principal::{Actor, Principal};
use shared::values::{OrderNumber, Sku};
use uuid::Uuid;

use crate::graphql::connection::{NodeConnection, first};
use crate::graphql::edges::is_visible;
use crate::graphql::filters::{CustomersWanted, OrdersWanted, ProductsWanted, StockWanted, filter};
use crate::graphql::nodes::{CustomerNode, OrderNode, ProductNode, StockNode};
use crate::graphql::run::{self, QueryRun};
use crate::graphql::scalars::RoleName;

type Found<T> = shared::error::Result<T>;

pub(super) struct QueryRoot;

/// Each field reads as the same caller would read by REST.
#[Object(name = "Query")]
impl QueryRoot {
    /// The caller
    async fn me(&self, ctx: &Context<'_>) -> MeNode {
        me(&run::of(ctx).caller)
    }

    /// One order, by its id or by its number
    async fn order(&self, ctx: &Context<'_>, id: Option<ID>, number: Option<String>) -> Result<Option<OrderNode>> {
        let run = run::of(ctx);
        let found = order(run, id, number).await.map_err(|error| run.refusal(error))?;
        Ok(Some(found))
    }

    /// One product, by its id or by its SKU
    async fn product(&self, ctx: &Context<'_>, id: Option<ID>, sku: Option<String>) -> Result<Option<ProductNode>> {
        let run = run::of(ctx);
        let found = product(run, id, sku).await.map_err(|error| run.refusal(error))?;
        Ok(Some(found))
    }

    /// One customer; for staff only
    async fn customer(&self, ctx: &Context<'_>, id: ID) -> Result<Option<CustomerNode>> {
        let run = run::of(ctx);
        let found = customer(run, id).await.map_err(|error| run.refusal(error))?;
        Ok(Some(found))
    }

    /// A customer's own orders; for staff all. Newest first
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
        filter: Option<OrdersWanted>,
    ) -> Result<Option<NodeConnection<OrderNode>>> {
        let run = run::of(ctx);
        orders(run, first, after, filter).await.map(Some).map_err(|error| run.refusal(error))
    }

    /// Products on sale, oldest first, or by price if the filter has one
    async fn products(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
        filter: Option<ProductsWanted>,
    ) -> Result<Option<NodeConnection<ProductNode>>> {
        let run = run::of(ctx);
        products(run, first, after, filter).await.map(Some).map_err(|error| run.refusal(error))
    }

    /// What lies in which warehouse, oldest rows first; for staff only
    async fn inventory(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
        filter: Option<StockWanted>,
    ) -> Result<Option<NodeConnection<StockNode>>> {
        let run = run::of(ctx);
        inventory(run, first, after, filter).await.map(Some).map_err(|error| run.refusal(error))
    }

    /// Customers, oldest first; for staff only
    async fn customers(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
        filter: Option<CustomersWanted>,
    ) -> Result<Option<NodeConnection<CustomerNode>>> {
        let run = run::of(ctx);
        customers(run, first, after, filter).await.map(Some).map_err(|error| run.refusal(error))
    }
}

/// The caller: a person, or a service account by one of its keys
#[derive(SimpleObject)]
#[graphql(name = "Me", complex)]
struct MeNode {
    id: ID,
    name: String,
    /// Null for a key
    role: Option<RoleName>,
    /// Null for a person
    scopes: Option<Vec<String>>,
}

#[ComplexObject]
impl MeNode {
    /// Null for a key
    async fn email(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let run = run::of(ctx);
        email(run).await.map_err(|error| run.refusal(error))
    }
}

fn me(caller: &Principal) -> MeNode {
    let (id, name) = caller.by().map_or_else(Default::default, |by| (by.id, by.name));
    let role = match &caller.actor {
        Actor::Person(person) => Some(person.role.into()),
        Actor::Service(_) | Actor::OnBehalf(_) | Actor::System => None,
    };
    let scopes = caller.service_account().map(|key| key.scopes.names().into_iter().map(str::to_owned).collect());
    MeNode { id: id.into(), name, role, scopes }
}

async fn email(run: &QueryRun) -> Found<Option<String>> {
    let Actor::Person(person) = &run.caller.actor else { return Ok(None) };
    let user = users::get_user(&mut *run.conn().await?, person.user_id).await?;
    Ok(Some(user.email.as_str().to_owned()))
}

async fn order(run: &QueryRun, id: Option<ID>, number: Option<String>) -> Found<OrderNode> {
    let not_found = || Error::NotFound(Resource::Order);
    let mut conn = run.conn().await?;
    let id = match (id, number) {
        (Some(id), None) => parse(&id).ok_or_else(not_found)?,
        (None, Some(number)) => {
            let number: OrderNumber = number.parse().map_err(|_| not_found())?;
            read::id_of_number(&mut conn, &run.caller, number).await?
        }
        _ => return Err(one_of("id", "number")),
    };
    let order = read::get(&mut conn, &run.caller, id).await?;
    run.show(&order);
    Ok(OrderNode::from(&order))
}

async fn product(run: &QueryRun, id: Option<ID>, sku: Option<String>) -> Found<ProductNode> {
    let not_found = || Error::NotFound(Resource::Product);
    let mut conn = run.conn().await?;
    let id = match (id, sku) {
        (Some(id), None) => parse(&id).ok_or_else(not_found)?,
        (None, Some(sku)) => {
            let sku: Sku = sku.parse().map_err(|_| not_found())?;
            products::id_of_sku(&mut conn, &sku).await?
        }
        _ => return Err(one_of("id", "sku")),
    };
    let product = products::get(&mut conn, id).await?;
    if is_visible(&product, &run.caller) { Ok(ProductNode::from(&product)) } else { Err(not_found()) }
}

async fn customer(run: &QueryRun, id: ID) -> Found<CustomerNode> {
    let id = parse(&id).ok_or(Error::NotFound(Resource::Customer))?;
    Ok(CustomerNode::from(&customers::get(&mut *run.conn().await?, id).await?))
}

/// What is not an id is the id of nothing.
fn parse<T: From<Uuid>>(id: &ID) -> Option<T> {
    Uuid::try_parse(id).ok().map(T::from)
}

/// Such a query is refused before it runs; this is the second lock.
fn one_of(one: &str, other: &str) -> Error {
    Error::invalid("invalid_query", format!("give either `{one}` or `{other}`"))
}

async fn orders(
    run: &QueryRun,
    asked: Option<i32>,
    after: Option<String>,
    wanted: Option<OrdersWanted>,
) -> Found<NodeConnection<OrderNode>> {
    let page = page("orders", asked, after.as_deref(), wanted.as_ref())?;
    let filter: OrderFilter = filter(wanted.as_ref())?;
    let list = read::list(&mut *run.conn().await?, &run.caller, filter, page).await?;
    list.data.iter().for_each(|order| run.show(order));
    Ok(NodeConnection::of(&page, &list, |order| (Position::from(order.id.0), OrderNode::from(order))))
}

async fn products(
    run: &QueryRun,
    asked: Option<i32>,
    after: Option<String>,
    wanted: Option<ProductsWanted>,
) -> Found<NodeConnection<ProductNode>> {
    let page = page("products", asked, after.as_deref(), wanted.as_ref())?;
    let filter: ProductFilter = filter(wanted.as_ref())?;
    let list = products::list(&mut *run.conn().await?, Some(&run.caller), &filter, &page).await?;
    Ok(NodeConnection::of(&page, &list, |product| (filter.position(product), ProductNode::from(product))))
}

async fn inventory(
    run: &QueryRun,
    asked: Option<i32>,
    after: Option<String>,
    wanted: Option<StockWanted>,
) -> Found<NodeConnection<StockNode>> {
    let page = page("inventory", asked, after.as_deref(), wanted.as_ref())?;
    let filter: StockFilter = filter(wanted.as_ref())?;
    let list = stock::list(&mut *run.conn().await?, &filter, &page).await?;
    Ok(NodeConnection::of(&page, &list, |row| (Position::from(row.id.0), StockNode::from(row))))
}

async fn customers(
    run: &QueryRun,
    asked: Option<i32>,
    after: Option<String>,
    wanted: Option<CustomersWanted>,
) -> Found<NodeConnection<CustomerNode>> {
    let page = page("customers", asked, after.as_deref(), wanted.as_ref())?;
    let filter: CustomerFilter = filter(wanted.as_ref())?;
    let list = customers::list(&mut *run.conn().await?, &filter, &page).await?;
    Ok(NodeConnection::of(&page, &list, |customer| (Position::from(customer.id.0), CustomerNode::from(customer))))
}

/// A cursor is valid only for the list and the filter that it came from.
fn page<W: std::fmt::Debug>(list: &str, asked: Option<i32>, after: Option<&str>, wanted: Option<&W>) -> Found<Page> {
    Page::parse(Some(first(asked)?), after, &format!("graphql {list} {wanted:?}"))
}
