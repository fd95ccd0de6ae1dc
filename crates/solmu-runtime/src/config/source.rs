//! The sources merged into one tree of values, each leaf with its origin.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    ENV_PREFIX,
    error::{ConfigError, Origin},
    schema::SchemaView,
};

/// The keys from the root to a value.
pub(super) type Keys = Vec<String>;

/// A value given as text, whose type is not known yet.
struct Pending {
    keys: Keys,
    text: String,
}

/// The merged sources.
#[derive(Default)]
pub(super) struct Tree {
    root: Table,
    origins: BTreeMap<Keys, Origin>,
    pending: Vec<Pending>,
}

impl Tree {
    pub(super) fn root(&self) -> &Table {
        &self.root
    }

    pub(super) fn to_value(&self) -> Value {
        Value::Table(self.root.clone())
    }

    /// The origin of a value: its own, or that of the nearest thing above or below it.
    pub(super) fn origin(&self, keys: &[String]) -> Option<Origin> {
        let above = (1..=keys.len())
            .rev()
            .find_map(|length| self.origins.get(&keys[..length]));
        let below = || {
            self.origins
                .iter()
                .find(|(path, _)| path.starts_with(keys))
                .map(|(_, origin)| origin)
        };
        above.or_else(below).cloned()
    }

    pub(super) fn add_file(&mut self, path: &Path, errors: &mut Vec<ConfigError>) {
        let origin = Origin::File(path.to_owned());
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                errors.push(ConfigError::new(
                    "",
                    Some(origin),
                    format!("cannot read the file: {error}"),
                ));
                return;
            }
        };
        match toml::from_str::<Table>(&text) {
            Ok(table) => {
                note_origins(&table, &mut Vec::new(), &origin, &mut self.origins);
                self.root = table;
            }
            Err(error) => {
                // Not Display, which quotes the line: it may hold a secret.
                let line = error
                    .span()
                    .map_or(0, |span| text[..span.start].matches('\n').count() + 1);
                let message = format!("line {line}: {}", error.message());
                errors.push(ConfigError::new("", Some(origin), message));
            }
        }
    }

    pub(super) fn add_env(&mut self, env: &[(String, String)], errors: &mut Vec<ConfigError>) {
        let mut variables: Vec<_> = env
            .iter()
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        variables.sort();
        for (name, text) in variables {
            let keys = name[ENV_PREFIX.len()..]
                .split("__")
                .map(str::to_ascii_lowercase)
                .collect();
            self.add_text(keys, text, Origin::Env(name.clone()), errors);
        }
    }

    pub(super) fn add_overrides(
        &mut self,
        overrides: &[(String, String)],
        errors: &mut Vec<ConfigError>,
    ) {
        for (path, text) in overrides {
            let keys = path.split('.').map(str::to_owned).collect();
            self.add_text(keys, text, Origin::Flag, errors);
        }
    }

    fn add_text(&mut self, keys: Keys, text: &str, origin: Origin, errors: &mut Vec<ConfigError>) {
        let path = keys.join(".");
        if keys.iter().any(String::is_empty) {
            errors.push(ConfigError::new(
                path,
                Some(origin),
                "the name has an empty part",
            ));
            return;
        }
        if let Err(section) = insert(&mut self.root, &keys, typed(text)) {
            let message = format!("`{section}` is a value and not a section");
            errors.push(ConfigError::new(path, Some(origin), message));
            return;
        }
        // What was below this key is gone with the value that it replaced.
        self.origins.retain(|known, _| !known.starts_with(&keys));
        self.origins.insert(keys.clone(), origin);
        self.pending.push(Pending {
            keys,
            text: text.to_owned(),
        });
    }

    /// Decides for each text value whether it stays typed: `123` is a number where one is wanted and a text where a text
    /// is wanted. `accepts` says whether the configuration takes a table that holds only this value.
    pub(super) fn settle_texts(&mut self, accepts: &dyn Fn(Table) -> bool) {
        for Pending { keys, text } in std::mem::take(&mut self.pending) {
            let alone = |value: Value| {
                let mut table = Table::new();
                insert(&mut table, &keys, value).is_ok() && accepts(table)
            };
            let as_text = Value::String(text.clone());
            let value = typed(&text);
            if value != as_text && !alone(value) && alone(as_text.clone()) {
                // It went in before, so it goes in again.
                drop(insert(&mut self.root, &keys, as_text));
            }
        }
    }

    /// Replaces each `<key>_file` beside a secret `<key>` by the secret that the file holds, without its last line feed.
    pub(super) fn read_secret_files(&mut self, view: &SchemaView, errors: &mut Vec<ConfigError>) {
        let mut found = Vec::new();
        find_secret_files(&self.root, &mut Vec::new(), view, &mut found);
        for (keys, file) in found {
            let (path, origin) = (keys.join("."), self.origin(&keys));
            let Some((file_key, above)) = keys.split_last() else {
                continue;
            };
            let Some(table) = table_mut(&mut self.root, above) else {
                continue;
            };
            let secret = file_key[..file_key.len() - FILE_SUFFIX.len()].to_owned();
            table.remove(file_key);
            if table.contains_key(&secret) {
                let message = format!("`{secret}` is set as well: choose one");
                errors.push(ConfigError::new(path, origin, message));
                continue;
            }
            match fs::read_to_string(&file) {
                // As if it were not set, a process would make itself a key, or engines of its own, and say nothing.
                Ok(text) if text.trim().is_empty() => {
                    let message = format!(
                        "'{}' is empty: put the secret there, or leave the key out",
                        file.display()
                    );
                    errors.push(ConfigError::new(path, origin, message));
                }
                Ok(text) => {
                    let mut keys = above.to_vec();
                    keys.push(secret.clone());
                    let value = if view.is_secret_list(&keys) {
                        let lines = text.lines().map(str::trim);
                        let items = lines.filter(|line| !line.is_empty());
                        Value::Array(items.map(|line| Value::String(line.to_owned())).collect())
                    } else {
                        let text = text.strip_suffix('\n').unwrap_or(&text);
                        let text = text.strip_suffix('\r').unwrap_or(text);
                        Value::String(text.to_owned())
                    };
                    table.insert(secret, value);
                    self.origins.insert(keys, Origin::File(file));
                }
                Err(error) => {
                    let message = format!("cannot read '{}': {error}", file.display());
                    errors.push(ConfigError::new(path, origin, message));
                }
            }
        }
    }
}

