//! The reference of all keys as Markdown, made from the schema so that it cannot lie.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde_json::Value;

use super::schema::{SchemaView, properties};

/// Sections deeper than this are not written: no sensible configuration has them, and schemas may be recursive.
const DEPTH_MAX: usize = 8;

const INTRODUCTION: &str = "\
# Configuration

This file is generated from the code; do not edit it.

A key can be set in the TOML file (`[section]`, then `key = value`), by an environment variable
(`SOLMU__SECTION__KEY`, all upper case, two underscores between the parts) and by a flag (`--set section.key=value`).
A flag wins over the environment, the environment over the file, the file over the default. Unknown keys are errors. A
key of type *secret* can also be given as the path of a file that holds it: `<key>_file`; a list of secrets as a file with
one in each line.
";

struct Writer<'a> {
    view: &'a SchemaView,
    text: String,
}

/// The text of `docs/configuration.md` for the configuration `T`.
#[must_use]
pub fn markdown<T: JsonSchema>() -> String {
    let view = SchemaView::of::<T>();
    let mut writer = Writer {
        view: &view,
        text: INTRODUCTION.to_owned(),
    };
    writer.section("", view.root(), None, 0);
    writer.text
}

impl Writer<'_> {
    /// Writes the keys of one struct as a table, then the structs in it as sections of their own.
    fn section(&mut self, path: &str, node: &Value, default: Option<&Value>, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        if !path.is_empty() {
            self.push(&format!("\n## `[{path}]`\n"));
            if let Some(description) = description(node) {
                self.push(&format!("\n{description}\n"));
            }
        }
        let default_of = |key: &str, node: &Value| {
            let own = node.get("default").cloned();
            default.and_then(|value| value.get(key)).cloned().or(own)
        };
        let (sections, keys): (Vec<_>, Vec<_>) =
            properties(node).partition(|(_, node)| self.table(node).is_some());
        if !keys.is_empty() {
            self.push("\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
        }
        for (key, node) in keys {
            let default = default_of(key, node).filter(|value| !value.is_null());
            let default = default.map_or_else(String::new, |value| format!("`{}`", shown(&value)));
            let meaning = description(node).or_else(|| description(self.view.resolve(node)));
            let meaning = meaning
                .unwrap_or_default()
                .replace('|', "\\|")
                .replace('\n', " ");
            let kind = self.kind(node).replace('|', "\\|");
            self.push(&format!("| `{key}` | {kind} | {default} | {meaning} |\n"));
        }
        for (key, node) in sections {
            let default = default_of(key, node);
            let Some((suffix, inner)) = self.table(node) else {
                continue;
            };
            let inner = inner.clone();
            let path = if path.is_empty() {
                format!("{key}{suffix}")
            } else {
                format!("{path}.{key}{suffix}")
            };
            let default = default.filter(|_| suffix.is_empty());
            self.section(&path, &inner, default.as_ref(), depth + 1);
        }
    }

    /// The struct that a node is, or that the values of its map or list are, with what to add to the path.
    fn table<'a>(&'a self, node: &'a Value) -> Option<(&'static str, &'a Value)> {
        let node = self.view.resolve(node);
        if node.get("properties").is_some() {
            return Some(("", node));
        }
        if let Some(option) = option(node) {
            return self.table(option);
        }
        let inner = |key: &str| node.get(key).map(|node| self.view.resolve(node));
        let of_map = inner("additionalProperties").filter(|node| node.get("properties").is_some());
        let of_list = inner("items").filter(|node| node.get("properties").is_some());
        of_map
            .map(|node| (".<name>", node))
            .or_else(|| of_list.map(|node| ("[]", node)))
    }

    fn kind(&self, node: &Value) -> String {
        let node = self.view.resolve(node);
        if let Some(option) = option(node) {
            return self.kind(option);
        }
        if node
            .get("format")
            .is_some_and(|format| format == "password")
        {
            return "secret".to_owned();
        }
        if let Some(words) = words(node) {
            return words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(" or ");
        }
        let name = match node.get("type") {
            Some(Value::String(name)) => name.as_str(),
            Some(Value::Array(names)) => names
                .iter()
                .filter_map(Value::as_str)
                .find(|name| *name != "null")
                .unwrap_or("any"),
            _ => "any",
        };
        match (name, node.get("items")) {
            ("array", Some(items)) => format!("list of {}", self.kind(items)),
            ("object", _) => match node.get("additionalProperties") {
                Some(values) if values.is_object() => format!("map of {}", self.kind(values)),
                _ => "table".to_owned(),
            },
            (name, _) => name.to_owned(),
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }
}

/// What is inside an `Option`.
fn option(node: &Value) -> Option<&Value> {
    let alternatives = node.get("anyOf")?.as_array()?;
    let null = Value::from("null");
    let mut others = alternatives
        .iter()
        .filter(|node| node.get("type") != Some(&null));
    others.next().filter(|_| others.next().is_none())
}

/// The words of an enum without data.
fn words(node: &Value) -> Option<Vec<&str>> {
    if let Some(words) = node.get("enum").and_then(Value::as_array) {
        return words
            .iter()
            .filter(|word| !word.is_null())
            .map(Value::as_str)
            .collect();
    }
    let mut words = Vec::new();
    for form in node.get("oneOf")?.as_array()? {
        match (
            form.get("const").and_then(Value::as_str),
            form.get("enum").and_then(Value::as_array),
        ) {
            (Some(word), _) => words.push(word),
            (None, Some(several)) => words.extend(several.iter().filter_map(Value::as_str)),
            (None, None) => return None,
        }
    }
    Some(words)
}

fn description(node: &Value) -> Option<&str> {
    node.get("description").and_then(Value::as_str)
}

/// A default as TOML writes it.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(shown).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let mut text = String::from("{ ");
            for (index, (key, value)) in members.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(text, "{comma}{key} = {}", shown(value))
                    .expect("writing to a string cannot fail");
            }
            text + " }"
        }
        other => other.to_string(),
    }
}
