//! Writes a condition as a filter, so that it is read back as the same.

use crate::compiled::{CompiledLeaf, Node};
use crate::condition::{Operator, Value};

/// The filter; the empty text when everything matches.
pub(crate) fn filter_string(root: &Node) -> String {
    let mut filter = String::new();
    push_node(root, &mut filter);
    filter
}

/// One comparison.
pub(crate) fn leaf_string(leaf: &CompiledLeaf) -> String {
    let mut filter = String::new();
    push_leaf(leaf, &mut filter);
    filter
}

fn push_node(node: &Node, filter: &mut String) {
    match node {
        Node::All(parts) => push_group(parts, " AND ", filter),
        Node::Any(parts) => push_group(parts, " OR ", filter),
        Node::Not(part) => {
            filter.push_str("NOT ");
            push_part(part, filter);
        }
        Node::Leaf(leaf) => push_leaf(leaf, filter),
    }
}

fn push_group(parts: &[Node], link: &str, filter: &mut String) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            filter.push_str(link);
        }
        match part {
            Node::Not(_) => push_node(part, filter),
            _ => push_part(part, filter),
        }
    }
}

/// Groups get parentheses even where the precedence of AIP-160 needs none, because readers expect another one.
fn push_part(part: &Node, filter: &mut String) {
    if let Node::Leaf(leaf) = part {
        return push_leaf(leaf, filter);
    }
    filter.push('(');
    push_node(part, filter);
    filter.push(')');
}

fn push_leaf(compiled: &CompiledLeaf, filter: &mut String) {
    let leaf = &compiled.leaf;
    filter.push_str(&leaf.field);
    let equals = if compiled.is_collection { ":" } else { " = " };
    match leaf.operator {
        Operator::Present => filter.push_str(":*"),
        Operator::Has => filter.push(':'),
        Operator::In | Operator::StartsWith | Operator::EndsWith => filter.push_str(equals),
        operator => {
            filter.push(' ');
            filter.push_str(operator.name());
            filter.push(' ');
        }
    }
    let (before, after) = match leaf.operator {
        Operator::StartsWith => ("", "*"),
        Operator::EndsWith => ("*", ""),
        _ => ("", ""),
    };
    if let Some(value) = &leaf.value {
        push_value(value, before, after, filter);
    }
}

fn push_value(value: &Value, before: &str, after: &str, filter: &mut String) {
    match value {
        Value::Bool(truth) => filter.push_str(if *truth { "true" } else { "false" }),
        Value::Integer(number) => filter.push_str(&number.to_string()),
        Value::Text(text) => {
            filter.push('"');
            filter.push_str(before);
            push_escaped(text, filter);
            filter.push_str(after);
            filter.push('"');
        }
        Value::List(items) => {
            filter.push('(');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    filter.push_str(" OR ");
                }
                push_value(item, "", "", filter);
            }
            filter.push(')');
        }
    }
}

fn push_escaped(text: &str, filter: &mut String) {
    for character in text.chars() {
        match character {
            '"' | '\\' | '*' => filter.extend(['\\', character]),
            '\n' => filter.push_str("\\n"),
            '\r' => filter.push_str("\\r"),
            '\t' => filter.push_str("\\t"),
            other => filter.push(other),
        }
    }
}
