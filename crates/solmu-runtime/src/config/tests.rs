//! Sources, errors at once, secrets and what is generated from the schema.

use std::{collections::BTreeMap, io::Write as _};

use serde::Deserialize;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Sample {
    /// How the bus is reached.
    bus: Bus,
    /// Mail accounts by name.
    accounts: BTreeMap<String, Account>,
    /// Colours | shades.
    colours: Vec<String>,
    /// Accounts in order.
    relays: Vec<Account>,
}

impl Default for Sample {
    fn default() -> Self {
        let colours = vec!["blue".to_owned()];
        Self {
            bus: Bus::default(),
            accounts: BTreeMap::new(),
            colours,
            relays: Vec::new(),
        }
    }
}

/// The bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Bus {
    /// Where it is.
    url: String,
    /// Its port.
    port: u16,
    /// How it is spoken to.
    mode: Mode,
    /// Its password.
    password: Secret,
    /// A limit, if any.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
    /// Keys.
    keys: Vec<Secret>,
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            url: "nats://localhost".to_owned(),
            port: 4222,
            mode: Mode::Plain,
            password: Secret::default(),
            limit: None,
            keys: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// In the clear.
    Plain,
    /// With TLS.
    Tls,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Account {
    /// The server.
    host: String,
    /// Its port.
    #[serde(default)]
    port: u16,
    /// The password.
    #[serde(default)]
    password: Option<Secret>,
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn read(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Sample, ConfigErrors> {
    let file = file(text);
    load(&Sources {
        file: Some(file.path()),
        env: pairs(env),
        overrides: pairs(flags),
    })
}

fn messages(result: Result<Sample, ConfigErrors>) -> Vec<String> {
    let errors = result.expect_err("the configuration is wrong");
    errors
        .errors()
        .iter()
        .map(|error| format!("{}: {}", error.path(), error.message()))
        .collect()
}

#[test]
fn nothing_gives_the_defaults() {
    assert_eq!(
        load::<Sample>(&Sources::default()).unwrap(),
        Sample::default()
    );
}

#[test]
fn later_sources_win() {
    let text = "[bus]\nurl = 'file'\nport = 1\nlimit = 1\n";
    let env = [
        ("SOLMU__BUS__PORT", "2"),
        ("SOLMU__BUS__LIMIT", "2"),
        ("SOLMU_BUS_PORT", "tcp://x"),
    ];
    let config = read(text, &env, &[("bus.limit", "3")]).unwrap();
    assert_eq!(
        (config.bus.url.as_str(), config.bus.port, config.bus.limit),
        ("file", 2, Some(3))
    );
}

#[test]
fn values_from_the_environment_have_the_type_that_is_wanted() {
    let env = [
        ("SOLMU__BUS__URL", "12345"),
        ("SOLMU__BUS__PASSWORD", "true"),
        ("SOLMU__BUS__MODE", "tls"),
        ("SOLMU__COLOURS", "['red', 'green']"),
        ("SOLMU__ACCOUNTS__MAIN__HOST", "7"),
        ("SOLMU__ACCOUNTS__MAIN__PORT", "7"),
    ];
    let config = read("", &env, &[]).unwrap();
    assert_eq!(
        (config.bus.url.as_str(), config.bus.mode),
        ("12345", Mode::Tls)
    );
    assert_eq!(config.bus.password.expose(), "true");
    assert_eq!(config.colours, ["red", "green"]);
    assert_eq!(
        (
            config.accounts["main"].host.as_str(),
            config.accounts["main"].port
        ),
        ("7", 7)
    );
}

#[test]
fn a_value_cannot_smuggle_in_keys() {
    let config = read("", &[("SOLMU__BUS__URL", "'a'\nport = 1")], &[]).unwrap();
    assert_eq!(config.bus.url, "'a'\nport = 1");
}

#[test]
fn all_errors_come_at_once() {
    let text = "
        [bus]
        prot = 1
        mode = 'loud'
        [accounts.main]
        port = 70000
        [emial]
        port = 1
    ";
    let messages = messages(read(
        text,
        &[("SOLMU__BUS__PORT", "many")],
        &[("bus.limit", "-1")],
    ));
    assert_eq!(
        messages,
        [
            "accounts.main.host: is missing",
            "accounts.main.port: invalid value: integer `70000`, expected u16",
            "bus.limit: invalid value: integer `-1`, expected u32",
            "bus.mode: unknown variant `loud`, expected `plain` or `tls`",
            "bus.port: invalid type: string \"many\", expected u16",
            "bus.prot: unknown key, did you mean `port`?",
            "emial: unknown key, expected one of bus, accounts, colours, relays",
        ]
    );
}

#[test]
fn numbers_out_of_range_are_refused_with_the_range() {
    let wrong = read("[bus]\nlimit = 501\nport = 70000\n", &[], &[]);
    let messages = messages(wrong);
    assert_eq!(messages.len(), 2, "one error for each key: {messages:?}");
    assert!(
        messages.contains(&"bus.limit: 501 is out of range, it must be from 1 to 500".to_owned()),
        "{messages:?}"
    );
    assert!(read("[bus]\nlimit = 500\n", &[], &[]).is_ok());
    assert!(read("", &[("SOLMU__BUS__LIMIT", "0")], &[]).is_err());
}

#[test]
fn errors_say_where_the_value_came_from() {
    let text = read("", &[("SOLMU__BUS__PORT", "many")], &[])
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("1 error in the configuration:\n  bus.port (SOLMU__BUS__PORT): "),
        "{text}"
    );
    let text = read("[bus\n", &[], &[]).unwrap_err().to_string();
    assert!(text.contains("line 1: "), "{text}");
    let missing = load::<Sample>(&Sources {
        file: Some(Path::new("/nonexistent")),
        ..Default::default()
    });
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("cannot read the file")
    );
    assert_eq!(
        messages(read("bus = 3", &[("SOLMU__BUS__PORT", "1")], &[]))[0],
        "bus: invalid type: integer `3`, expected struct Bus"
    );
}

