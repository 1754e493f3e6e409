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
use crate::graphql::run::{QueryRun, too_large};

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
        if ctx.data_unchecked::<Arc<QueryRun>>().admit().await {
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
        if info.is_for_introspection || info.name.starts_with("__") {
            return next.run(ctx, info).await;
        }
        let run = ctx.data_unchecked::<Arc<QueryRun>>();
        let place = Place::of(&info);
        if run.is_too_large() {
            return Err(place.error(run, too_large()));
        }
        if !place.is_item
            && let Err(refused) = rules::check(&run.caller, info.parent_type, info.name)
        {
            return place.null(run, place.error(run, refused));
        }
        match next.run(ctx, info).await {
            Ok(value) => match run.count(value.as_ref().unwrap_or(&Value::Null), place.is_json) {
                Ok(()) => Ok(value),
                Err(refused) => Err(place.error(run, refused)),
            },
            Err(error) => place.null(run, error),
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

    fn error(self, run: &QueryRun, error: Error) -> ServerError {
        let mut error = run.refusal(error).into_server_error(async_graphql::Pos::default());
        error.locations.clear();
        error.path = self.path();
        error
    }

    /// A field that may be null is null because of the error. Another one makes the object around it null.
    fn null(self, run: &QueryRun, error: ServerError) -> ServerResult<Option<Value>> {
        if self.is_nullable && !self.is_item {
            run.note(error);
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
