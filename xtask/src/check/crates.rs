//! Which crate may depend on which.
//!
//! Services talk by events and gRPC, so that each can be deployed, changed and understood alone; a chain of crates
//! stays short, so that a change near its foot does not compile everything one after the other.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Project;
use crate::process;

/// Crates that never depend on each other, not even through a third one.
const SERVICES: [&str; 10] = [
    "solmu-email",
    "solmu-chat",
    "solmu-social",
    "solmu-forms",
    "solmu-phone",
    "solmu-tickets",
    "solmu-router",
    "solmu-sla",
    "solmu-automation",
    "solmu-insight",
];

/// Parts of a service in a crate of their own, and the service: they write its tables, so nobody else uses them.
const PARTS: [(&str, &str); 1] = [("solmu-contacts", "solmu-tickets")];

/// Parts of a service below it, and the service: it is put together from them, and nobody but its parts uses them.
const PARTS_BELOW: [(&str, &str); 6] = [
    ("solmu-ticketstore", "solmu-tickets"),
    ("solmu-ticketsearch", "solmu-tickets"),
    ("solmu-ticketwork", "solmu-tickets"),
    ("solmu-ticketmerge", "solmu-tickets"),
    ("solmu-filing", "solmu-tickets"),
    ("solmu-roster", "solmu-router"),
];

/// Parts of a service above it, and the service: they use it, what is below it, and each other, and besides only the binary uses them. In a chain these and those
/// below count as one crate with their service, because they were cut out of it: no build gets longer by that.
const PARTS_ABOVE: [(&str, &str); 3] = [
    ("solmu-desk", "solmu-tickets"),
    ("solmu-publiclink", "solmu-tickets"),
    ("solmu-requester", "solmu-tickets"),
];

/// The crates that make up a service: its own, and the parts that it was cut into.
pub(crate) fn of_service(service: &str) -> Vec<&str> {
    let parts = PARTS.into_iter().chain(PARTS_BELOW).chain(PARTS_ABOVE);
    let parts = parts.filter(|(_, owner)| *owner == service);
    std::iter::once(service)
        .chain(parts.map(|(part, _)| part))
        .collect()
}

/// The binary: nothing depends on it.
const BINARY: &str = "solmu";

/// What only tests use.
const TESTKIT: &str = "solmu-testkit";

/// Crates without IO, and what would give them some.
const PURE: [&str; 5] = [
    "solmu-domain",
    "solmu-proto",
    "solmu-conditions",
    "solmu-identity",
    "solmu-matching",
];
const IO: [&str; 5] = ["tokio", "async-nats", "reqwest", "axum", "solmu-db"];

/// Crates in the longest chain of dependencies.
const LONGEST_CHAIN: usize = 6;

/// Dependencies of each crate of the workspace.
#[derive(Debug, Default)]
struct Graph {
    /// What the crate is built with.
    normal: BTreeMap<String, Vec<String>>,
    /// What its tests need on top.
    dev: BTreeMap<String, Vec<String>>,
}

/// Dependencies that point the wrong way, and chains that are too long.
pub(super) fn check(project: &Project<'_>) -> Result<Vec<String>> {
    let mut command = process::cargo(project.root);
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata = serde_json::from_str(&process::output_of(&mut command)?)?;
    let graph = graph_of(&metadata)?;
    Ok(problems_of(&graph))
}

fn graph_of(metadata: &Value) -> Result<Graph> {
    let mut graph = Graph::default();
    for package in metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?
    {
        let name = package["name"].as_str().context("a crate has no name")?;
        graph.normal.entry(name.to_owned()).or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let of_kind = match dependency["kind"].as_str() {
                Some("dev") => &mut graph.dev,
                _ => &mut graph.normal,
            };
            let dependency = dependency["name"].as_str().unwrap_or_default();
            of_kind
                .entry(name.to_owned())
                .or_default()
                .push(dependency.to_owned());
        }
    }
    Ok(graph)
}

