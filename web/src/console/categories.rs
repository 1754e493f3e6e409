//! The tree of categories.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use shared::catalog::categories::{self, CategoryView, ChangeCategory, NewCategory};
use shared::error::{Error, Resource, Result};
use shared::page::{MAX_LIMIT, Page};
use shared::principal::Permission;
use shared::values::CategoryId;
use sqlx::PgConnection;

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::field::{self, Field};
use crate::ui::{self, notice};
use crate::visit::Visit;

const HERE: &str = "/console/categories";

pub fn routes() -> PageRoutes {
    let change = changes(Permission::CatalogWrite).changes_products();
    PageRoutes::default()
        .page(HERE, list, reads(Permission::CatalogWrite))
        .form(HERE, create, change)
        .page("/console/categories/{id}", show, reads(Permission::CatalogWrite))
        .form("/console/categories/{id}", save, change)
        .form("/console/categories/{id}/delete", delete, change)
}

/// All categories, by name.
pub(super) async fn all(conn: &mut PgConnection) -> Result<Vec<CategoryView>> {
    let mut tree = categories::list(conn, &Page::parse(Some(MAX_LIMIT), None, "")?).await?.data;
    tree.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    Ok(tree)
}

async fn list(State(web): State<WebState>, visit: Visit) -> PageResult {
    Ok(list_page(&web, &visit, &Fields::default(), None).await?)
}

async fn list_page(web: &WebState, visit: &Visit, sent: &Fields, problem: Option<&str>) -> Result<Markup> {
    let tree = all(&mut *web.db.acquire().await?).await?;
    let content = html! {
        (ui::head("Categories", action::ask("New category", Emphasis::Primary, action::form(HERE, "Add it", Emphasis::Primary, html! {
            (Field::text("name", "Name").sent(sent).show())
            (field::select("parent_id", "Below", &parents(&tree, None), sent.text("parent_id")))
        }))))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        @if tree.is_empty() { (ui::empty("No category yet", html! { p { "The shop shows its products by category." } })) }
        @else { div.tree { (branch(&tree, None)) } }
    };
    shell::still_page(web, visit, "Categories", content).await
}

/// The categories directly below one, each with those below it. The database refuses circles.
fn branch(tree: &[CategoryView], parent: Option<CategoryId>) -> Markup {
    html! {
        ul { @for category in tree.iter().filter(|category| category.parent_id == parent) { li {
            a href={ (HERE) "/" (category.id) } { (category.name.as_str()) }
            @if tree.iter().any(|other| other.parent_id == Some(category.id)) { (branch(tree, Some(category.id))) }
        } } }
    }
}

/// The categories that may be above this one: not itself.
fn parents(tree: &[CategoryView], of: Option<CategoryId>) -> Vec<(String, String)> {
    let others = tree.iter().filter(|category| Some(category.id) != of);
    let choices = others.map(|category| (category.id.to_string(), category.name.as_str().to_owned()));
    std::iter::once((String::new(), "Nothing: it is at the top".to_owned())).chain(choices).collect()
}

async fn create(State(web): State<WebState>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let new = NewCategory { name: once.fields.value("name")?, parent_id: once.fields.optional("parent_id")? };
        categories::create(&mut once.tx, once.visit.principal()?, &new).await
    };
    match done.await {
        Ok(_) => once.leave(&and_say(HERE, "changed")).await,
        Err(error) => {
            let page = list_page(&web, &once.visit, &once.fields, Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

async fn show(State(web): State<WebState>, visit: Visit, InPath(id): InPath<CategoryId>) -> PageResult {
    Ok(page(&web, &visit, id, None).await?)
}

async fn page(web: &WebState, visit: &Visit, id: CategoryId, problem: Option<&str>) -> Result<Markup> {
    let tree = all(&mut *web.db.acquire().await?).await?;
    let category = tree.iter().find(|category| category.id == id).ok_or(Error::NotFound(Resource::Category))?;
    let (version, above) =
        (category.version.to_string(), category.parent_id.map(|id| id.to_string()).unwrap_or_default());
    let content = html! {
        (ui::head(category.name.as_str(), html! {
            (action::link(&format!("/console/products?category_id={id}"), "Its products", Emphasis::Plain))
            (action::ask("Delete", Emphasis::Danger, html! {
                p { "Only a category without products and without categories below it can be deleted." }
                (action::button_with(&format!("{HERE}/{id}/delete"), "Delete it", Emphasis::Danger, &[("version", &version)]))
            }))
        }))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        form.stack method="post" action={ (HERE) "/" (id) } data-warn {
            (action::key())
            (action::hidden(&[("version", &version)]))
            (Field::text("name", "Name").value(category.name.as_str()).show())
            (field::select("parent_id", "Below", &parents(&tree, Some(id)), &above))
            button.button.primary { "Save" }
        }
    };
    shell::still_page(web, visit, category.name.as_str(), content).await
}

async fn save(State(web): State<WebState>, InPath(id): InPath<CategoryId>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let change = ChangeCategory {
            name: Some(once.fields.value("name")?),
            parent_id: Some(once.fields.optional("parent_id")?),
        };
        let seen = once.fields.optional("version")?;
        categories::change(&mut once.tx, once.visit.principal()?, id, seen, &change).await
    };
    match done.await {
        Ok(_) => once.leave(&and_say(&format!("{HERE}/{id}"), "changed")).await,
        Err(error) => again(&web, &once.visit, id, error).await,
    }
}

async fn delete(
    State(web): State<WebState>,
    InPath(id): InPath<CategoryId>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let seen = once.fields.optional("version")?;
        categories::delete(&mut once.tx, once.visit.principal()?, id, seen).await
    };
    match done.await {
        Ok(()) => once.leave(&and_say(HERE, "deleted")).await,
        // The database refuses the whole transaction, so the page reads on another connection.
        Err(error) => again(&web, &once.visit, id, error).await,
    }
}

async fn again(web: &WebState, visit: &Visit, id: CategoryId, error: Error) -> PageResult<Response> {
    let page = page(web, visit, id, Some(&words(&error))).await?;
    Ok(refused_in_place(error, page))
}
