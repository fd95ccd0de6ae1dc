//! The JSON Schema of a configuration, for editors and checks, and for what serde cannot tell us.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::source::FILE_SUFFIX;

/// How deep structs may contain each other before a walk gives up: schemas may be recursive.
const DEPTH_MAX: usize = 32;

/// The schema (JSON Schema 2020-12) of `T`, with `<key>_file` beside each secret.
#[must_use]
pub fn schema<T: JsonSchema>() -> Value {
    let mut schema = SchemaView::of::<T>().root;
    add_file_keys(&mut schema, 0);
    schema
}

/// Objects that take unknown keys: structs that forgot `deny_unknown_fields`. For a test of the whole configuration.
#[must_use]
pub fn open_objects<T: JsonSchema>() -> Vec<String> {
    let mut found = Vec::new();
    find_open(&SchemaView::of::<T>().root, "", &mut found);
    found
}

fn find_open(node: &Value, path: &str, found: &mut Vec<String>) {
    if node.get("properties").is_some() && node.get("additionalProperties").is_none() {
        found.push(if path.is_empty() {
            "/".to_owned()
        } else {
            path.to_owned()
        });
    }
    match node {
        Value::Object(members) => {
            for (key, member) in members {
                // Defaults and examples are values, not schemas.
                if !matches!(key.as_str(), "default" | "examples" | "const" | "enum") {
                    find_open(member, &format!("{path}/{key}"), found);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_open(item, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn add_file_keys(node: &mut Value, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        let secrets: Vec<(String, &str)> = properties
            .iter()
            .filter_map(|(key, node)| {
                let is_list = node.get("items").is_some_and(is_password);
                (is_list || is_password(node))
                    .then(|| (key.clone(), if is_list { ", one a line" } else { "" }))
            })
            .collect();
        for (key, form) in secrets {
            let description =
                format!("A file that holds `{key}`{form}, instead of `{key}` itself.");
            let file = json!({ "type": "string", "description": description });
            properties
                .entry(format!("{key}{FILE_SUFFIX}"))
                .or_insert(file);
        }
    }
    match node {
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| add_file_keys(member, depth + 1)),
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| add_file_keys(item, depth + 1)),
        _ => {}
    }
}

fn is_password(node: &Value) -> bool {
    node.get("format")
        .is_some_and(|format| format == "password")
        || alternatives(node).any(|node| {
            node.get("format")
                .is_some_and(|format| format == "password")
        })
}

fn alternatives(node: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .filter_map(|key| node.get(key)?.as_array())
        .flatten()
}

/// A schema that can be asked about the keys of a configuration.
pub(super) struct SchemaView {
    root: Value,
}

impl SchemaView {
    pub(super) fn of<T: JsonSchema>() -> Self {
        let generator = SchemaSettings::draft2020_12().into_generator();
        Self {
            root: generator.into_root_schema_for::<T>().to_value(),
        }
    }

    pub(super) fn root(&self) -> &Value {
        &self.root
    }

    /// Follows a reference; members beside it (a description) stay with the node that refers.
    pub(super) fn resolve<'a>(&'a self, node: &'a Value) -> &'a Value {
        let mut node = node;
        for _ in 0..DEPTH_MAX {
            let Some(reference) = node.get("$ref").and_then(Value::as_str) else {
                break;
            };
            let Some(target) = reference
                .strip_prefix('#')
                .and_then(|at| self.root.pointer(at))
            else {
                break;
            };
            node = target;
        }
        node
    }

    /// The schemas that a key path may mean: several where an enum has several forms.
    fn at(&self, keys: &[String]) -> Vec<&Value> {
        keys.iter().fold(self.forms(&self.root, 0), |nodes, key| {
            nodes
                .into_iter()
                .filter_map(|node| child(node, key))
                .flat_map(|node| self.forms(node, 0))
                .collect()
        })
    }

    /// A node with its references followed, and each of its alternatives.
    fn forms<'a>(&'a self, node: &'a Value, depth: usize) -> Vec<&'a Value> {
        let node = self.resolve(node);
        let mut forms = vec![node];
        if depth < DEPTH_MAX {
            for other in alternatives(node) {
                forms.extend(self.forms(other, depth + 1));
            }
        }
        forms
    }

    /// Whether the key holds a secret.
    pub(super) fn is_secret(&self, keys: &[String]) -> bool {
        self.at(keys).into_iter().any(is_password)
    }

    /// Whether the key holds a list of secrets.
    pub(super) fn is_secret_list(&self, keys: &[String]) -> bool {
        self.at(keys)
            .into_iter()
            .filter_map(|node| node.get("items"))
            .any(|item| is_password(self.resolve(item)))
    }

    /// Whether the key is known.
    pub(super) fn has(&self, keys: &[String]) -> bool {
        !self.at(keys).is_empty()
    }

    /// The least and the greatest number that the key takes, where the schema states them. None where the key has
    /// several forms, each with its own.
    pub(super) fn range(&self, keys: &[String]) -> Option<(Option<f64>, Option<f64>)> {
        let limit = |node: &Value, name: &str| node.get(name).and_then(Value::as_f64);
        let mut ranges = self
            .at(keys)
            .into_iter()
            .map(|node| (limit(node, "minimum"), limit(node, "maximum")))
            .filter(|range| *range != (None, None));
        match (ranges.next(), ranges.next()) {
            (Some(range), None) => Some(range),
            _ => None,
        }
    }

    /// The keys that the table at `keys` must have. None where the table has several forms.
    pub(super) fn required(&self, keys: &[String]) -> Vec<&str> {
        let nodes = self.at(keys);
        let mut tables = nodes
            .into_iter()
            .filter(|node| node.get("properties").is_some());
        match (tables.next(), tables.next()) {
            (Some(table), None) => table
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// The schema of what lies at `key`: a property, any value of a map, an item of a list.
fn child<'a>(node: &'a Value, key: &str) -> Option<&'a Value> {
    let property = node
        .get("properties")
        .and_then(|properties| properties.get(key));
    let value = || {
        node.get("additionalProperties")
            .filter(|node| node.is_object())
    };
    let is_index = key.bytes().all(|byte| byte.is_ascii_digit());
    let item = || node.get("items").filter(|_| is_index);
    property.or_else(value).or_else(item)
}

/// The properties of a node, in order of their names.
pub(super) fn properties(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    node.get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}