fn problems_of(graph: &Graph) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, dependencies) in graph.normal.iter().chain(&graph.dev) {
        for dependency in dependencies {
            if dependency == BINARY {
                problems.push(format!("{name} depends on the binary"));
            }
        }
    }
    for (name, dependencies) in &graph.normal {
        if name != "solmu-e2e" && dependencies.iter().any(|name| name == TESTKIT) {
            problems.push(format!("{name} depends on {TESTKIT} outside of its tests"));
        }
        for io in IO {
            if PURE.contains(&name.as_str()) && dependencies.iter().any(|name| name == io) {
                problems.push(format!("{name} does no IO, but depends on {io}"));
            }
        }
    }
    for service in SERVICES {
        let tests = graph.dev.get(service).into_iter().flatten();
        for dependency in graph.normal.get(service).into_iter().flatten().chain(tests) {
            for path in paths_to_services(graph, dependency) {
                problems.push(format!(
                    "a service depends on a service: {service} -> {path}"
                ));
            }
        }
    }
    for (part, owner) in PARTS.into_iter().chain(PARTS_BELOW) {
        for (name, dependencies) in graph.normal.iter().chain(&graph.dev) {
            let own = (name.as_str(), owner);
            let is_its_own =
                name == owner || PARTS_BELOW.contains(&own) || PARTS_ABOVE.contains(&own);
            if !is_its_own && dependencies.iter().any(|it| it == part) {
                problems.push(format!("{name} depends on {part}, a part of {owner}"));
            }
        }
        for dependency in graph.normal.get(part).into_iter().flatten() {
            for path in paths_to_services(graph, dependency) {
                problems.push(format!("a part depends on a service: {part} -> {path}"));
            }
        }
    }
    for (part, owner) in PARTS_ABOVE {
        for (name, dependencies) in graph.normal.iter().chain(&graph.dev) {
            let is_its_own = PARTS_ABOVE.contains(&(name.as_str(), owner));
            if name != BINARY && !is_its_own && dependencies.iter().any(|it| it == part) {
                problems.push(format!("{name} depends on {part}, a part of {owner}"));
            }
        }
        let below = graph.normal.get(part).into_iter().flatten();
        let is_its_own = |it: &str| it == owner || PARTS_ABOVE.contains(&(it, owner));
        for dependency in below.filter(|it| !is_its_own(it)) {
            for path in paths_to_services(graph, dependency) {
                problems.push(format!(
                    "a part depends on another service: {part} -> {path}"
                ));
            }
        }
    }
    let chain = longest_chain(graph);
    if links(&chain) > LONGEST_CHAIN {
        problems.push(format!(
            "a chain of {} crates (at most {LONGEST_CHAIN}): {}",
            links(&chain),
            chain.join(" -> ")
        ));
    }
    problems
}

/// Ways from `name` to a service, itself included.
fn paths_to_services(graph: &Graph, name: &str) -> Vec<String> {
    if SERVICES.contains(&name) {
        return vec![name.to_owned()];
    }
    let below = graph.normal.get(name).into_iter().flatten();
    below
        .flat_map(|next| paths_to_services(graph, next))
        .map(|path| format!("{name} -> {path}"))
        .collect()
}

fn longest_chain(graph: &Graph) -> Vec<String> {
    let mut known = BTreeMap::new();
    graph
        .normal
        .keys()
        .map(|name| chain_from(graph, name, &mut known))
        .max_by_key(|chain| links(chain))
        .unwrap_or_default()
}

/// How long a chain counts.
fn links(chain: &[String]) -> usize {
    let parts = PARTS_BELOW.iter().chain(&PARTS_ABOVE);
    let is_cut_out = |name: &&String| parts.clone().any(|(part, _)| part == name);
    chain.len() - chain.iter().filter(is_cut_out).count()
}

