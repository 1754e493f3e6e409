//! Stands before each query and each field: takes the cost of a valid query from the caller's bucket, asks the rule of each
//! field, turns errors into nulls, and bounds the size of the answer.

use std::sync::Arc;

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextResolve, NextValidation, ResolveInfo,
};
use async_graphql::{
    PathSegment, QueryPathNode, QueryPathSegment, ServerError, ServerResult, ValidationResult, Value, async_trait,
};
use shared::error::Error;

use crate::graphql::rules;
use crate::graphql::scope::{Scope, too_large};

pub(super) struct Gate;

impl ExtensionFactory for Gate {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for Gate {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let valid = next.run(ctx).await?;
        if ctx.data_unchecked::<Arc<Scope>>().admit().await {
            Ok(valid)
        } else {
            Err(vec![ServerError::new("rate_limited", None)])
        }
    }

    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        if info.is_for_introspection || info.parent_type.starts_with("__") {
            return next.run(ctx, info).await;
        }
        let scope = ctx.data_unchecked::<Arc<Scope>>();
        let place = Place::of(&info);
        if scope.is_too_large() {
            return Err(place.error(scope, too_large()));
        }
        if !place.is_item
            && let Err(refused) = rules::check(&scope.caller, info.parent_type, info.name)
        {
            return place.null(scope, place.error(scope, refused));
        }
        match next.run(ctx, info).await {
            Ok(value) => match scope.count(value.as_ref().unwrap_or(&Value::Null), place.is_json) {
                Ok(()) => Ok(value),
                Err(refused) => Err(place.error(scope, refused)),
            },
            Err(error) => place.null(scope, error),
        }
    }
}

/// Where a value stands in the answer.
#[derive(Clone, Copy)]
struct Place<'a> {
    node: &'a QueryPathNode<'a>,
    is_nullable: bool,
    is_json: bool,
    /// Is it an item of a list, and not a field?
    is_item: bool,
}

impl<'a> Place<'a> {
    fn of(info: &ResolveInfo<'a>) -> Self {
        Self {
            node: info.path_node,
            is_nullable: !info.return_type.ends_with('!'),
            is_json: info.return_type.starts_with("JSON"),
            is_item: matches!(info.path_node.segment, QueryPathSegment::Index(_)),
        }
    }

    fn error(self, scope: &Scope, error: Error) -> ServerError {
        let mut error = scope.refusal(error).into_server_error(async_graphql::Pos::default());
        error.locations.clear();
        error.path = self.path();
        error
    }

    /// A field that may be null is null because of the error. Another one makes the object around it null.
    fn null(self, scope: &Scope, error: ServerError) -> ServerResult<Option<Value>> {
        if self.is_nullable && !self.is_item {
            scope.note(error);
            Ok(Some(Value::Null))
        } else {
            Err(error)
        }
    }

    fn path(self) -> Vec<PathSegment> {
        let mut path: Vec<PathSegment> = std::iter::once(self.node)
            .chain(self.node.parents())
            .map(|node| match node.segment {
                QueryPathSegment::Index(index) => PathSegment::Index(index),
                QueryPathSegment::Name(name) => PathSegment::Field(name.to_owned()),
            })
            .collect();
        path.reverse();
        path
    }
}
