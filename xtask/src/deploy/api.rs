//! The routes of the API: every service of the protos is reached, once, and nothing that is not there.
//!
//! A service that is added to a proto works on a laptop, where one process has all of them, and is nowhere on a cluster
//! until a route names it. Which role a route may lead to is asked of running roles (`deploy/checks/live.py`).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use walkdir::WalkDir;

use super::{
    evidence::Role,
    objects::{has, list, of_kind, text, title},
};

/// Where the JSON API is on its host.
const JSON: &str = "/v1/";

/// The services of all protos, by their full names.
pub(super) fn services(root: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in WalkDir::new(root.join("proto")) {
        let path = entry.context("cannot list the protos")?.into_path();
        if path.extension().is_some_and(|it| it == "proto") {
            found.extend(services_in(&std::fs::read_to_string(&path)?));
        }
    }
    ensure!(!found.is_empty(), "the protos have no service");
    Ok(found)
}

fn services_in(proto: &str) -> Vec<String> {
    let word = |line: &str, key: &str| {
        let rest = line.strip_prefix(key)?.trim();
        Some(rest.trim_end_matches([';', '{']).trim().to_owned())
    };
    let package = proto.lines().find_map(|line| word(line, "package "));
    proto
        .lines()
        .filter_map(|line| word(line, "service "))
        .map(|service| format!("{}.{service}", package.as_deref().unwrap_or_default()))
        .collect()
}

/// Services that a route forgets, and those that it names and nobody has.
pub(super) fn check(objects: &[Value], roles: &[Role], services: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let all_there = roles
        .iter()
        .filter(|role| role.grpc)
        .all(|role| has(objects, "Deployment", &format!("solmu-{}", role.name)));
    for route in of_kind(objects, "GRPCRoute") {
        let named = matches(route, |it| Some(text(it, "/method/service").to_owned()));
        compare(route, &named, all_there, services, &mut problems);
    }
    for route in of_kind(objects, "HTTPRoute") {
        let named = matches(route, |it| {
            let prefix = text(it, "/path/type") == "PathPrefix";
            let service = text(it, "/path/value").strip_prefix(JSON)?;
            prefix.then(|| service.to_owned())
        });
        if !named.is_empty() {
            compare(route, &named, all_there, services, &mut problems);
        }
    }
    problems
}

/// What the matches of a route name, and how often.
fn matches(route: &Value, name: impl Fn(&Value) -> Option<String>) -> BTreeMap<String, usize> {
    let mut named = BTreeMap::new();
    for rule in list(route, "/spec/rules") {
        for service in list(rule, "/matches").iter().filter_map(&name) {
            *named.entry(service).or_default() += 1;
        }
    }
    named
}

fn compare(
    route: &Value,
    named: &BTreeMap<String, usize>,
    all_there: bool,
    services: &BTreeSet<String>,
    problems: &mut Vec<String>,
) {
    let route = title(route);
    for (service, times) in named {
        if !services.contains(service) {
            problems.push(format!("{route} leads to '{service}', which no proto has"));
        }
        if *times > 1 {
            problems.push(format!("{route} leads to '{service}' {times} times"));
        }
    }
    for service in services {
        if all_there && !named.contains_key(service) {
            problems.push(format!("{route} leads nobody to '{service}'"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn route(kind: &str, matches: &Value) -> Value {
        json!({"kind": kind, "metadata": {"name": "solmu"}, "spec": {"rules": [{"matches": matches}]}})
    }

    fn found(route: Value) -> Vec<String> {
        let services = services_in("package solmu.a.v1;\nservice One {\n}\nservice Two {\n}\n");
        check(&[route], &[], &services.into_iter().collect())
    }

    #[test]
    fn every_service_is_reached_once() {
        let grpc = |names: &[&str]| {
            let it: Vec<Value> = names
                .iter()
                .map(|name| json!({"method": {"service": name}}))
                .collect();
            found(route("GRPCRoute", &json!(it)))
        };
        assert_eq!(
            grpc(&["solmu.a.v1.One", "solmu.a.v1.Two"]),
            Vec::<String>::new()
        );
        assert!(grpc(&["solmu.a.v1.One"])[0].contains("leads nobody to 'solmu.a.v1.Two'"));
        assert!(
            grpc(&["solmu.a.v1.One", "solmu.a.v1.Two", "solmu.a.v1.Two"])[0].contains("2 times")
        );
        assert!(grpc(&["solmu.a.v1.One", "solmu.a.v1.Two", "x.Y"])[0].contains("no proto has"));
    }

    #[test]
    fn the_same_holds_for_json_and_not_for_other_paths() {
        let http = |path: &str| {
            let it = json!([{"path": {"type": "PathPrefix", "value": path}}]);
            found(route("HTTPRoute", &it))
        };
        assert_eq!(http("/v1/solmu.a.v1.One").len(), 1);
        assert_eq!(http("/webhooks").len(), 0);
    }

    #[test]
    fn our_protos_have_services() {
        let services = services(&crate::workspace_root().unwrap()).unwrap();
        assert!(services.contains("solmu.ticket.v1.TicketService"));
        assert!(services.iter().all(|name| name.starts_with("solmu.")));
    }
}
