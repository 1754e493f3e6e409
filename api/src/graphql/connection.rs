//! Pages in the form of Relay's connections.

use std::borrow::Cow;

use async_graphql::{OutputType, SimpleObject, TypeName};
use shared::error::{Error, Result};
use shared::page::{List, Page, Position};

/// How many a connection holds if the query does not say.
pub(super) const DEFAULT_FIRST: i64 = 20;
pub(super) const MAX_FIRST: i64 = 100;

#[derive(SimpleObject)]
#[graphql(name_type)]
pub(super) struct NodeConnection<N: OutputType> {
    edges: Vec<NodeEdge<N>>,
    page_info: PageInfo,
}

#[derive(SimpleObject)]
#[graphql(name_type)]
pub(super) struct NodeEdge<N: OutputType> {
    /// Send it as `after`, with the same filter, to get what comes after this
    cursor: String,
    node: N,
}

impl<N: OutputType> TypeName for NodeConnection<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

impl<N: OutputType> TypeName for NodeEdge<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", N::type_name()).into()
    }
}

#[derive(SimpleObject)]
pub(super) struct PageInfo {
    has_next_page: bool,
    /// The cursor of the last edge; null if there is none
    end_cursor: Option<String>,
}

/// `first` of a connection. What is out of range was refused before the query ran.
pub(super) fn first(asked: Option<i32>) -> Result<i64> {
    let first = asked.map_or(DEFAULT_FIRST, i64::from);
    if (1..=MAX_FIRST).contains(&first) {
        Ok(first)
    } else {
        Err(Error::field("first", "invalid_limit", format!("it must be from 1 to {MAX_FIRST}")))
    }
}

impl<N: OutputType> NodeConnection<N> {
    pub(super) fn empty() -> Self {
        Self { edges: Vec::new(), page_info: PageInfo { has_next_page: false, end_cursor: None } }
    }

    /// `each` makes a node, and says its place in the list.
    pub(super) fn of<T>(page: &Page, list: &List<T>, each: impl Fn(&T) -> (Position, N)) -> Self {
        let edge = |row| {
            let (position, node) = each(row);
            NodeEdge { cursor: page.cursor(position), node }
        };
        let edges: Vec<NodeEdge<N>> = list.data.iter().map(edge).collect();
        let end_cursor = edges.last().map(|edge| edge.cursor.clone());
        Self { edges, page_info: PageInfo { has_next_page: list.next_cursor.is_some(), end_cursor } }
    }
}
