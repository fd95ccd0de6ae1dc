//! What a configuration of accounts may say.

use solmu_runtime::config::Secret;

use super::*;

fn signer() -> Signer {
    Signer::new([("a".to_owned(), vec![1; 32])]).unwrap()
}

fn account(name: &str, addresses: &[&str]) -> AccountConfig {
    AccountConfig {
        name: name.to_owned(),
        addresses: addresses
            .iter()
            .map(|address| (*address).to_owned())
            .collect(),
        ..AccountConfig::default()
    }
}

fn accounts(list: Vec<AccountConfig>) -> Result<Accounts, ConfigErrors> {
    Accounts::new(
        &Config {
            accounts: list,
            ..Config::default()
        },
        &signer(),
    )
}

#[test]
fn tags_and_case_find_the_account() {
    let mut tagged = account("b", &["b+c@desk.example"]);
    tagged.reply_address = Some("r@desk.example".to_owned());
    let accounts = accounts(vec![account("main", &["Support@Desk.example"]), tagged]).unwrap();
    let find = |text: &str| {
        accounts
            .resolve(&Address::parse(text).unwrap())
            .map(|account| account.name.as_str())
    };
    assert_eq!(find("support@desk.example"), Some("main"));
    assert_eq!(find("SUPPORT+t.abc@DESK.example"), Some("main"));
    assert_eq!(find("b+c@desk.example"), Some("b"));
    assert_eq!(find("b@desk.example"), None);
    assert_eq!(find("support@other.example"), None);
    assert_eq!(accounts.hostname(), "desk.example");
    assert!(accounts.default_account().is_none());
}

#[test]
fn all_errors_come_at_once() {
    let mut relayed = account("ok", &["a@d.example"]);
    relayed.relay = Some(RelayConfig {
        host: "relay.example".to_owned(),
        tls: Tls::None,
        username: "u".to_owned(),
        password: Secret::new("p"),
        ..RelayConfig::default()
    });
    let long = account("long", &["a-very-long-local-part@d.example"]);
    let list = vec![
        relayed,
        account("ok", &["a@d.example"]),
        account("Bad!", &["x"]),
        account("none", &[]),
        long,
    ];
    let errors = accounts(list).unwrap_err().0;
    assert!(errors.contains(&ConfigError::PasswordInTheClear("account 'ok'".to_owned())));
    assert!(errors.contains(&ConfigError::DuplicateName("ok".to_owned())));
    assert!(errors.contains(&ConfigError::DuplicateAddress("a@d.example".to_owned())));
    assert!(errors.contains(&ConfigError::BadName("Bad!".to_owned())));
    assert!(errors.contains(&ConfigError::NoAddresses("none".to_owned())));
    assert!(
        errors
            .iter()
            .any(|error| matches!(error, ConfigError::BadAddress { .. }))
    );
    assert!(
        errors
            .iter()
            .any(|error| matches!(error, ConfigError::ReplyAddress { .. }))
    );
    assert_eq!(
        accounts(Vec::new()).unwrap_err().0,
        [ConfigError::NoAccounts]
    );
}

#[test]
fn a_long_name_can_have_a_short_reply_address() {
    let mut long = account("long", &["a-very-long-local-part@d.example"]);
    long.reply_address = Some("r@d.example".to_owned());
    let accounts = accounts(vec![long]).unwrap();
    assert!(
        accounts
            .resolve(&Address::parse("r+t.x@d.example").unwrap())
            .is_some()
    );
}
