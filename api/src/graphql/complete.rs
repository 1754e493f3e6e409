//! Puts an answer into the form that the specification demands: fields in the order of the query, null for a field that
//! failed, and null for the object around it if the field must not be null. The library leaves such fields out.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    BaseType, Directive, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet, Type,
};
use async_graphql::{Name, Positioned, Value, Variables};

use crate::graphql::table::Table;

/// The query of an answer.
pub(super) struct Answering<'a> {
    pub table: &'a Table,
    pub document: &'a ExecutableDocument,
    pub operation: &'a OperationDefinition,
    pub variables: &'a Variables,
}

/// The fields of an answer's name: the same field can be asked for several times, each with a selection of its own.
type Asked<'a> = IndexMap<&'a Name, Vec<&'a Field>>;

impl<'a> Answering<'a> {
    pub(super) fn complete(&self, data: Value) -> Value {
        let found = match data {
            Value::Object(found) => found,
            _ => IndexMap::new(),
        };
        let mut asked = Asked::new();
        self.collect(&self.operation.selection_set.node, &mut asked);
        self.object(&asked, "Query", found).map_or(Value::Null, Value::Object)
    }

    /// None: a field is null that must not be.
    fn object(
        &self,
        asked: &Asked<'a>,
        object: &str,
        mut found: IndexMap<Name, Value>,
    ) -> Option<IndexMap<Name, Value>> {
        let mut complete = IndexMap::with_capacity(asked.len());
        for (key, fields) in asked {
            let value = found.swap_remove(*key);
            let name = fields[0].name.node.as_str();
            let value = match self.table.field(object, name) {
                Some(field) => self.value(fields, &field.ty, value)?,
                // What the query asks about the schema.
                None => value.unwrap_or_default(),
            };
            complete.insert((*key).clone(), value);
        }
        Some(complete)
    }

    /// None: it is null and must not be.
    fn value(&self, fields: &[&'a Field], ty: &Type, value: Option<Value>) -> Option<Value> {
        let value = match (&ty.base, value.unwrap_or_default()) {
            (BaseType::List(of), Value::List(values)) => {
                let values: Option<_> = values.into_iter().map(|value| self.value(fields, of, Some(value))).collect();
                values.map(Value::List)
            }
            (BaseType::Named(object), value) if self.table.has(object) => {
                let mut asked = Asked::new();
                for field in fields {
                    self.collect(&field.selection_set.node, &mut asked);
                }
                match value {
                    Value::Object(found) => self.object(&asked, object, found).map(Value::Object),
                    // The library makes null of an object whose fields are all skipped.
                    _ if asked.is_empty() && !ty.nullable => Some(Value::Object(IndexMap::new())),
                    _ => None,
                }
            }
            (_, Value::Null) => None,
            (_, value) => Some(value),
        };
        value.or_else(|| ty.nullable.then_some(Value::Null))
    }

    /// Validation has seen to it that every fragment exists and fits.
    fn collect(&self, set: &'a SelectionSet, asked: &mut Asked<'a>) {
        for selection in &set.items {
            if self.is_skipped(selection.node.directives()) {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => asked.entry(&field.node.response_key().node).or_default().push(&field.node),
                Selection::InlineFragment(inline) => self.collect(&inline.node.selection_set.node, asked),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        self.collect(&fragment.node.selection_set.node, asked);
                    }
                }
            }
        }
    }

    fn is_skipped(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().any(|directive| {
            let condition = directive.node.get_argument("if").and_then(|value| {
                let value = value.node.clone().into_const_with(|name| self.variable(&name).ok_or(()));
                value.ok().filter(|value| matches!(value, Value::Boolean(_)))
            });
            match directive.node.name.node.as_str() {
                "skip" => condition == Some(Value::Boolean(true)),
                "include" => condition == Some(Value::Boolean(false)),
                _ => false,
            }
        })
    }

    fn variable(&self, name: &Name) -> Option<Value> {
        let definition = self.operation.variable_definitions.iter().find(|it| it.node.name.node == *name)?;
        let default = definition.node.default_value.as_ref().map(|default| &default.node);
        self.variables.get(name).or(default).cloned()
    }
}
