//! What is different between two policies or two calendars, field by field.

use serde::Serialize;
use serde_json::Value;

/// A field that is not as it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Change {
    pub(super) field: String,
    /// Null for what is new.
    pub(super) from: Value,
    pub(super) to: Value,
}

/// The fields that differ. Against nothing, those that say something.
pub(super) fn changes(current: Option<&Value>, next: &Value) -> Vec<Change> {
    let field_of = |value: &Value, field: &str| value.get(field).cloned().unwrap_or(Value::Null);
    let mut fields: Vec<&String> = [current, Some(next)]
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(|fields| fields.keys())
        .collect();
    fields.sort_unstable();
    fields.dedup();
    let mut changes = Vec::new();
    for field in fields {
        let from = current.map_or(Value::Null, |current| field_of(current, field));
        let to = field_of(next, field);
        if from != to && !(is_empty(&from) && is_empty(&to)) {
            changes.push(Change {
                field: field.clone(),
                from,
                to,
            });
        }
    }
    changes
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

impl Change {
    /// As people read it: what goes with a minus, what comes with a plus.
    pub(super) fn lines(&self) -> Vec<String> {
        let (Some(from), Some(to)) = (items(&self.from), items(&self.to)) else {
            let mut lines = Vec::new();
            for (sign, value) in [('-', &self.from), ('+', &self.to)] {
                if !is_empty(value) {
                    lines.push(format!("  {sign} {}: {}", self.field, plain(value)));
                }
            }
            return lines;
        };
        let mut lines = vec![format!("    {}:", self.field)];
        let gone = from.iter().filter(|item| !to.contains(item));
        let come = to.iter().filter(|item| !from.contains(item));
        lines.extend(gone.map(|item| format!("    - {item}")));
        lines.extend(come.map(|item| format!("    + {item}")));
        if lines.len() == 1 {
            lines.push(format!("    + {} (in another order)", to.join(", ")));
        }
        lines
    }
}

/// A list, or fields by name, as texts; null is an empty list beside one.
fn items(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => Some(items.iter().map(plain).collect()),
        Value::Object(fields) => {
            let text = |(name, value): (&String, &Value)| format!("{name}: {}", plain(value));
            Some(fields.iter().map(text).collect())
        }
        _ => None,
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(current: Option<&Value>, next: &Value) -> String {
        let lines = changes(current, next);
        lines
            .iter()
            .flat_map(Change::lines)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn lists_are_compared_by_their_items() {
        let current = json!({"position": 1, "targets": ["a", "b"], "quiet": false});
        assert!(changes(Some(&current), &current).is_empty());
        let next = json!({"position": 2, "targets": ["b", "c"], "quiet": true});
        assert_eq!(
            text(Some(&current), &next),
            "  - position: 1\n  + position: 2\n  + quiet: true\n    targets:\n    - a\n    + c"
        );
        let turned = json!({"position": 1, "targets": ["b", "a"], "quiet": false});
        assert!(text(Some(&current), &turned).ends_with("b, a (in another order)"));
    }

    #[test]
    fn what_is_new_says_what_it_has() {
        let next = json!({"name": "Office", "hours": {"mon": [["08:00", "16:00"]]}, "breaks": []});
        assert_eq!(
            text(None, &next),
            "    hours:\n    + mon: [[\"08:00\",\"16:00\"]]\n  + name: Office"
        );
        let gone = json!({"name": "Office"});
        assert_eq!(
            text(Some(&next), &gone),
            "    hours:\n    - mon: [[\"08:00\",\"16:00\"]]"
        );
    }
}
