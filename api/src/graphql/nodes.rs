//! The objects of the GraphQL schema with their own fields. What leads from one object to another is in `edges`.

use async_graphql::{ID, Json, SimpleObject};
use serde_json::Value;
use shared::catalog::products::ProductView;
use shared::customers::CustomerView;
use shared::inventory::StockView;
use shared::orders::read::OrderEvent;
use shared::orders::{NextAction, OrderItem, OrderPayment, OrderShipment, OrderView};
use shared::values::{Address, CustomerId, OrderId, ProductId, WarehouseId};

use crate::graphql::scalars::{
    Int64, MoneyNode, OrderStatusName, PaymentStatusName, ShipmentStatusName, Time, WhoName,
};

#[derive(SimpleObject)]
#[graphql(name = "Order", complex)]
pub(super) struct OrderNode {
    id: ID,
    /// Short enough to read out
    number: String,
    status: OrderStatusName,
    customer_id: ID,
    /// Empty if only the archive has them
    items: Vec<OrderItemNode>,
    /// The part of the archive that has the items and the timeline; null while the database has them
    archive: Option<String>,
    total: MoneyNode,
    shipping_address: Json<Address>,
    /// The charge; null while there is none
    payment: Option<PaymentNode>,
    shipments: Vec<ShipmentNode>,
    cancel_reason: Option<String>,
    /// What happens next, by whom and when; null for an order in a final state
    next_action: Option<NextActionNode>,
    version: i32,
    created_at: Time,
    updated_at: Time,
    #[graphql(skip)]
    pub order: OrderId,
    #[graphql(skip)]
    pub of_customer: CustomerId,
    /// The customer, if it was read together with the order.
    #[graphql(skip)]
    pub known_customer: Option<CustomerNode>,
}

impl From<&OrderView> for OrderNode {
    fn from(order: &OrderView) -> Self {
        Self {
            id: order.id.into(),
            number: order.number.clone(),
            status: order.status.into(),
            customer_id: order.customer_id.into(),
            items: order.items.iter().map(OrderItemNode::from).collect(),
            archive: order.archive.clone(),
            total: order.total.into(),
            shipping_address: Json(order.shipping_address.clone()),
            payment: order.payment.as_ref().map(PaymentNode::from),
            shipments: order.shipments.iter().map(ShipmentNode::from).collect(),
            cancel_reason: order.cancel_reason.clone(),
            next_action: order.next_action.as_ref().map(NextActionNode::from),
            version: order.version,
            created_at: Time(order.created_at),
            updated_at: Time(order.updated_at),
            order: order.id,
            of_customer: order.customer_id,
            known_customer: order.customer.as_ref().map(|customer| CustomerNode {
                id: customer.id.into(),
                name: customer.name.clone(),
                email: customer.email.clone(),
                customer: customer.id,
            }),
        }
    }
}

/// A line, with name and price as they were when the order was placed
#[derive(SimpleObject)]
#[graphql(name = "OrderItem", complex)]
pub(super) struct OrderItemNode {
    product_id: ID,
    sku: String,
    name: String,
    quantity: i32,
    unit_price: MoneyNode,
    total: MoneyNode,
    #[graphql(skip)]
    pub of_product: ProductId,
}

impl From<&OrderItem> for OrderItemNode {
    fn from(item: &OrderItem) -> Self {
        Self {
            product_id: item.product_id.into(),
            sku: item.sku.as_str().to_owned(),
            name: item.name.clone(),
            quantity: item.quantity,
            unit_price: item.unit_price.into(),
            total: item.total.into(),
            of_product: item.product_id,
        }
    }
}

#[derive(SimpleObject)]
#[graphql(name = "Payment")]
pub(super) struct PaymentNode {
    status: PaymentStatusName,
    amount: MoneyNode,
    /// Recorded by staff, for money that came another way
    manual: bool,
    /// When it came into this status
    at: Time,
}

impl From<&OrderPayment> for PaymentNode {
    fn from(payment: &OrderPayment) -> Self {
        Self {
            status: payment.status.into(),
            amount: payment.amount.into(),
            manual: payment.manual,
            at: Time(payment.at),
        }
    }
}

