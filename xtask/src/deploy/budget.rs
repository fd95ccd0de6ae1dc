//! What pods take together must fit into what an engine of the release has: connections to PostgreSQL.
//!
//! A pool that is too large for the server shows on the day that the pods are scaled to their most, which is the worst day.

use serde_json::Value;

use super::objects::{list, of_kind, text, title};

/// Connections for jobs, `solmu doctor`, the operator's own and a person.
const RESERVE: u64 = 20;

/// Where the pods at most open more connections than the cluster of the rendering allows.
pub(super) fn check(objects: &[Value]) -> Vec<String> {
    let Some(pool) = pool(objects) else {
        return Vec::new();
    };
    let pods: u64 = of_kind(objects, "Deployment")
        .into_iter()
        .map(|deployment| at_most(objects, deployment))
        .sum();
    let needed = pods * pool + RESERVE;
    of_kind(objects, "Cluster")
        .into_iter()
        .filter_map(|cluster| {
            let allowed = text(cluster, "/spec/postgresql/parameters/max_connections");
            let enough = allowed
                .parse::<u64>()
                .is_ok_and(|allowed| allowed >= needed);
            (!enough).then(|| {
                format!(
                    "{} allows {allowed} connections, and {pods} pods with {pool} each and {RESERVE} more need {needed}",
                    title(cluster)
                )
            })
        })
        .collect()
}

/// Connections of each pod, as the file of the ConfigMap says.
fn pool(objects: &[Value]) -> Option<u64> {
    of_kind(objects, "ConfigMap").into_iter().find_map(|map| {
        let config: toml::Table = text(map, "/data/solmu.toml").parse().ok()?;
        let pool = config.get("postgres")?.get("max_connections")?;
        u64::try_from(pool.as_integer()?).ok()
    })
}

/// Pods of a deployment at most, those that a rollout adds too.
fn at_most(objects: &[Value], deployment: &Value) -> u64 {
    let name = text(deployment, "/metadata/name");
    let scaled = [
        ("HorizontalPodAutoscaler", "/spec/maxReplicas"),
        ("ScaledObject", "/spec/maxReplicaCount"),
    ]
    .into_iter()
    .flat_map(|(kind, at)| {
        of_kind(objects, kind)
            .into_iter()
            .filter(|it| text(it, "/spec/scaleTargetRef/name") == name)
            .filter_map(move |it| it.pointer(at)?.as_u64())
    })
    .max();
    let replicas = deployment.pointer("/spec/replicas").and_then(Value::as_u64);
    let surge = deployment
        .pointer("/spec/strategy/rollingUpdate/maxSurge")
        .and_then(Value::as_u64)
        .unwrap_or(1);
    let ours = list(deployment, "/spec/template/spec/containers")
        .iter()
        .any(|container| {
            list(container, "/args")
                .iter()
                .any(|argument| argument == "--data")
        });
    if ours {
        scaled.or(replicas).unwrap_or(1) + surge
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(allowed: &str) -> Vec<Value> {
        let deployment = |name: &str, replicas: Value| {
            json!({"kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": replicas,
                "strategy": {"rollingUpdate": {"maxSurge": 1}},
                "template": {"spec": {"containers": [{"args": ["--data", "/d", "serve"]}]}}}})
        };
        vec![
            deployment("solmu-sla", json!(2)),
            deployment("solmu-email", Value::Null),
            json!({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "e"},
                "spec": {"scaleTargetRef": {"name": "solmu-email"}, "maxReplicas": 6}}),
            json!({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"solmu.toml": "[postgres]\nmax_connections = 10\n"}}),
            json!({"kind": "Cluster", "metadata": {"name": "p"},
                "spec": {"postgresql": {"parameters": {"max_connections": allowed}}}}),
        ]
    }

    #[test]
    fn the_pods_at_most_must_fit() {
        // (2 + 1) + (6 + 1) pods of 10, and 20.
        assert_eq!(check(&objects("120")), Vec::<String>::new());
        let problems = check(&objects("119"));
        assert!(problems[0].contains("need 120"), "{problems:?}");
        assert_eq!(check(&objects("many")).len(), 1);
        assert_eq!(check(&objects("1")[..4]), Vec::<String>::new(), "given");
    }
}
