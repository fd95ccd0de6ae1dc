//! Names that must meet: ports, selectors, mounts, targets of scaling and of disruption budgets, backends of routes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::objects::{Workload, has, labels, list, of_kind, selects, text, title, workloads};

/// Everything that points nowhere in a rendering.
pub(super) fn check(objects: &[Value]) -> Vec<String> {
    let workloads = workloads(objects);
    let mut problems = Vec::new();
    services(objects, &workloads, &mut problems);
    selectors(objects, &workloads, &mut problems);
    for workload in &workloads {
        mounts(objects, workload, &mut problems);
        probes(workload, &mut problems);
    }
    scaling(objects, &workloads, &mut problems);
    routes(objects, &mut problems);
    monitors(objects, &mut problems);
    names(objects, &mut problems);
    problems
}

fn services(objects: &[Value], workloads: &[Workload<'_>], problems: &mut Vec<String>) {
    for service in of_kind(objects, "Service") {
        let selector = labels(service, "/spec/selector");
        let behind: Vec<_> = workloads
            .iter()
            .filter(|workload| !selector.is_empty() && selects(&selector, &workload.labels))
            .collect();
        if behind.len() != 1 {
            problems.push(format!(
                "{} has {} workloads behind it and not one",
                title(service),
                behind.len()
            ));
            continue;
        }
        for port in list(service, "/spec/ports") {
            let target = port.get("targetPort").or_else(|| port.get("port"));
            if !target.is_some_and(|target| behind[0].has_port(target)) {
                problems.push(format!(
                    "{}: {} has no port {}",
                    title(service),
                    behind[0].title,
                    target.unwrap_or(&Value::Null)
                ));
            }
        }
    }
}

/// A workload must select its own pods and no others.
fn selectors(objects: &[Value], workloads: &[Workload<'_>], problems: &mut Vec<String>) {
    for workload in workloads {
        if matches!(text(workload.object, "/kind"), "CronJob" | "Job" | "Pod") {
            continue;
        }
        let selector = labels(workload.object, "/spec/selector/matchLabels");
        for other in workloads {
            let itself = std::ptr::eq(other.object, workload.object);
            if selects(&selector, &other.labels) != itself {
                problems.push(format!(
                    "{} selects pods of {} wrongly",
                    workload.title, other.title
                ));
            }
        }
        for constraint in list(workload.pod, "/topologySpreadConstraints") {
            if !selects(
                &labels(constraint, "/labelSelector/matchLabels"),
                &workload.labels,
            ) {
                problems.push(format!("{}: its spread counts other pods", workload.title));
            }
        }
    }
    for kind in ["PodDisruptionBudget", "NetworkPolicy"] {
        for object in of_kind(objects, kind) {
            let at = if kind == "NetworkPolicy" {
                "/spec/podSelector/matchLabels"
            } else {
                "/spec/selector/matchLabels"
            };
            let selector = labels(object, at);
            let taken = workloads
                .iter()
                .filter(|workload| selects(&selector, &workload.labels))
                .count();
            let jobs = selector
                .get("app.kubernetes.io/component")
                .map(String::as_str)
                == Some("jobs");
            if taken == 0 && !jobs {
                problems.push(format!("{} selects no pod", title(object)));
            }
            if kind == "PodDisruptionBudget" && taken != 1 {
                problems.push(format!("{} covers {taken} workloads", title(object)));
            }
        }
    }
}

fn mounts(objects: &[Value], workload: &Workload<'_>, problems: &mut Vec<String>) {
    let mut volumes: BTreeMap<&str, &Value> = list(workload.pod, "/volumes")
        .iter()
        .map(|volume| (text(volume, "/name"), volume))
        .collect();
    let templates = list(workload.object, "/spec/volumeClaimTemplates");
    volumes.extend(
        templates
            .iter()
            .map(|claim| (text(claim, "/metadata/name"), claim)),
    );
    let mut used = Vec::new();
    for container in workload.containers() {
        for mount in list(container, "/volumeMounts") {
            let name = text(mount, "/name");
            if !volumes.contains_key(name) {
                problems.push(format!(
                    "{} mounts '{name}', which is no volume",
                    workload.title
                ));
            }
            used.push(name);
        }
    }
    for (name, volume) in &volumes {
        if !used.contains(name) {
            problems.push(format!(
                "{}: volume '{name}' is mounted nowhere",
                workload.title
            ));
        }
        for (pointer, kind) in [
            ("/configMap/name", "ConfigMap"),
            ("/persistentVolumeClaim/claimName", "PersistentVolumeClaim"),
        ] {
            let wanted = text(volume, pointer);
            // A claim may be given.
            if !wanted.is_empty() && wanted.starts_with("solmu") && !has(objects, kind, wanted) {
                problems.push(format!("{}: there is no {kind}/{wanted}", workload.title));
            }
        }
    }
    let account = text(workload.pod, "/serviceAccountName");
    if !account.is_empty() && !has(objects, "ServiceAccount", account) {
        problems.push(format!(
            "{}: there is no ServiceAccount/{account}",
            workload.title
        ));
    }
}

fn probes(workload: &Workload<'_>, problems: &mut Vec<String>) {
    for container in workload.containers() {
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let port = container.pointer(&format!("/{probe}/httpGet/port"));
            if port.is_some_and(|port| !workload.has_port(port)) {
                problems.push(format!(
                    "{}: {probe} asks a port that is not there",
                    workload.title
                ));
            }
        }
    }
}

fn scaling(objects: &[Value], workloads: &[Workload<'_>], problems: &mut Vec<String>) {
    let mut scalers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in ["HorizontalPodAutoscaler", "ScaledObject"] {
        for object in of_kind(objects, kind) {
            let target = text(object, "/spec/scaleTargetRef/name").to_owned();
            scalers.entry(target).or_default().push(title(object));
        }
    }
    for (target, by) in &scalers {
        if by.len() > 1 {
            problems.push(format!(
                "Deployment/{target} is scaled by {}",
                by.join(" and ")
            ));
        }
        let Some(workload) = workloads
            .iter()
            .find(|workload| workload.title == format!("Deployment/{target}"))
        else {
            problems.push(format!(
                "{} scales Deployment/{target}, which is not there",
                by[0]
            ));
            continue;
        };
        if workload.object.pointer("/spec/replicas").is_some() {
            problems.push(format!(
                "Deployment/{target} has replicas that {} would fight over",
                by[0]
            ));
        }
    }
    for object in of_kind(objects, "ScaledObject") {
        for trigger in list(object, "/spec/triggers") {
            if text(trigger, "/type") != "nats-jetstream" {
                continue;
            }
            // Numbers are refused by KEDA's schema.
            for key in [
                "natsServerMonitoringEndpoint",
                "account",
                "stream",
                "consumer",
                "lagThreshold",
            ] {
                if text(trigger, &format!("/metadata/{key}")).is_empty() {
                    problems.push(format!(
                        "{}: a trigger has no text for '{key}'",
                        title(object)
                    ));
                }
            }
        }
    }
    // A single replica that may not be disrupted stops nodes from being drained.
    for budget in of_kind(objects, "PodDisruptionBudget") {
        let selector = labels(budget, "/spec/selector/matchLabels");
        for workload in workloads.iter().filter(|it| selects(&selector, &it.labels)) {
            if workload
                .object
                .pointer("/spec/replicas")
                .and_then(Value::as_u64)
                == Some(1)
            {
                problems.push(format!(
                    "{} guards the only replica of {}",
                    title(budget),
                    workload.title
                ));
            }
        }
    }
}

fn routes(objects: &[Value], problems: &mut Vec<String>) {
    let has_port = |service: &str, port: &Value| {
        of_kind(objects, "Service").iter().any(|object| {
            text(object, "/metadata/name") == service
                && list(object, "/spec/ports")
                    .iter()
                    .any(|it| it.get("name") == Some(port) || it.get("port") == Some(port))
        })
    };
    for ingress in of_kind(objects, "Ingress") {
        for rule in list(ingress, "/spec/rules") {
            for path in list(rule, "/http/paths") {
                let service = text(path, "/backend/service/name");
                let port = path
                    .pointer("/backend/service/port/name")
                    .or_else(|| path.pointer("/backend/service/port/number"));
                if !port.is_some_and(|port| has_port(service, port)) {
                    problems.push(format!(
                        "{} leads to Service/{service}, which has no such port",
                        title(ingress)
                    ));
                }
            }
        }
    }
    for kind in ["HTTPRoute", "GRPCRoute"] {
        for route in of_kind(objects, kind) {
            for rule in list(route, "/spec/rules") {
                for backend in list(rule, "/backendRefs") {
                    let service = text(backend, "/name");
                    if !backend
                        .get("port")
                        .is_some_and(|port| has_port(service, port))
                    {
                        problems.push(format!(
                            "{} leads to Service/{service}, which has no such port",
                            title(route)
                        ));
                    }
                }
            }
        }
    }
}

/// Each role must be scraped, and by one service only: twice would double every rate.
fn monitors(objects: &[Value], problems: &mut Vec<String>) {
    for monitor in of_kind(objects, "ServiceMonitor") {
        let selector = labels(monitor, "/spec/selector/matchLabels");
        let mut scraped: BTreeMap<String, usize> = BTreeMap::new();
        for service in of_kind(objects, "Service") {
            if !selects(&selector, &labels(service, "/metadata/labels")) {
                continue;
            }
            for endpoint in list(monitor, "/spec/endpoints") {
                let port = endpoint.get("port").unwrap_or(&Value::Null);
                if !list(service, "/spec/ports")
                    .iter()
                    .any(|it| it.get("name") == Some(port))
                {
                    problems.push(format!(
                        "{}: {} has no port {port}",
                        title(monitor),
                        title(service)
                    ));
                }
            }
            let component = text(service, "/metadata/labels/app.kubernetes.io~1component");
            *scraped.entry(component.to_owned()).or_default() += 1;
        }
        for deployment in of_kind(objects, "Deployment") {
            let component = text(deployment, "/metadata/labels/app.kubernetes.io~1component");
            let times = scraped.get(component).copied().unwrap_or(0);
            if times != 1 {
                problems.push(format!("{} is scraped {times} times", title(deployment)));
            }
        }
    }
}

fn names(objects: &[Value], problems: &mut Vec<String>) {
    let mut seen = BTreeMap::new();
    for object in objects {
        *seen.entry(title(object)).or_insert(0) += 1;
        if text(object, "/metadata/name").len() > 63 {
            problems.push(format!(
                "{} has a name that is too long for a label",
                title(object)
            ));
        }
    }
    problems.extend(
        seen.into_iter()
            .filter(|(_, times)| *times > 1)
            .map(|(name, times)| format!("{name} is there {times} times")),
    );
}

/// A deployment, its service and its budget, without a fault.
#[cfg(test)]
pub(super) fn sample() -> Vec<Value> {
    use serde_json::json;

    let labels =
        json!({"app.kubernetes.io/component": "email", "app.kubernetes.io/instance": "solmu"});
    let spread = json!({"labelSelector": {"matchLabels": labels}});
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "admin"}});
    vec![
        json!({"kind": "Deployment", "metadata": {"name": "solmu-email", "labels": labels}, "spec": {
            "strategy": {"rollingUpdate": {"maxUnavailable": 0}},
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": 45,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "topologySpreadConstraints": [spread, spread],
                "containers": [{
                    "name": "solmu",
                    "image": "solmu:0.1.0",
                    "env": [{"name": "SOLMU_CONFIG", "value": "/etc/solmu/solmu.toml"}],
                    "ports": [{"name": "admin", "containerPort": 7312}, {"name": "smtp", "containerPort": 2525}],
                    "startupProbe": probe("/startupz"),
                    "livenessProbe": probe("/livez"),
                    "readinessProbe": probe("/readyz"),
                    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
                    "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "config", "mountPath": "/etc/solmu"}]
                }],
                "volumes": [{"name": "config", "configMap": {"name": "solmu"}}]
            }}
        }}),
        json!({"kind": "ConfigMap", "metadata": {"name": "solmu"}}),
        json!({"kind": "Service", "metadata": {"name": "solmu-email"}, "spec": {
            "selector": labels, "ports": [{"name": "admin", "port": 7312, "targetPort": "admin"}]}}),
        json!({"kind": "PodDisruptionBudget", "metadata": {"name": "solmu-email"}, "spec": {"selector": {"matchLabels": labels}}}),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(change: impl FnOnce(&mut Vec<Value>)) -> Vec<String> {
        let mut objects = sample();
        change(&mut objects);
        check(&objects)
    }

    #[test]
    fn the_sample_is_good() {
        assert_eq!(found(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn a_port_that_no_container_has_is_found() {
        let problems =
            found(|objects| objects[2]["spec"]["ports"][0]["targetPort"] = json!("http"));
        assert!(problems[0].contains("has no port \"http\""), "{problems:?}");
    }

    #[test]
    fn a_mistyped_config_map_is_found() {
        let problems = found(|objects| {
            objects[0]["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"] =
                json!("solmu-cfg");
        });
        assert!(
            problems[0].contains("no ConfigMap/solmu-cfg"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_selector_that_meets_nothing_is_found() {
        let problems = found(|objects| {
            objects[2]["spec"]["selector"]["app.kubernetes.io/component"] = json!("mail");
            objects[3]["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] =
                json!("mail");
        });
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn two_scalers_on_one_target_are_found() {
        let problems = found(|objects| {
            for kind in ["HorizontalPodAutoscaler", "ScaledObject"] {
                objects.push(json!({"kind": kind, "metadata": {"name": "solmu-email"},
                    "spec": {"scaleTargetRef": {"name": "solmu-email"}}}));
            }
        });
        assert!(problems[0].contains("is scaled by"), "{problems:?}");
        assert!(problems[1].contains("fight over"), "{problems:?}");
    }
}
