//! Measures a query before anything of it runs: its cost, its depth, and how much it writes out. Each fragment is measured
//! once, however often it is used, so that measuring a hostile query costs no more than reading it.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, FragmentDefinition, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Positioned, Value, Variables};

use crate::graphql::connection::MAX_FIRST;
use crate::graphql::table::{Holds, Table};

const DEEPEST: u32 = 10;
/// Fields and fragments inside each other. Only fragments can make this larger than the depth.
const DEEPEST_NESTING: u32 = 40;
const MOST_DIRECTIVES: usize = 5;
const MOST_ROOT_FIELDS: u64 = 30;
/// Fields with all fragments written out. A body of 16 KiB has fewer unless its fragments use each other many times.
const MOST_FIELDS: u64 = 10_000;
/// Lists of fields inside each other in a question about the schema: each multiplies the answer by some dozen.
const MOST_LISTS_OF_FIELDS: u32 = 2;
const LISTS_OF_FIELDS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];
/// Root fields that take exactly one of their arguments.
const ONE_OF: [&str; 2] = ["order", "product"];

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Invalid(String),
    TooDeep,
}

type Measure<T> = Result<T, Refusal>;

fn invalid<T>(message: impl Into<String>) -> Measure<T> {
    Err(Refusal::Invalid(message.into()))
}

/// The selection set of an object, measured.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    cost: u64,
    depth: u32,
    /// The fields of the set itself.
    own: u64,
    /// All fields.
    fields: u64,
    /// Lists of fields inside each other, in questions about the schema.
    lists: u32,
}

impl Size {
    fn and(self, other: Self) -> Self {
        Self {
            cost: self.cost.saturating_add(other.cost),
            depth: self.depth.max(other.depth),
            own: self.own.saturating_add(other.own),
            fields: self.fields.saturating_add(other.fields),
            lists: self.lists.max(other.lists),
        }
    }
}

/// What a query asks for.
pub(super) struct AskedQuery<'a> {
    pub document: &'a ExecutableDocument,
    pub operation_name: Option<&'a str>,
    pub variables: &'a Variables,
    /// May the caller ask about the schema?
    pub may_introspect: bool,
}

/// The cost of the query, or why it is refused. Fields and arguments that do not exist are left to validation.
pub(super) fn cost(table: &Table, asked: &AskedQuery<'_>, selected: &Positioned<OperationDefinition>) -> Measure<u64> {
    require_variables(&selected.node, asked.variables)?;
    let mut cost = 0;
    let mut fields = 0_u64;
    let mut measurer = Measurer::new(table, asked, selected);
    for (_, operation) in asked.document.operations.iter() {
        if operation.node.ty != OperationType::Query {
            return invalid("only queries are answered here; to change something use REST, see /docs");
        }
        measurer.count_directives(&operation.node.directives)?;
        for variable in &operation.node.variable_definitions {
            measurer.count_directives(&variable.node.directives)?;
        }
        let size = measurer.set(&operation.node.selection_set.node, Parent::Object("Query"), 0)?;
        if size.depth > DEEPEST {
            return Err(Refusal::TooDeep);
        }
        if size.own > MOST_ROOT_FIELDS {
            return invalid(format!("a query has at most {MOST_ROOT_FIELDS} fields at its root"));
        }
        if size.lists > MOST_LISTS_OF_FIELDS {
            return invalid("lists of fields of the schema are nested too deeply");
        }
        fields = fields.saturating_add(size.fields);
        if std::ptr::eq(operation, selected) {
            cost = size.cost;
        }
    }
    // Also those that no operation uses: validation walks through them.
    for name in asked.document.fragments.keys() {
        measurer.fragment(name.as_str(), 0)?;
    }
    if fields > MOST_FIELDS {
        return invalid(format!("with its fragments written out the query has more than {MOST_FIELDS} fields"));
    }
    Ok(cost)
}

/// The library takes a variable that is missing as one that may be.
fn require_variables(operation: &OperationDefinition, given: &Variables) -> Measure<()> {
    for definition in operation.variable_definitions.iter().map(|definition| &definition.node) {
        let is_null = match given.get(&definition.name.node) {
            Some(value) => *value == Value::Null,
            None => definition.default_value.is_none(),
        };
        if is_null && !definition.var_type.node.nullable {
            return invalid(format!("the variable `${}` has no value", definition.name.node));
        }
    }
    Ok(())
}