/// What is added to the key of a secret for the path of a file that holds it.
pub(super) const FILE_SUFFIX: &str = "_file";

fn find_secret_files(
    table: &Table,
    keys: &mut Keys,
    view: &SchemaView,
    found: &mut Vec<(Keys, PathBuf)>,
) {
    for (key, value) in table {
        keys.push(key.clone());
        for_tables(value, keys, &mut |inner, keys| {
            find_secret_files(inner, keys, view, found);
        });
        if let (Value::String(file), Some(secret)) = (value, key.strip_suffix(FILE_SUFFIX)) {
            let mut of_secret = keys.clone();
            if let Some(last) = of_secret.last_mut() {
                secret.clone_into(last);
            }
            let is_secret = view.is_secret(&of_secret) || view.is_secret_list(&of_secret);
            if is_secret && !view.has(keys) {
                found.push((keys.clone(), PathBuf::from(file)));
            }
        }
        keys.pop();
    }
}

/// Visits the table that `value` is, or the tables that are its items; an item's key is its index.
pub(super) fn for_tables(value: &Value, keys: &mut Keys, visit: &mut dyn FnMut(&Table, &mut Keys)) {
    match value {
        Value::Table(inner) => visit(inner, keys),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                keys.push(index.to_string());
                for_tables(item, keys, visit);
                keys.pop();
            }
        }
        _ => {}
    }
}

fn note_origins(
    table: &Table,
    keys: &mut Keys,
    origin: &Origin,
    origins: &mut BTreeMap<Keys, Origin>,
) {
    for (key, value) in table {
        keys.push(key.clone());
        match value {
            Value::Table(inner) => note_origins(inner, keys, origin, origins),
            _ => drop(origins.insert(keys.clone(), origin.clone())),
        }
        keys.pop();
    }
}

/// A text as the TOML value that it is, or as a string when it is none.
fn typed(text: &str) -> Value {
    let document = toml::from_str::<Table>(&format!("value = {text}"));
    match document {
        Ok(mut table) if table.len() == 1 => table
            .remove("value")
            .unwrap_or_else(|| Value::String(text.to_owned())),
        _ => Value::String(text.to_owned()),
    }
}

/// Puts `value` in its place, with the tables above it. Fails with the path of what is there and no table.
fn insert(table: &mut Table, keys: &[String], value: Value) -> Result<(), String> {
    let Some((last, above)) = keys.split_last() else {
        return Ok(());
    };
    let mut inner = table;
    for (depth, key) in above.iter().enumerate() {
        let next = inner
            .entry(key.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else {
            return Err(keys[..=depth].join("."));
        };
        inner = next;
    }
    inner.insert(last.clone(), value);
    Ok(())
}

/// The table at `keys`, where the key of a list's item is its index.
fn table_mut<'a>(root: &'a mut Table, keys: &[String]) -> Option<&'a mut Table> {
    let Some((first, rest)) = keys.split_first() else {
        return Some(root);
    };
    let mut value = root.get_mut(first)?;
    for key in rest {
        value = match value {
            Value::Table(table) => table.get_mut(key)?,
            Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    value.as_table_mut()
}
