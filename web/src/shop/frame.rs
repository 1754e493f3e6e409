//! What the head and foot of every shop page show: categories, cart, who is signed in, what the last press did.

use std::collections::BTreeMap;

use shared::catalog::products::ProductView;
use shared::error::Result;
use shared::principal::Role;
use shared::values::CategoryId;

use super::basket::Basket;
use crate::page::shop::{ShopCategory, ShopFrame};
use crate::ui::words;
use crate::visit::Visit;

pub async fn frame(visit: &Visit) -> Result<ShopFrame> {
    let categories = visit.state.categories().await?;
    let person = visit.person().ok();
    Ok(ShopFrame {
        reader: visit.reader,
        user: person.map(|person| person.name.as_str().to_owned()),
        staff: visit.state.console && person.is_some_and(|person| person.role >= Role::Staff),
        in_cart: Basket::of(visit).units(),
        categories: categories
            .iter()
            .map(|category| ShopCategory {
                name: category.name.as_str().to_owned(),
                href: format!("/c/{}", words::segment(category.name.as_str())),
                products: category.products,
            })
            .collect(),
        here: None,
        search: String::new(),
        flash: visit.done().map(|done| done.flash()),
    })
}

/// Names of the categories that have products.
pub async fn category_names(visit: &Visit) -> Result<BTreeMap<CategoryId, String>> {
    let categories = visit.state.categories().await?;
    Ok(categories.iter().map(|category| (category.id, category.name.as_str().to_owned())).collect())
}

/// Each product with the name of its category, which its picture is drawn from.
pub async fn with_categories(visit: &Visit, products: Vec<ProductView>) -> Result<Vec<(ProductView, String)>> {
    let names = category_names(visit).await?;
    let name_of =
        |product: &ProductView| product.category_id.and_then(|id| names.get(&id)).cloned().unwrap_or_default();
    Ok(products
        .into_iter()
        .map(|product| {
            let name = name_of(&product);
            (product, name)
        })
        .collect())
}