/// The operation that shall run.
pub(super) fn selected<'a>(asked: &AskedQuery<'a>) -> Measure<&'a Positioned<OperationDefinition>> {
    let mut operations = asked.document.operations.iter();
    match asked.operation_name {
        Some(wanted) => match operations.find(|(name, _)| name.is_some_and(|name| name == wanted)) {
            Some((_, operation)) => Ok(operation),
            None => invalid("the query has no operation with the name in `operationName`"),
        },
        None => match (operations.next(), operations.next()) {
            (Some((_, only)), None) => Ok(only),
            (None, _) => invalid("the query has no operation"),
            (Some(_), Some(_)) => invalid("the query has several operations: name one of them in `operationName`"),
        },
    }
}

#[derive(Debug, Clone, Copy)]
enum Parent<'a> {
    Object(&'a str),
    /// A type of the introspection, whose fields are not in the table.
    Introspection,
}

struct Measurer<'a> {
    table: &'a Table,
    asked: &'a AskedQuery<'a>,
    /// Whose variables have values.
    operation: &'a OperationDefinition,
    measured: HashMap<&'a str, Size>,
    /// Fragments that are being measured: one that is met again uses itself.
    open: HashSet<&'a str>,
    directives: usize,
}

impl<'a> Measurer<'a> {
    fn new(table: &'a Table, asked: &'a AskedQuery<'a>, operation: &'a Positioned<OperationDefinition>) -> Self {
        let operation = &operation.node;
        Self { table, asked, operation, measured: HashMap::new(), open: HashSet::new(), directives: 0 }
    }

    fn set(&mut self, set: &'a SelectionSet, parent: Parent<'a>, nesting: u32) -> Measure<Size> {
        if nesting > DEEPEST_NESTING {
            return Err(Refusal::TooDeep);
        }
        let mut sum = Size::default();
        for selection in &set.items {
            self.count_directives(selection.node.directives())?;
            let size = match &selection.node {
                Selection::Field(field) => self.field(&field.node, parent, nesting)?,
                Selection::FragmentSpread(spread) => self.fragment(spread.node.fragment_name.node.as_str(), nesting)?,
                Selection::InlineFragment(inline) => {
                    let parent = match &inline.node.type_condition {
                        Some(condition) => self.parent(condition.node.on.node.as_str())?,
                        None => parent,
                    };
                    self.set(&inline.node.selection_set.node, parent, nesting + 1)?
                }
            };
            sum = sum.and(size);
        }
        Ok(sum)
    }

    fn fragment(&mut self, name: &'a str, nesting: u32) -> Measure<Size> {
        if let Some(size) = self.measured.get(name) {
            return Ok(*size);
        }
        let Some(fragment) = self.definition(name) else {
            return invalid(format!("there is no fragment `{name}`"));
        };
        if !self.open.insert(name) {
            return invalid(format!("the fragment `{name}` uses itself"));
        }
        self.count_directives(&fragment.directives)?;
        let parent = self.parent(fragment.type_condition.node.on.node.as_str())?;
        let size = self.set(&fragment.selection_set.node, parent, nesting + 1)?;
        self.open.remove(name);
        self.measured.insert(name, size);
        Ok(size)
    }

