//! What every pod must be: restricted, probed, limited, and drained before it is killed.

use serde_json::{Value, json};

use super::objects::{Workload, list, text, workloads};

/// Everything that is wrong with the pods of a rendering.
pub(super) fn check(objects: &[Value]) -> Vec<String> {
    let mut problems = Vec::new();
    for workload in workloads(objects) {
        let mut say = |what: String| problems.push(format!("{}: {what}", workload.title));
        pod(&workload, &mut say);
        for container in workload.containers() {
            restricted(container, &mut say);
            limited(container, &mut say);
        }
        if text(workload.object, "/kind") == "Deployment" {
            deployment(&workload, &mut say);
        }
    }
    problems
}

fn is(object: &Value, pointer: &str, wanted: &Value) -> bool {
    object.pointer(pointer) == Some(wanted)
}

/// The Pod Security Standard "restricted", and what we want beyond it.
fn pod(workload: &Workload<'_>, say: &mut dyn FnMut(String)) {
    for (pointer, wanted) in [
        ("/securityContext/runAsNonRoot", json!(true)),
        ("/securityContext/runAsUser", json!(65532)),
        (
            "/securityContext/seccompProfile/type",
            json!("RuntimeDefault"),
        ),
        ("/automountServiceAccountToken", json!(false)),
        ("/enableServiceLinks", json!(false)),
    ] {
        if !is(workload.pod, pointer, &wanted) {
            say(format!("{pointer} is not {wanted}"));
        }
    }
    for pointer in ["/hostNetwork", "/hostPID", "/hostIPC"] {
        if is(workload.pod, pointer, &json!(true)) {
            say(format!("{pointer} is set"));
        }
    }
    for volume in list(workload.pod, "/volumes") {
        let name = text(volume, "/name");
        if volume.get("hostPath").is_some() {
            say(format!("volume '{name}' is a path of the node"));
        }
        if volume.get("emptyDir").is_some() && text(volume, "/emptyDir/sizeLimit").is_empty() {
            say(format!("volume '{name}' has no sizeLimit"));
        }
    }
}

fn restricted(container: &Value, say: &mut dyn FnMut(String)) {
    let name = text(container, "/name");
    for (pointer, wanted) in [
        ("/securityContext/allowPrivilegeEscalation", json!(false)),
        ("/securityContext/readOnlyRootFilesystem", json!(true)),
        ("/securityContext/capabilities/drop", json!(["ALL"])),
    ] {
        if !is(container, pointer, &wanted) {
            say(format!("container '{name}': {pointer} is not {wanted}"));
        }
    }
    for pointer in [
        "/securityContext/privileged",
        "/securityContext/capabilities/add",
    ] {
        if container.pointer(pointer).is_some() {
            say(format!("container '{name}': {pointer} is set"));
        }
    }
    if list(container, "/ports")
        .iter()
        .any(|port| port.get("hostPort").is_some())
    {
        say(format!("container '{name}' takes a port of the node"));
    }
    let image = text(container, "/image");
    let tag = image.rsplit('/').next().unwrap_or(image);
    if !tag.contains(['@', ':']) || tag.ends_with(":latest") {
        say(format!(
            "container '{name}': image '{image}' has no fixed tag"
        ));
    }
    // What stands in the environment is readable by whoever may describe the pod.
    for variable in list(container, "/env") {
        let key = text(variable, "/name");
        let secret = ["PASSWORD", "TOKEN", "SECRET", "_KEY", "__URL"];
        let is_path = key.ends_with("_FILE");
        if !is_path
            && variable.get("value").is_some()
            && secret.iter().any(|part| key.ends_with(part))
        {
            say(format!(
                "container '{name}': '{key}' holds a secret in plain text"
            ));
        }
    }
}

fn limited(container: &Value, say: &mut dyn FnMut(String)) {
    let name = text(container, "/name");
    for pointer in [
        "/resources/requests/cpu",
        "/resources/requests/memory",
        "/resources/limits/memory",
    ] {
        if container.pointer(pointer).is_none() {
            say(format!("container '{name}' has no {pointer}"));
        }
    }
}

fn deployment(workload: &Workload<'_>, say: &mut dyn FnMut(String)) {
    for container in workload.containers() {
        let path = |probe: &str| text(container, &format!("/{probe}/httpGet/path")).to_owned();
        // Liveness must not depend on anything: a database that is away would restart every pod.
        for (probe, wanted) in [
            ("startupProbe", "/startupz"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ] {
            if path(probe) != wanted {
                say(format!("{probe} does not ask {wanted}"));
            }
        }
    }
    if !is(
        workload.object,
        "/spec/strategy/rollingUpdate/maxUnavailable",
        &json!(0),
    ) {
        say("a rollout takes a pod away before its successor is there".to_owned());
    }
    let spread = list(workload.pod, "/topologySpreadConstraints").len();
    if spread < 2 {
        say("pods are not spread over zones and nodes".to_owned());
    }
    let grace = workload
        .pod
        .get("terminationGracePeriodSeconds")
        .and_then(Value::as_u64)
        .unwrap_or(30);
    if grace < GRACE_AT_LEAST {
        say(format!("{grace} s of grace are less than the drain takes"));
    }
}

/// Seconds: delay 5, drain 25, end of relays 5, connections and spans 5.
const GRACE_AT_LEAST: u64 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut deployment = super::super::wiring::sample();
        change(&mut deployment[0]);
        check(&deployment)
    }

    #[test]
    fn the_sample_is_good_and_each_slip_is_found() {
        assert_eq!(found(|_| {}), Vec::<String>::new());
        let slips: [(&str, Value, &str); 8] = [
            (
                "/spec/template/spec/securityContext/runAsUser",
                json!(0),
                "runAsUser",
            ),
            (
                "/spec/template/spec/automountServiceAccountToken",
                json!(true),
                "automount",
            ),
            (
                "/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem",
                json!(false),
                "readOnly",
            ),
            (
                "/spec/template/spec/containers/0/image",
                json!("solmu:latest"),
                "no fixed tag",
            ),
            (
                "/spec/template/spec/containers/0/resources/limits",
                json!({}),
                "limits/memory",
            ),
            (
                "/spec/template/spec/containers/0/livenessProbe/httpGet/path",
                json!("/readyz"),
                "livenessProbe",
            ),
            (
                "/spec/template/spec/terminationGracePeriodSeconds",
                json!(20),
                "grace",
            ),
            (
                "/spec/template/spec/containers/0/env/0/name",
                json!("SOLMU__POSTGRES__URL"),
                "plain text",
            ),
        ];
        for (pointer, value, said) in slips {
            let problems = found(|object| *object.pointer_mut(pointer).unwrap() = value);
            assert!(
                problems.len() == 1 && problems[0].contains(said),
                "{pointer}: {problems:?}"
            );
        }
    }
}
