//! The names that a file defines and refers to: a table for each grammar, in the grammar's own words.

use super::Tree;
use tree_sitter::Node;

/// A name in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag<'t> {
    pub name: &'t str,
    pub role: Role,
    /// What it names: `function`, `method`, `class`, `call`, …
    pub kind: &'static str,
    /// The lines of the whole definition, or of the name that refers to one; counted from 1, both included.
    pub first: usize,
    pub last: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Definition,
    Reference,
}

/// One row: where a name stands that is a tag.
pub(super) struct Row {
    role: Role,
    kind: &'static str,
    /// How the name's own kind ends.
    name: &'static str,
    /// The nodes around the name, the outermost first, each with the field of it that holds the next, if that has a
    /// name: `assignment.left`. The first that tells a field is the whole definition.
    place: &'static [&'static str],
    /// A field of the whole that must hold a function.
    function: Option<&'static str>,
}

const fn definition(kind: &'static str, place: &'static [&'static str]) -> Row {
    Row { role: Role::Definition, kind, name: "identifier", place, function: None }
}

const fn function(field: &'static str, place: &'static [&'static str]) -> Row {
    Row { role: Role::Definition, kind: "function", name: "identifier", place, function: Some(field) }
}

const fn reference(kind: &'static str, place: &'static [&'static str]) -> Row {
    Row { role: Role::Reference, kind, name: "identifier", place, function: None }
}

const fn of_type(kind: &'static str, place: &'static [&'static str]) -> Row {
    Row { role: Role::Reference, kind, name: "type_identifier", place, function: None }
}

pub(super) const PYTHON: &[Row] = &[
    definition("class", &["class_definition.name"]),
    definition("function", &["function_definition.name"]),
    definition("constant", &["module", "expression_statement", "assignment.left"]),
    reference("call", &["call.function"]),
    reference("call", &["call.function", "attribute.attribute"]),
];

pub(super) const JAVASCRIPT: &[Row] = &[
    definition("class", &["class.name"]),
    definition("class", &["class_declaration.name"]),
    definition("method", &["method_definition.name"]),
    definition("function", &["function_declaration.name"]),
    definition("function", &["function_expression.name"]),
    definition("function", &["generator_function.name"]),
    definition("function", &["generator_function_declaration.name"]),
    function("value", &["variable_declarator.name"]),
    function("value", &["pair.key"]),
    function("right", &["assignment_expression.left"]),
    function("right", &["assignment_expression.left", "member_expression.property"]),
    reference("call", &["call_expression.function"]),
    reference("call", &["call_expression.function", "member_expression.property"]),
    reference("class", &["new_expression.constructor"]),
    reference("class", &["new_expression.constructor", "member_expression.property"]),
];

/// What JavaScript lacks.
pub(super) const TYPESCRIPT: &[Row] = &[
    definition("class", &["abstract_class_declaration.name"]),
    definition("enum", &["enum_declaration.name"]),
    definition("function", &["function_signature.name"]),
    definition("interface", &["interface_declaration.name"]),
    definition("method", &["abstract_method_signature.name"]),
    definition("method", &["method_signature.name"]),
    definition("module", &["module.name"]),
    definition("type", &["type_alias_declaration.name"]),
    of_type("type", &["type_annotation"]),
];

pub(super) const GO: &[Row] = &[
    definition("function", &["function_declaration.name"]),
    definition("method", &["method_declaration.name"]),
    definition("type", &["type_spec.name"]),
    reference("call", &["call_expression.function"]),
    reference("call", &["call_expression.function", "selector_expression.field"]),
    of_type("type", &[]),
];

pub(super) const JAVA: &[Row] = &[
    definition("class", &["class_declaration.name"]),
    definition("enum", &["enum_declaration.name"]),
    definition("interface", &["interface_declaration.name"]),
    definition("method", &["method_declaration.name"]),
    definition("record", &["record_declaration.name"]),
    reference("call", &["method_invocation.name"]),
    of_type("class", &["object_creation_expression.type"]),
    of_type("class", &["superclass"]),
    of_type("implementation", &["type_list"]),
];

/// A node, and the field of it that is looked into.
type Around<'t> = (Node<'t>, Option<&'static str>);

impl Row {
    /// The whole definition, or the name that refers to one, if it is one of this row.
    fn whole<'t>(&self, name: Node<'t>, around: &[Around<'t>]) -> Option<Node<'t>> {
        let around = &around[around.len().checked_sub(self.place.len())?..];
        let mut whole = None;
        for ((node, field), place) in around.iter().zip(self.place) {
            let (kind, named) =
                place.split_once('.').map_or((*place, None), |(kind, field)| (kind, Some(field)));
            if node.kind() != kind || named.is_some() && named != *field {
                return None;
            }
            whole = whole.or(named.is_some().then_some(*node));
        }
        let whole = whole.filter(|_| self.role == Role::Definition).unwrap_or(name);
        let is_function = |node: Node<'_>| matches!(node.kind(), "arrow_function" | "function_expression");
        let fits =
            self.function.is_none_or(|field| whole.child_by_field_name(field).is_some_and(is_function));
        (fits && name.kind().ends_with(self.name)).then_some(whole)
    }
}

impl<'t> Tree<'t> {
    /// Definitions and references in the order of the text.
    pub fn tags(&self) -> Vec<Tag<'t>> {
        let (mut found, mut around) = (Vec::new(), Vec::<Around<'_>>::new());
        let mut cursor = self.parsed.walk();
        loop {
            let node = cursor.node();
            if let Some((_, field)) = around.last_mut() {
                *field = cursor.field_name();
            }
            if cursor.goto_first_child() {
                around.push((node, None));
                continue;
            }
            if node.kind().ends_with("identifier") {
                let mut rows = self.language.tags.iter().copied().flatten();
                let tag = rows.find_map(|row| Some(self.tag(node, row.whole(node, &around)?, row)));
                found.extend(tag);
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return found;
                }
                around.pop();
            }
        }
    }

    fn tag(&self, name: Node<'_>, whole: Node<'_>, row: &Row) -> Tag<'t> {
        let (first, last) = (whole.start_position().row + 1, whole.end_position().row + 1);
        Tag { name: &self.text[name.byte_range()], role: row.role, kind: row.kind, first, last }
    }

    /// The innermost definition around a line, counted from 1.
    pub fn definition_at(&self, line: usize) -> Option<Tag<'t>> {
        let around = self
            .tags()
            .into_iter()
            .filter(|tag| tag.role == Role::Definition && (tag.first..=tag.last).contains(&line));
        around.min_by_key(|tag| tag.last - tag.first)
    }
}