#[test]
fn secrets_are_read_from_files() {
    let secret = file("hunter2\n");
    let path = secret.path().to_str().unwrap();
    let text = format!("[accounts.main]\nhost = 'h'\npassword_file = '{path}'");
    let config = read(&text, &[("SOLMU__BUS__PASSWORD_FILE", path)], &[]).unwrap();
    assert_eq!(config.bus.password.expose(), "hunter2");
    assert_eq!(
        config.accounts["main"].password,
        Some(Secret::new("hunter2"))
    );

    let both = read(
        "[bus]\npassword = 'x'",
        &[("SOLMU__BUS__PASSWORD_FILE", path)],
        &[],
    );
    assert_eq!(
        messages(both),
        ["bus.password_file: `password` is set as well: choose one"]
    );
    let gone = read("[bus]\npassword_file = '/nonexistent'", &[], &[]);
    assert!(messages(gone)[0].starts_with("bus.password_file: cannot read '/nonexistent'"));
    let empty = file(" \n");
    let nothing = read(
        "",
        &[("SOLMU__BUS__PASSWORD_FILE", empty.path().to_str().unwrap())],
        &[],
    );
    let said = &messages(nothing)[0];
    assert!(
        said.contains("bus.password_file: '") && said.contains("is empty"),
        "{said}"
    );
    let no_secret = read("[bus]\nurl_file = '/etc/passwd'", &[], &[]);
    assert!(messages(no_secret)[0].starts_with("bus.url_file: unknown key"));
}

#[test]
fn a_list_of_secrets_is_a_file_with_lines() {
    let secret = file("newer\n\n older \n");
    let path = secret.path().to_str().unwrap();
    let config = read("", &[("SOLMU__BUS__KEYS_FILE", path)], &[]).unwrap();
    let keys: Vec<&str> = config.bus.keys.iter().map(Secret::expose).collect();
    assert_eq!(keys, ["newer", "older"]);
    let printed = print(&config).unwrap();
    assert!(!printed.contains("newer"), "{printed}");
    let schema = schema::<Sample>();
    let bus = &schema["$defs"]["Bus"]["properties"];
    assert_eq!(bus["keys_file"]["type"], "string");
}

#[test]
fn lists_of_tables_are_treated_alike() {
    let secret = file("hunter2");
    let path = secret.path().to_str().unwrap();
    let text = format!("[[relays]]\nhost = 'a'\n[[relays]]\nhost = 'b'\npassword_file = '{path}'");
    let config = read(&text, &[], &[]).unwrap();
    assert_eq!(config.relays[1].password, Some(Secret::new("hunter2")));

    let text = "[[relays]]\nhost = 'a'\n[[relays]]\nport = 'x'\npassword = 271828\nprot = 1";
    assert_eq!(
        messages(read(text, &[], &[])),
        [
            "relays.1.host: is missing",
            "relays.1.password: expected a text",
            "relays.1.port: invalid type: string \"x\", expected u16",
            "relays.1.prot: unknown key, did you mean `port`?",
        ]
    );
}

#[test]
fn secrets_are_never_shown() {
    let mut config = Sample::default();
    config.bus.password = Secret::new("hunter2");
    let printed = print(&config).unwrap();
    assert!(
        printed.contains("password = \"[redacted]\"") && printed.contains("port = 4222"),
        "{printed}"
    );
    assert!(!format!("{config:?}").contains("hunter2"));

    let errors = read("[bus]\npassword = 271828", &[], &[])
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("bus.password") && !errors.contains("271828"),
        "{errors}"
    );
    let errors = read("[bus]\npassword = 'hunter2", &[], &[])
        .unwrap_err()
        .to_string();
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn the_schema_knows_files_of_secrets() {
    let schema = schema::<Sample>();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let bus = &schema["$defs"]["Bus"]["properties"];
    assert_eq!(bus["password"]["format"], "password");
    assert_eq!(bus["password_file"]["type"], "string");
    assert!(bus.get("url_file").is_none());
    assert!(open_objects::<Sample>().is_empty());
}

#[test]
fn structs_that_take_unknown_keys_are_found() {
    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Careless {
        key: u8,
    }
    assert_eq!(open_objects::<Careless>(), ["/"]);
}

#[test]
fn the_reference_lists_every_key() {
    let text = markdown::<Sample>();
    for line in [
        "| `colours` | list of string | `[\"blue\"]` | Colours \\| shades. |",
        "## `[bus]`",
        "| `port` | integer | `4222` | Its port. |",
        "| `mode` | `plain` or `tls` | `\"plain\"` | How it is spoken to. |",
        "| `password` | secret | `\"\"` | Its password. |",
        "| `limit` | integer |  | A limit, if any. |",
        "## `[accounts.<name>]`",
        "| `host` | string |  | The server. |",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
