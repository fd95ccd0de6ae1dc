//! Network policies against what each role really connects to: nothing missing, and nothing more.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    evidence::Role,
    objects::{Workload, labels, list, of_kind, selects, text, title, workloads},
};

/// Ports of mail servers, one of which shows that mail may go out.
const MAIL_PORTS: [u64; 2] = [25, 993];
/// Networks that nothing which a customer provokes may reach.
const INSIDE: [&str; 5] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "127.0.0.0/8",
];

/// Where the policies differ from what the roles do.
pub(super) fn check(objects: &[Value], roles: &[Role]) -> Vec<String> {
    let mut problems = Vec::new();
    let workloads = workloads(objects);
    for workload in &workloads {
        if text(workload.object, "/kind") != "Deployment" {
            continue;
        }
        match roles.iter().find(|role| role.name == workload.component()) {
            Some(role) => ports(workload, role, &mut problems),
            None => problems.push(format!(
                "{} runs no role that the program has",
                workload.title
            )),
        }
    }
    let policies = of_kind(objects, "NetworkPolicy");
    if policies.is_empty() {
        return problems;
    }
    for workload in &workloads {
        let over: Vec<&Value> = policies
            .iter()
            .copied()
            .filter(|policy| {
                selects(
                    &labels(policy, "/spec/podSelector/matchLabels"),
                    &workload.labels,
                )
            })
            .collect();
        denied_by_default(workload, &over, &mut problems);
        if let Some(role) = roles.iter().find(|role| role.name == workload.component()) {
            flows(workload, role, &over, &mut problems);
        } else if workload.component() == "jobs" {
            engines(workload, &egress_ports(&over), &mut problems);
        }
    }
    for policy in policies {
        inside_is_spared(policy, &mut problems);
    }
    problems
}

/// Everybody who is not named is kept out, in both directions.
fn denied_by_default(workload: &Workload<'_>, over: &[&Value], problems: &mut Vec<String>) {
    for direction in ["Ingress", "Egress"] {
        let covered = over.iter().any(|policy| {
            list(policy, "/spec/policyTypes")
                .iter()
                .any(|it| it == direction)
        });
        if !covered {
            problems.push(format!(
                "{}: no policy limits its {direction}",
                workload.title
            ));
        }
    }
}

fn ports(workload: &Workload<'_>, role: &Role, problems: &mut Vec<String>) {
    for (name, wanted) in [("http", role.http), ("smtp", role.smtp), ("admin", true)] {
        if workload.has_port(&Value::from(name)) != wanted {
            let verb = if wanted { "serves" } else { "does not serve" };
            problems.push(format!(
                "{}: the role {verb} '{name}', and the container says otherwise",
                workload.title
            ));
        }
    }
    let shares = list(workload.pod, "/volumes")
        .iter()
        .any(|volume| volume.get("persistentVolumeClaim").is_some());
    if shares != role.objects {
        problems.push(format!(
            "{}: the role {} the object store, and its volumes say otherwise",
            workload.title,
            if role.objects { "uses" } else { "does not use" }
        ));
    }
}

fn flows(workload: &Workload<'_>, role: &Role, over: &[&Value], problems: &mut Vec<String>) {
    let open: BTreeSet<String> = rules(over, "/spec/ingress")
        .flat_map(|rule| list(rule, "/ports"))
        .map(|port| port.get("port").unwrap_or(&Value::Null).to_string())
        .collect();
    for (name, wanted) in [
        ("admin", true),
        ("http", role.http),
        ("smtp", role.smtp),
        ("grpc", role.grpc),
    ] {
        if open.contains(&format!("\"{name}\"")) != wanted {
            let verb = if wanted {
                "keep callers from"
            } else {
                "let callers to"
            };
            problems.push(format!("{}: its policies {verb} '{name}'", workload.title));
        }
    }
    let out = egress_ports(over);
    engines(workload, &out, problems);
    let public = public_ports(over);
    for (what, ports, wanted) in [
        ("web servers", &[443][..], role.web),
        ("mail servers", &MAIL_PORTS[..], role.mail),
    ] {
        if ports.iter().any(|port| public.contains(port)) != wanted {
            let verb = if wanted { "needs" } else { "does not need" };
            problems.push(format!(
                "{}: the role {verb} {what} outside, and its policies say otherwise",
                workload.title
            ));
        }
    }
    let asks = rules(over, "/spec/egress").any(|rule| {
        list(rule, "/ports")
            .iter()
            .any(|port| port.get("port") == Some(&Value::from("grpc")))
    });
    if asks != role.asks_tickets {
        problems.push(format!(
            "{}: its way to the ticket service is not what the role needs",
            workload.title
        ));
    }
}

