//! Network policies against what each role really connects to: nothing missing, and nothing more.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    evidence::Role,
    objects::{Labels, Workload, labels, list, of_kind, selects, text, title, workloads},
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
    led(objects, &workloads, roles, &mut problems);
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
            flows(workload, role, signs_in(objects), &over, &mut problems);
            told_to_ask(workload, role, &workloads, &policies, &mut problems);
        } else if workload.component() == "jobs" {
            engines(workload, &egress_ports(&over), &mut problems);
        }
    }
    for policy in policies {
        inside_is_spared(policy, &mut problems);
        callers_are_named(policy, &mut problems);
    }
    problems
}

/// What a role serves for the outside must be led to it, and nothing that it does not serve.
fn led(objects: &[Value], workloads: &[Workload<'_>], roles: &[Role], problems: &mut Vec<String>) {
    for (route, paths) in routes(objects) {
        for workload in workloads {
            let role = roles.iter().find(|role| role.name == workload.component());
            let Some(role) = role.filter(|_| text(workload.object, "/kind") == "Deployment") else {
                continue;
            };
            let name = text(workload.object, "/metadata/name");
            let there = paths.iter().filter(|(_, to)| to == name);
            let there: BTreeSet<&str> = there.map(|(path, _)| path.as_str()).collect();
            let wanted: BTreeSet<&str> = role.paths.iter().map(String::as_str).collect();
            for path in wanted.symmetric_difference(&there) {
                let what = if wanted.contains(path) {
                    "does not lead"
                } else {
                    "leads what it does not serve"
                };
                problems.push(format!("{route} {what} to {name}: {path}"));
            }
        }
    }
}

/// The paths of each Ingress and of each HTTPRoute for the outside (not those of the API), and the Service that each leads to.
fn routes(objects: &[Value]) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    for ingress in of_kind(objects, "Ingress") {
        let paths = list(ingress, "/spec/rules")
            .iter()
            .flat_map(|rule| list(rule, "/http/paths"));
        let paths = paths.map(|it| {
            let to = text(it, "/backend/service/name").to_owned();
            (text(it, "/path").to_owned(), to)
        });
        found.push((title(ingress), paths.collect()));
    }
    for route in of_kind(objects, "HTTPRoute") {
        let mut paths = Vec::new();
        for rule in list(route, "/spec/rules") {
            let to = list(rule, "/backendRefs").first();
            let to = to.map(|it| text(it, "/name")).unwrap_or_default();
            let matches = list(rule, "/matches").iter();
            paths.extend(matches.map(|it| (text(it, "/path/value").to_owned(), to.to_owned())));
        }
        if !paths.iter().any(|(path, _)| path.starts_with("/v1")) {
            found.push((title(route), paths));
        }
    }
    found
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
    // The JSON API is the gRPC API of the role in another form.
    for (name, wanted) in [
        ("http", role.http),
        ("smtp", role.smtp),
        ("admin", true),
        ("api", role.grpc),
    ] {
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

/// Whether people sign in by a provider of identities, whose keys are fetched by whoever serves the API.
fn signs_in(objects: &[Value]) -> bool {
    of_kind(objects, "ConfigMap").iter().any(|map| {
        let config = text(map, "/data/solmu.toml").parse::<toml::Table>();
        let issuer = config.ok().and_then(|config| {
            let issuer = config.get("access")?.get("oidc")?.get("issuer")?;
            Some(issuer.as_str()?.to_owned())
        });
        issuer.is_some_and(|issuer| !issuer.is_empty())
    })
}

/// What asks for the sake of callers of the API; who serves none never asks, and is told only because it would not start.
const FOR_CALLERS: &str = "SOLMU__ACCESS__ROSTER_ENDPOINT";

/// A role that is told where another one is (`..._ENDPOINT`) must reach it, and be let in there.
fn told_to_ask(
    workload: &Workload<'_>,
    role: &Role,
    workloads: &[Workload<'_>],
    policies: &[&Value],
    problems: &mut Vec<String>,
) {
    let over = |pods: &Labels| -> Vec<&Value> {
        let covers =
            |policy: &&Value| selects(&labels(policy, "/spec/podSelector/matchLabels"), pods);
        policies.iter().copied().filter(covers).collect()
    };
    let told = workload
        .containers()
        .flat_map(|container| list(container, "/env"))
        .filter(|it| text(it, "/name").ends_with("_ENDPOINT"))
        .filter(|it| role.grpc || text(it, "/name") != FOR_CALLERS)
        .filter_map(|it| {
            text(it, "/value")
                .strip_prefix("http://")?
                .split(':')
                .next()
        });
    for name in told {
        let other = workloads
            .iter()
            .find(|it| text(it.object, "/metadata/name") == name);
        let Some(other) = other else {
            problems.push(format!(
                "{}: is told to ask '{name}', which is not there",
                workload.title
            ));
            continue;
        };
        let there = names_pods(
            &over(&workload.labels),
            "/spec/egress",
            "/to",
            &other.labels,
        );
        let back = names_pods(
            &over(&other.labels),
            "/spec/ingress",
            "/from",
            &workload.labels,
        );
        if !there || !back {
            problems.push(format!(
                "{}: is told to ask '{name}', and the policies keep it away",
                workload.title
            ));
        }
    }
}

/// Whether a rule for gRPC names the pods with these labels.
fn names_pods(policies: &[&Value], rules_at: &str, peers: &str, pods: &Labels) -> bool {
    rules(policies, rules_at)
        .filter(|rule| {
            list(rule, "/ports")
                .iter()
                .any(|port| port.get("port") == Some(&Value::from("grpc")))
        })
        .flat_map(|rule| list(rule, peers))
        .any(|peer| {
            let selector = labels(peer, "/podSelector/matchLabels");
            !selector.is_empty() && selects(&selector, pods)
        })
}

fn flows(
    workload: &Workload<'_>,
    role: &Role,
    signs_in: bool,
    over: &[&Value],
    problems: &mut Vec<String>,
) {
    let open: BTreeSet<String> = rules(over, "/spec/ingress")
        .flat_map(|rule| list(rule, "/ports"))
        .map(|port| port.get("port").unwrap_or(&Value::Null).to_string())
        .collect();
    for (name, wanted) in [
        ("admin", true),
        ("http", role.http),
        ("smtp", role.smtp),
        ("grpc", role.grpc),
        ("api", role.grpc),
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
        (
            "web servers",
            &[443][..],
            role.web || (signs_in && role.grpc),
        ),
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
    let component = "app.kubernetes.io/component".to_owned();
    let asks = rules(over, "/spec/egress")
        .flat_map(|rule| list(rule, "/to"))
        .any(|peer| {
            labels(peer, "/podSelector/matchLabels")
                .get(&component)
                .is_some_and(|it| it == "tickets")
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

/// A rule without `from`, and one with an empty list there, lets in everybody.
fn callers_are_named(policy: &Value, problems: &mut Vec<String>) {
    for rule in list(policy, "/spec/ingress") {
        if list(rule, "/from").is_empty() || list(rule, "/ports").is_empty() {
            problems.push(format!("{} lets everybody in", title(policy)));
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
            paths: BTreeSet::new(),
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
            "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": "admin"}, {"port": "smtp"}]}],
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
    fn who_is_told_to_ask_must_get_there() {
        let mut told = objects();
        told[0]["spec"]["template"]["spec"]["containers"][0]["env"] =
            json!([{"name": "SOLMU__X__TICKETS_ENDPOINT", "value": "http://solmu-router:7310"}]);
        assert!(check(&told, &[role()])[0].contains("which is not there"));
        let mut router = told[0].clone();
        let labels = json!({"app.kubernetes.io/component": "router"});
        router["metadata"]["name"] = json!("solmu-router");
        router["spec"]["template"]["metadata"]["labels"] = labels.clone();
        told.push(router);
        let of = |objects: &[Value]| {
            let found = check(objects, &[role()]);
            found
                .iter()
                .filter(|it| it.contains("keep it away"))
                .count()
        };
        assert_eq!(of(&told), 1);
        let grpc = json!([{"port": "grpc"}]);
        let email = json!({"app.kubernetes.io/component": "email"});
        told[4]["spec"]["egress"][0] =
            json!({"to": [{"podSelector": {"matchLabels": labels}}], "ports": grpc});
        assert_eq!(of(&told), 1, "it is not let in");
        told.push(
            json!({"kind": "NetworkPolicy", "metadata": {"name": "solmu-router"}, "spec": {
                "podSelector": {"matchLabels": labels},
                "ingress": [{"from": [{"podSelector": {"matchLabels": email}}], "ports": grpc}]
            }}),
        );
        assert_eq!(of(&told), 0);
    }

    #[test]
    fn who_serves_people_that_sign_in_fetches_keys() {
        let mut objects = objects();
        let config = "[access.oidc]\nissuer = \"https://login.example\"\n";
        objects.push(
            json!({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"solmu.toml": config}}),
        );
        assert!(signs_in(&objects));
        let mut api = role();
        (api.grpc, api.web) = (true, false);
        let found = check(&objects, &[api.clone()]);
        assert!(
            !found.iter().any(|it| it.contains("web servers")),
            "{found:?}"
        );
        objects.pop();
        let found = check(&objects, &[api]);
        assert!(
            found
                .iter()
                .any(|it| it.contains("does not need web servers"))
        );
    }

    #[test]
    fn what_a_role_serves_is_led_to_it() {
        let mut role = role();
        role.http = true;
        role.paths = [("/t".to_owned())].into();
        let of = |paths: &Value| {
            let mut objects = objects();
            let name = text(&objects[0], "/metadata/name").to_owned();
            let paths: Vec<Value> = list(paths, "")
                .iter()
                .map(|path| json!({"path": path, "backend": {"service": {"name": name}}}))
                .collect();
            objects.push(
                json!({"kind": "Ingress", "metadata": {"name": "i"}, "spec": {
                "rules": [{"http": {"paths": paths}}]}}),
            );
            let found = check(&objects, std::slice::from_ref(&role));
            found.iter().filter(|it| it.contains("lead")).count()
        };
        assert_eq!(of(&json!(["/t"])), 0);
        assert_eq!(of(&json!([])), 1, "nobody gets there");
        assert_eq!(of(&json!(["/t", "/x"])), 1, "nobody is there");
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
        let mut open = objects();
        for from in [json!([]), Value::Null] {
            open[4]["spec"]["ingress"][0]["from"] = from;
            let found = check(&open, &[role()]);
            assert_eq!(found, ["NetworkPolicy/solmu-email lets everybody in"]);
        }
        let mut unnamed = role();
        unnamed.name = "post".to_owned();
        assert!(check(&objects(), &[unnamed])[0].contains("runs no role"));
    }
}