/// The longest chain that starts at `name`. Cargo allows no cycles, so this ends.
fn chain_from(graph: &Graph, name: &str, known: &mut BTreeMap<String, Vec<String>>) -> Vec<String> {
    if let Some(chain) = known.get(name) {
        return chain.clone();
    }
    let mut chain = vec![name.to_owned()];
    let below = graph.normal.get(name).into_iter().flatten();
    let longest = below
        .filter(|next| graph.normal.contains_key(*next))
        .map(|next| chain_from(graph, next, known))
        .max_by_key(|chain| links(chain));
    chain.extend(longest.unwrap_or_default());
    known.insert(name.to_owned(), chain.clone());
    chain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph(edges: &[(&str, &str, Option<&str>)]) -> Graph {
        let packages: Vec<Value> = edges
            .iter()
            .map(|(from, to, kind)| json!({"name": from, "dependencies": [{"name": to, "kind": kind}]}))
            .chain(
                edges
                    .iter()
                    .map(|(_, to, _)| json!({"name": to, "dependencies": []})),
            )
            .collect();
        graph_of(&json!({ "packages": packages })).unwrap()
    }

    #[test]
    fn a_good_graph_has_no_problems() {
        let graph = graph(&[
            ("solmu", "solmu-email", None),
            ("solmu-email", "solmu-connector", None),
            ("solmu-email", "solmu-testkit", Some("dev")),
            ("solmu-domain", "tokio", Some("dev")),
            ("solmu-tickets", "solmu-filing", None),
            ("solmu-filing", "solmu-ticketstore", None),
            ("solmu-filing", "solmu-contacts", None),
            ("solmu-requester", "solmu-desk", None),
            ("solmu-desk", "solmu-tickets", None),
        ]);
        assert_eq!(problems_of(&graph), Vec::<String>::new());
    }

    #[test]
    fn wrong_directions_are_found() {
        for (edges, expected) in [
            (
                vec![
                    ("solmu-email", "solmu-web", None),
                    ("solmu-web", "solmu-sla", None),
                ],
                "a service depends on a service: solmu-email -> solmu-web -> solmu-sla",
            ),
            (
                vec![("solmu-sla", "solmu-router", Some("dev"))],
                "a service depends on a service: solmu-sla -> solmu-router",
            ),
            (
                vec![("solmu-e2e", "solmu", Some("dev"))],
                "solmu-e2e depends on the binary",
            ),
            (
                vec![("solmu-db", "solmu-testkit", None)],
                "solmu-db depends on solmu-testkit outside of its tests",
            ),
            (
                vec![("solmu-router", "solmu-contacts", None)],
                "solmu-router depends on solmu-contacts, a part of solmu-tickets",
            ),
            (
                vec![("solmu-contacts", "solmu-sla", None)],
                "a part depends on a service: solmu-contacts -> solmu-sla",
            ),
            (
                vec![("solmu-bench", "solmu-ticketstore", None)],
                "solmu-bench depends on solmu-ticketstore, a part of solmu-tickets",
            ),
            (
                vec![("solmu-filing", "solmu-router", None)],
                "a part depends on a service: solmu-filing -> solmu-router",
            ),
            (
                vec![("solmu-cli", "solmu-desk", None)],
                "solmu-cli depends on solmu-desk, a part of solmu-tickets",
            ),
            (
                vec![
                    ("solmu-desk", "solmu-tickets", None),
                    ("solmu-desk", "solmu-sla", None),
                ],
                "a part depends on another service: solmu-desk -> solmu-sla",
            ),
            (
                vec![("solmu-domain", "tokio", None)],
                "solmu-domain does no IO, but depends on tokio",
            ),
        ] {
            assert_eq!(problems_of(&graph(&edges)), [expected]);
        }
    }

    #[test]
    fn long_chains_are_found() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let edges: Vec<_> = names
            .windows(2)
            .map(|pair| (pair[0], pair[1], None))
            .collect();
        assert_eq!(problems_of(&graph(&edges[..5])), Vec::<String>::new());
        let cut = ["solmu", "solmu-desk", "solmu-tickets", "d", "e", "f", "g"];
        let cut: Vec<_> = cut
            .windows(2)
            .map(|pair| (pair[0], pair[1], None))
            .collect();
        assert_eq!(problems_of(&graph(&cut)), Vec::<String>::new());
        assert_eq!(
            problems_of(&graph(&edges)),
            ["a chain of 7 crates (at most 6): a -> b -> c -> d -> e -> f -> g"]
        );
    }
}
