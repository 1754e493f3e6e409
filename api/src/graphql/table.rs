//! The fields of the schema with what each of them holds, read once from the schema's text.

use std::collections::HashMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, FieldDefinition, Type, TypeKind, TypeSystemDefinition};

/// All object types.
#[derive(Debug)]
pub(super) struct Table(HashMap<String, HashMap<String, TableField>>);

#[derive(Debug)]
pub(super) struct TableField {
    pub ty: Type,
    pub holds: Holds,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// A scalar or an enum.
    Scalar,
    /// A list of them.
    Scalars,
    /// An object, or a plain list of objects.
    Object {
        of: String,
    },
    Connection {
        of: String,
        default_first: i64,
    },
    /// `edges` and `pageInfo` cost nothing: their connection has counted them.
    Part {
        of: String,
    },
}

impl Table {
    /// Panics if the text is not a schema, which is ours.
    pub(super) fn of_schema(text: &str) -> Self {
        let document = parse_schema(text).expect("we have printed this schema ourselves");
        let objects: HashMap<String, Vec<FieldDefinition>> = document
            .definitions
            .into_iter()
            .filter_map(|definition| match definition {
                TypeSystemDefinition::Type(definition) => Some(definition.node),
                TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
            })
            .filter_map(|definition| match definition.kind {
                TypeKind::Object(object) => {
                    let fields = object.fields.into_iter().map(|field| field.node).collect();
                    Some((definition.name.node.to_string(), fields))
                }
                _ => None,
            })
            .collect();
        let holds = |field: &FieldDefinition| {
            let (of, is_list) = named(&field.ty.node);
            match (objects.contains_key(of), is_list) {
                (false, false) => Holds::Scalar,
                (false, true) => Holds::Scalars,
                (true, false) if of.ends_with("Connection") => {
                    Holds::Connection { of: of.to_owned(), default_first: default_first(field) }
                }
                (true, _) if of.ends_with("Edge") || of == "PageInfo" => Holds::Part { of: of.to_owned() },
                (true, _) => Holds::Object { of: of.to_owned() },
            }
        };
        let fields = |fields: &Vec<FieldDefinition>| {
            let entry = |field: &FieldDefinition| TableField { ty: field.ty.node.clone(), holds: holds(field) };
            fields.iter().map(|field| (field.name.node.to_string(), entry(field))).collect()
        };
        Self(objects.iter().map(|(name, of_type)| (name.clone(), fields(of_type))).collect())
    }

    pub(super) fn has(&self, object: &str) -> bool {
        self.0.contains_key(object)
    }

    pub(super) fn field(&self, object: &str, field: &str) -> Option<&TableField> {
        self.0.get(object)?.get(field)
    }

    /// Every field: the name of its object, and its own.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(object, fields)| fields.keys().map(|field| (object.as_str(), field.as_str())))
    }
}

fn default_first(field: &FieldDefinition) -> i64 {
    let first = field.arguments.iter().find(|argument| argument.node.name.node == "first");
    let default = first.and_then(|first| first.node.default_value.as_ref());
    match default.map(|default| &default.node) {
        Some(async_graphql::Value::Number(number)) => number.as_i64().expect("it is a whole number"),
        _ => panic!("the connection `{}` has no default for `first`", field.name.node),
    }
}

fn named(of: &Type) -> (&str, bool) {
    match &of.base {
        BaseType::Named(name) => (name.as_str(), false),
        BaseType::List(inner) => (named(inner).0, true),
    }
}