#[derive(SimpleObject)]
#[graphql(name = "Shipment")]
pub(super) struct ShipmentNode {
    id: ID,
    /// For staff only
    warehouse_id: Option<ID>,
    status: ShipmentStatusName,
    /// Null until the carrier has accepted it, and for what staff shipped by hand
    tracking_number: Option<String>,
    shipped_at: Option<Time>,
    delivered_at: Option<Time>,
}

impl From<&OrderShipment> for ShipmentNode {
    fn from(shipment: &OrderShipment) -> Self {
        Self {
            id: shipment.id.into(),
            warehouse_id: shipment.warehouse_id.map(|WarehouseId(id)| id.into()),
            status: shipment.status.into(),
            tracking_number: shipment.tracking_number.clone(),
            shipped_at: shipment.shipped_at.map(Time),
            delivered_at: shipment.delivered_at.map(Time),
        }
    }
}

/// What an order waits for
#[derive(SimpleObject)]
#[graphql(name = "NextAction")]
pub(super) struct NextActionNode {
    what: String,
    by: WhoName,
    due_at: Time,
    /// No worker has come to it within a minute. The order keeps its stock meanwhile
    delayed: bool,
}

impl From<&NextAction> for NextActionNode {
    fn from(next: &NextAction) -> Self {
        Self { what: next.what.clone(), by: next.by.into(), due_at: Time(next.due_at), delayed: next.delayed }
    }
}

/// Something that happened to an order
#[derive(SimpleObject)]
#[graphql(name = "OrderEvent")]
pub(super) struct EventNode {
    /// Counts from 1 for each order, without gaps
    sequence: i32,
    r#type: String,
    at: Time,
    /// Depends on the type
    data: Json<Value>,
}

impl From<&OrderEvent> for EventNode {
    fn from(event: &OrderEvent) -> Self {
        Self {
            sequence: event.sequence,
            r#type: event.r#type.clone(),
            at: Time(event.at),
            data: Json(event.data.clone()),
        }
    }
}

#[derive(SimpleObject)]
#[graphql(name = "Product", complex)]
pub(super) struct ProductNode {
    id: ID,
    sku: String,
    name: String,
    description: String,
    price: MoneyNode,
    category_id: Option<ID>,
    /// Only active products are listed and can be ordered
    active: bool,
    /// Units that can be bought now, in all active warehouses
    available: Int64,
    #[graphql(skip)]
    pub product: ProductId,
}

impl From<&ProductView> for ProductNode {
    fn from(product: &ProductView) -> Self {
        Self {
            id: product.id.into(),
            sku: product.sku.as_str().to_owned(),
            name: product.name.as_str().to_owned(),
            description: product.description.as_str().to_owned(),
            price: product.price.into(),
            category_id: product.category_id.map(ID::from),
            active: product.active,
            available: Int64(product.available),
            product: product.id,
        }
    }
}

/// What lies of a product in one warehouse
#[derive(SimpleObject)]
#[graphql(name = "Stock", complex)]
pub(super) struct StockNode {
    id: ID,
    product_id: ID,
    sku: String,
    warehouse_id: ID,
    on_hand: i32,
    /// Reserved for orders and by hand
    reserved: i32,
    /// `onHand - reserved`
    available: i32,
    /// The stock is low when this many or fewer are available
    reorder_level: i32,
    reorder_quantity: i32,
    #[graphql(skip)]
    pub of_product: ProductId,
}

impl From<&StockView> for StockNode {
    fn from(row: &StockView) -> Self {
        Self {
            id: row.id.into(),
            product_id: row.product_id.into(),
            sku: row.sku.clone(),
            warehouse_id: row.warehouse_id.into(),
            on_hand: row.on_hand,
            reserved: row.reserved,
            available: row.available,
            reorder_level: row.reorder_level,
            reorder_quantity: row.reorder_quantity,
            of_product: row.product_id,
        }
    }
}

#[derive(Clone, SimpleObject)]
#[graphql(name = "Customer", complex)]
pub(super) struct CustomerNode {
    id: ID,
    name: String,
    email: String,
    #[graphql(skip)]
    pub customer: CustomerId,
}

impl From<&CustomerView> for CustomerNode {
    fn from(customer: &CustomerView) -> Self {
        Self {
            id: customer.id.into(),
            name: customer.name.as_str().to_owned(),
            email: customer.email.as_str().to_owned(),
            customer: customer.id,
        }
    }
}
