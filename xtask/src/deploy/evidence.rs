//! What each role really does on the network, read off its sources: what the manifests are compared with.
//!
//! A table kept by hand would be wrong the day after a role learned to speak to somebody new. The marks are words that a
//! crate cannot do the thing without.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result, ensure};

use crate::{check::of_service, source};

/// Crates below a connector that make its routes, and the role.
const SERVES_FOR: [(&str, &str); 1] = [("solmu-mailhooks", "email")];

/// A role and what its code does.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, compared one by one"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    /// Its name.
    pub(super) name: String,
    /// Serves HTTP for the outside.
    pub(super) http: bool,
    /// Where: the beginnings of its paths, e.g. `/forms` or `/webhooks/telegram`.
    pub(super) paths: BTreeSet<String>,
    /// Serves gRPC services of its own.
    pub(super) grpc: bool,
    /// Serves SMTP.
    pub(super) smtp: bool,
    /// Asks web servers of others.
    pub(super) web: bool,
    /// Sends or fetches mail.
    pub(super) mail: bool,
    /// Asks the ticket service.
    pub(super) asks_tickets: bool,
    /// Reads or writes the object store.
    pub(super) objects: bool,
}

/// Every role of `RoleName`, with what its crate shows.
pub(super) fn roles(root: &Path) -> Result<Vec<Role>> {
    let names = role_names(&std::fs::read_to_string(
        root.join("crates/solmu-runtime/src/runtime.rs"),
    )?)?;
    let sources = source::rust_sources(root)?;
    names
        .into_iter()
        .map(|name| {
            let own = format!("solmu-{name}");
            let folder = root.join(format!("crates/{own}"));
            let manifest = std::fs::read_to_string(folder.join("Cargo.toml"))
                .with_context(|| format!("role '{name}' has no crate of its name"))?;
            // What a role was cut into runs in it, and what serves routes for it.
            let mut crates = of_service(&own);
            crates.extend(
                SERVES_FOR
                    .iter()
                    .filter(|(_, role)| *role == name)
                    .map(|(it, _)| *it),
            );
            let code: Vec<&str> = sources
                .iter()
                .filter(|source| crates.contains(&source.krate().as_str()))
                .filter(|source| source.path.iter().any(|part| part == "src"))
                .filter(|source| !source.is_test())
                .map(|source| &source.text[..source.tests_start()])
                .collect();
            let says = |marks: &[&str]| {
                code.iter()
                    .any(|text| marks.iter().any(|mark| text.contains(mark)))
            };
            let depends = |crates: &[&str]| {
                crates
                    .iter()
                    .any(|it| manifest.contains(&format!("\n{it}.workspace")))
            };
            let paths: BTreeSet<String> = code.iter().flat_map(|text| paths(text)).collect();
            Ok(Role {
                http: !paths.is_empty(),
                paths,
                grpc: says(&["_server::"]),
                smtp: folder.join("src/smtp").is_dir(),
                web: says(&["reqwest::", "Fetcher"]),
                mail: depends(&["solmu-imap", "lettre"]),
                asks_tickets: says(&["tickets_endpoint"]),
                // Tickets keep the files of answers through what the binary gives them.
                objects: says(&["ObjectStore", "fn start_with_files"]),
                name,
            })
        })
        .collect()
}

/// The beginnings of the paths that a source serves: the first segment, and the vendor's after `/webhooks`.
fn paths(text: &str) -> Vec<String> {
    let routes = text.split(".route(").skip(1);
    let literals = routes.filter_map(|rest| {
        let path = rest.trim_start().strip_prefix("\"/")?;
        path.split_once('"').map(|(path, _)| path)
    });
    let begins = literals.map(|path| {
        let segments = if path.starts_with("webhooks/") { 2 } else { 1 };
        let kept: Vec<&str> = path.split('/').take(segments).collect();
        format!("/{}", kept.join("/"))
    });
    begins.collect()
}

/// The names that `RoleName::as_str` gives.
fn role_names(text: &str) -> Result<Vec<String>> {
    let body = text
        .split_once("pub const fn as_str(self)")
        .and_then(|(_, rest)| rest.split_once("\n    }\n"))
        .map(|(body, _)| body)
        .context("RoleName::as_str is not where it was")?;
    let names: Vec<String> = body
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    ensure!(!names.is_empty(), "RoleName has no names");
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_roles_are_read() {
        let text = "pub const fn as_str(self) -> &'static str {\n match self {\n Self::Email => \"email\",\n Self::Sla => \"sla\",\n }\n    }\n";
        assert_eq!(role_names(text).unwrap(), ["email", "sla"]);
        assert!(role_names("").is_err());
    }

    #[test]
    fn the_roles_of_today_do_what_we_know() {
        let root = crate::workspace_root().unwrap();
        let roles = roles(&root).unwrap();
        let role = |name: &str| roles.iter().find(|role| role.name == name).unwrap();
        assert!(role("email").smtp && role("email").mail && role("email").http);
        assert!(role("tickets").grpc && !role("tickets").web && role("tickets").objects);
        let of = |name: &str| role(name).paths.iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            of("tickets"),
            ["/t"],
            "public links are a crate of their own"
        );
        assert_eq!(of("social"), ["/webhooks/telegram", "/webhooks/whatsapp"]);
        assert_eq!(of("email").len(), 4, "{:?}", of("email"));
        assert_eq!((of("router").len(), of("sla").len()), (0, 0));
        assert!(role("router").asks_tickets && role("sla").asks_tickets);
        assert!(role("chat").http && !role("chat").web);
    }
}
