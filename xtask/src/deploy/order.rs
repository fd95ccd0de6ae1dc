//! What must be there before what: a job that waits for an engine which only comes after it never ends, and nor does the
//! first install.
//!
//! Helm makes the objects of hooks before (or after) everything else and waits for them; Argo CD does so with each wave. So
//! whatever a workload needs out of the same rendering must come with it or before it. And the jobs must not come after the
//! pods that wait for them: a release that waits for its pods would never get to them.

use serde_json::Value;

use super::objects::{Workload, has, list, of_kind, text, title, workloads};

/// When an object comes: the stage of a hook of Helm, then its weight or its wave.
type Phase = (i64, i64);

const HOOK: &str = "/metadata/annotations/helm.sh~1hook";

/// Everything that comes too late in a rendering.
pub(super) fn check(objects: &[Value]) -> Vec<String> {
    let mut problems = Vec::new();
    let workloads = workloads(objects);
    for workload in &workloads {
        let Some(phase) = phase(workload.object) else {
            continue;
        };
        for need in needs(objects, workload) {
            // A test is made when all else is there.
            if self::phase(need).is_some_and(|comes| comes > phase) {
                problems.push(format!(
                    "{} comes before {}, which it needs",
                    workload.title,
                    title(need)
                ));
            }
        }
        if is_job(workload) {
            for pods in of_kind(objects, "Deployment") {
                if self::phase(pods).is_some_and(|comes| comes < phase) {
                    problems.push(format!(
                        "{} comes after {}, which waits for it",
                        workload.title,
                        title(pods)
                    ));
                }
            }
        }
    }
    problems
}

/// None for a test, which somebody asks for later.
fn phase(object: &Value) -> Option<Phase> {
    let number = |pointer: &str| text(object, pointer).parse().unwrap_or(0);
    let hooks = text(object, HOOK);
    let weight = number("/metadata/annotations/helm.sh~1hook-weight");
    if hooks.contains("test") {
        None
    } else if hooks.contains("pre-install") {
        Some((-1, weight))
    } else if hooks.contains("post-install") {
        Some((1, weight))
    } else {
        let wave = "/metadata/annotations/argocd.argoproj.io~1sync-wave";
        Some((0, number(wave)))
    }
}

/// Migration and streams: a job of ours.
fn is_job(workload: &Workload<'_>) -> bool {
    text(workload.object, "/kind") == "Job" && workload.component() == "jobs"
}

/// What of the rendering a workload needs: what it mounts, and the engines that it connects to.
fn needs<'a>(objects: &'a [Value], workload: &Workload<'_>) -> Vec<&'a Value> {
    let pick = |kind: &str, name: &str| {
        of_kind(objects, kind)
            .into_iter()
            .filter(|it| text(it, "/metadata/name") == name)
            .collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for volume in list(workload.pod, "/volumes") {
        found.extend(pick("ConfigMap", text(volume, "/configMap/name")));
        let claim = text(volume, "/persistentVolumeClaim/claimName");
        found.extend(pick("PersistentVolumeClaim", claim));
        let secret = text(volume, "/secret/secretName");
        found.extend(pick("Secret", secret));
        // CloudNativePG makes it with the cluster.
        if let Some(cluster) = secret.strip_suffix("-app") {
            found.extend(pick("Cluster", cluster));
        }
    }
    found.extend(pick(
        "ServiceAccount",
        text(workload.pod, "/serviceAccountName"),
    ));
    let ours = workload.containers().any(|container| {
        list(container, "/args")
            .iter()
            .any(|argument| argument == "--data")
    });
    if ours {
        found.extend(
            of_kind(objects, "StatefulSet")
                .into_iter()
                .filter(|it| text(it, "/metadata/labels/app.kubernetes.io~1component") == "nats"),
        );
        // A URL of somebody else's may lead to a Service of the release.
        for service in of_kind(objects, "Service") {
            let name = text(service, "/metadata/name");
            if name.ends_with("-nats") && has(objects, "StatefulSet", name) {
                found.push(service);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(annotations: &Value) -> Value {
        let labels = json!({"app.kubernetes.io/component": "jobs"});
        json!({"kind": "Job", "metadata": {"name": "solmu-migrate", "annotations": annotations}, "spec": {"template": {
            "metadata": {"labels": labels},
            "spec": {
                "containers": [{"name": "migrate", "args": ["--data", "/d", "migrate"]}],
                "volumes": [{"name": "postgres", "secret": {"secretName": "solmu-postgres-app"}}]
            }
        }}})
    }

    /// The sample with a cluster, a NATS and a job.
    fn objects(of_job: &Value, of_engines: &Value) -> Vec<Value> {
        let mut objects = super::super::wiring::sample();
        let nats = json!({"app.kubernetes.io/component": "nats"});
        objects.push(job(of_job));
        objects.push(json!({"kind": "Cluster", "metadata": {"name": "solmu-postgres", "annotations": of_engines}}));
        objects.push(json!({"kind": "StatefulSet", "metadata":
            {"name": "solmu-nats", "labels": nats, "annotations": of_engines}}));
        objects
    }

    #[test]
    fn hooks_before_the_engines_of_the_release_are_found() {
        let hook = json!({"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-weight": "-20"});
        let problems = check(&objects(&hook, &json!({})));
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("before Cluster/solmu-postgres"));
        assert!(problems[1].contains("before StatefulSet/solmu-nats"));
        let mut given = objects(&hook, &json!({}));
        given.truncate(5);
        assert_eq!(check(&given), Vec::<String>::new(), "somebody else's");
    }

    #[test]
    fn jobs_with_the_release_are_good_and_jobs_after_its_pods_are_not() {
        assert_eq!(
            check(&objects(&json!({}), &json!({}))),
            Vec::<String>::new()
        );
        let after = json!({"helm.sh/hook": "post-install,pre-upgrade"});
        let problems = check(&objects(&after, &json!({})));
        assert!(problems[0].contains("after Deployment/"), "{problems:?}");
    }

    #[test]
    fn waves_are_looked_at() {
        let wave = |number: &str| json!({"argocd.argoproj.io/sync-wave": number});
        assert_eq!(
            check(&objects(&wave("-1"), &wave("-2"))),
            Vec::<String>::new()
        );
        assert_eq!(check(&objects(&wave("-1"), &json!({}))).len(), 2);
        let test = json!({"helm.sh/hook": "test"});
        assert_eq!(check(&objects(&test, &json!({}))), Vec::<String>::new());
    }
}