fn engines(workload: &Workload<'_>, out: &BTreeSet<u64>, problems: &mut Vec<String>) {
    for (what, port) in [("name servers", 53), ("PostgreSQL", 5432), ("NATS", 4222)] {
        if !out.contains(&port) {
            problems.push(format!("{} cannot reach {what}", workload.title));
        }
    }
}

fn rules<'a>(policies: &'a [&'a Value], pointer: &'a str) -> impl Iterator<Item = &'a Value> {
    policies
        .iter()
        .flat_map(move |policy| list(policy, pointer))
}

fn numbers(rule: &Value) -> impl Iterator<Item = u64> {
    list(rule, "/ports")
        .iter()
        .filter_map(|port| port.get("port")?.as_u64())
}

fn egress_ports(policies: &[&Value]) -> BTreeSet<u64> {
    rules(policies, "/spec/egress").flat_map(numbers).collect()
}

/// Ports that may be reached on public addresses.
fn public_ports(policies: &[&Value]) -> BTreeSet<u64> {
    rules(policies, "/spec/egress")
        .filter(|rule| {
            list(rule, "/to")
                .iter()
                .any(|peer| text(peer, "/ipBlock/cidr") == "0.0.0.0/0")
        })
        .flat_map(numbers)
        .collect()
}

/// A way to the whole world must not be a way to the cluster and its cloud; and no egress rule may name nobody.
fn inside_is_spared(policy: &Value, problems: &mut Vec<String>) {
    for rule in list(policy, "/spec/egress") {
        if list(rule, "/to").is_empty() || list(rule, "/ports").is_empty() {
            problems.push(format!("{} lets everything out", title(policy)));
        }
        for peer in list(rule, "/to") {
            if text(peer, "/ipBlock/cidr") != "0.0.0.0/0" {
                continue;
            }
            let except = list(peer, "/ipBlock/except");
            for network in INSIDE {
                if !except.iter().any(|it| it == network) {
                    problems.push(format!("{} lets requests to {network}", title(policy)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role() -> Role {
        Role {
            name: "email".to_owned(),
            http: false,
            grpc: false,
            smtp: true,
            web: true,
            mail: false,
            asks_tickets: false,
            objects: false,
        }
    }

    fn objects() -> Vec<Value> {
        let mut objects = super::super::wiring::sample();
        let selector = json!({"matchLabels": {"app.kubernetes.io/component": "email"}});
        objects.push(json!({"kind": "NetworkPolicy", "metadata": {"name": "solmu-email"}, "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"port": "admin"}, {"port": "smtp"}]}],
            "egress": [
                {"to": [{"podSelector": {}}], "ports": [{"port": 53}, {"port": 5432}, {"port": 4222}]},
                {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": INSIDE}}], "ports": [{"port": 443}]}
            ]
        }}));
        objects
    }

    #[test]
    fn what_the_role_does_is_what_the_policy_lets() {
        assert_eq!(check(&objects(), &[role()]), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_found() {
        let mut mail = role();
        mail.mail = true;
        assert!(check(&objects(), &[mail])[0].contains("needs mail servers"));
        let mut quiet = role();
        quiet.web = false;
        assert!(check(&objects(), &[quiet])[0].contains("does not need web servers"));
        let mut without = objects();
        without[4]["spec"]["egress"][0]["ports"] = json!([{"port": 53}, {"port": 5432}]);
        assert!(check(&without, &[role()])[0].contains("cannot reach NATS"));
        let mut wide = objects();
        wide[4]["spec"]["egress"][1]["to"][0]["ipBlock"]["except"] = json!([]);
        assert_eq!(check(&wide, &[role()]).len(), INSIDE.len());
        let mut unnamed = role();
        unnamed.name = "post".to_owned();
        assert!(check(&objects(), &[unnamed])[0].contains("runs no role"));
    }
}