    fn definition(&self, name: &str) -> Option<&'a FragmentDefinition> {
        self.asked.document.fragments.get(name).map(|fragment| &fragment.node)
    }

    fn parent(&self, name: &'a str) -> Measure<Parent<'a>> {
        if name.starts_with("__") {
            self.require_introspection()?;
            Ok(Parent::Introspection)
        } else if self.table.has(name) {
            Ok(Parent::Object(name))
        } else {
            invalid(format!("there is no object type `{name}`"))
        }
    }

    fn require_introspection(&self) -> Measure<()> {
        if self.asked.may_introspect {
            Ok(())
        } else {
            invalid("only staff may ask about the schema; see docs/graphql.md")
        }
    }

    fn field(&mut self, field: &'a Field, parent: Parent<'a>, nesting: u32) -> Measure<Size> {
        let name = field.name.node.as_str();
        let set = &field.selection_set.node;
        let object = match parent {
            Parent::Introspection => return self.of_introspection(name, set, nesting),
            Parent::Object("Query") if name == "__schema" || name == "__type" => {
                self.require_introspection()?;
                return self.of_introspection(name, set, nesting);
            }
            Parent::Object(object) => object,
        };
        let holds = match self.table.field(object, name) {
            Some(field) => &field.holds,
            None if name == "__typename" => &Holds::Scalar,
            None => return invalid(format!("`{object}` has no field `{name}`")),
        };
        if object == "Query" && ONE_OF.contains(&name) {
            self.require_one_argument(field)?;
        }
        let inside = match holds {
            Holds::Scalar | Holds::Scalars => Size::default(),
            Holds::Object { of } | Holds::Connection { of, .. } | Holds::Part { of } => {
                self.set(set, Parent::Object(of), nesting + 1)?
            }
        };
        let cost = match holds {
            Holds::Scalar => 0,
            Holds::Scalars => 1,
            Holds::Object { .. } => inside.cost.saturating_add(1),
            Holds::Part { .. } => inside.cost,
            Holds::Connection { default_first, .. } => {
                // `inside` has 1 for each `node`, and what it holds. Without one it is paid for all the same.
                let first = self.first(field, *default_first)?;
                inside.cost.max(1).saturating_mul(first).saturating_add(2)
            }
        };
        let fields = inside.fields.saturating_add(1);
        Ok(Size { cost, depth: inside.depth + 1, own: 1, fields, lists: inside.lists })
    }

    /// The depth of such questions is not limited: the usual ones are deeper than queries, and their answers are small.
    fn of_introspection(&mut self, name: &str, set: &'a SelectionSet, nesting: u32) -> Measure<Size> {
        let inside = self.set(set, Parent::Introspection, nesting + 1)?;
        let cost = if set.items.is_empty() { 0 } else { inside.cost.saturating_add(1) };
        let lists = inside.lists + u32::from(LISTS_OF_FIELDS.contains(&name));
        Ok(Size { cost, depth: 1, own: 1, fields: inside.fields.saturating_add(1), lists })
    }

    fn first(&self, field: &'a Field, default_first: i64) -> Measure<u64> {
        let first = match self.argument(field, "first") {
            None | Some(Value::Null) => default_first,
            Some(Value::Number(number)) => number.as_i64().unwrap_or(0),
            Some(_) => 0,
        };
        match u64::try_from(first) {
            Ok(fine) if (1..=MAX_FIRST).contains(&first) => Ok(fine),
            _ => invalid(format!("`first` is a whole number from 1 to {MAX_FIRST}")),
        }
    }

    fn require_one_argument(&self, field: &'a Field) -> Measure<()> {
        let given = field.arguments.iter().filter_map(|(name, _)| self.argument(field, name.node.as_str()));
        match given.filter(|value| *value != Value::Null).count() {
            1 => Ok(()),
            _ => invalid(format!("`{}` takes exactly one of its arguments", field.name.node)),
        }
    }

    /// The value of an argument. None: it is not given, or its variable is not.
    fn argument(&self, field: &'a Field, name: &str) -> Option<Value> {
        let (_, value) = field.arguments.iter().find(|(given, _)| given.node == name)?;
        value.node.clone().into_const_with(|variable| self.variable(&variable).ok_or(())).ok()
    }

    fn variable(&self, name: &str) -> Option<Value> {
        let definition = self.operation.variable_definitions.iter().find(|it| it.node.name.node == name)?;
        let given = self.asked.variables.get(name);
        given.or_else(|| definition.node.default_value.as_ref().map(|default| &default.node)).cloned()
    }

    /// Each directive of the text counts once.
    fn count_directives(&mut self, directives: &[Positioned<Directive>]) -> Measure<()> {
        self.directives += directives.len();
        if self.directives > MOST_DIRECTIVES {
            return invalid(format!("a query has at most {MOST_DIRECTIVES} directives"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
