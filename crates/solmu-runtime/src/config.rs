//! Configuration: read once, checked whole, passed down.
//!
//! Sources, each over the one before: the defaults of the structs, a TOML file, environment variables
//! `SOLMU__SECTION__KEY`, dotted keys given by flags. Whoever sets up a process gets every error in one go, each with
//! the key, where it came from and, for a misspelt key, what was probably meant. A secret may be given as the path of
//! a file (`<key>_file`), which is what container platforms mount.
//!
//! The crate `config` was rejected: it reports the first error only and drops unknown keys between its layers.

mod docs;
mod error;
mod probe;
mod schema;
mod source;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

pub use docs::markdown;
pub use error::{ConfigError, ConfigErrors};
pub use schema::{open_objects, schema};
pub use solmu_secret::Secret;

use schema::SchemaView;
use source::Tree;

/// What begins the name of every environment variable that is read.
pub const ENV_PREFIX: &str = "SOLMU__";

/// Where configuration comes from, weakest first.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// The TOML file.
    pub file: Option<&'a Path>,
    /// Environment variables; others than `SOLMU__...` are passed over. See [`process_env`].
    pub env: Vec<(String, String)>,
    /// Dotted keys with values, from flags.
    pub overrides: Vec<(String, String)>,
}

/// The environment of this process, without what is not text.
#[must_use]
pub fn process_env() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads the configuration, or reports everything that is wrong with it.
///
/// Lists are given whole, in the environment as TOML (`['a', 'b']`); the names in environment variables are lower-cased.
/// `T` and every struct in it must derive `Deserialize`, `JsonSchema` and `Serialize` with
/// `#[serde(default, deny_unknown_fields)]`; without `Serialize` the defaults are missing from schema and docs.
pub fn load<T: DeserializeOwned + JsonSchema>(sources: &Sources<'_>) -> Result<T, ConfigErrors> {
    let view = SchemaView::of::<T>();
    let mut errors = Vec::new();
    let mut tree = Tree::default();
    if let Some(path) = sources.file {
        tree.add_file(path, &mut errors);
    }
    tree.add_env(&sources.env, &mut errors);
    tree.add_overrides(&sources.overrides, &mut errors);
    tree.settle_texts(&|table| probe::accepts::<T>(table));
    tree.read_secret_files(&view, &mut errors);
    probe::missing(&view, &tree, &mut errors);
    let read = tree.to_value().try_into::<T>();
    if read.is_err() {
        probe::all::<T>(&view, &tree, &mut errors);
    }
    probe::ranges(&view, &tree, &mut errors);
    match read {
        Ok(config) if errors.is_empty() => Ok(config),
        Ok(_) => Err(ConfigErrors::new(errors)),
        Err(error) => {
            if errors.is_empty() {
                // Nothing alone is to blame; the text says where, and there is no value in it that is refused.
                errors.push(ConfigError::new(
                    "",
                    None,
                    error.to_string().trim().replace('\n', " "),
                ));
            }
            Err(ConfigErrors::new(errors))
        }
    }
}

/// The configuration in force as TOML, with secrets blotted out.
pub fn print<T: Serialize>(config: &T) -> Result<String, toml::ser::Error> {
    toml::to_string_pretty(config)
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
