//! Looking into Kubernetes objects without types: the linter needs few fields, and a crate of all of them builds long.

use std::collections::BTreeMap;

use serde_json::Value;

/// Labels or a selector.
pub(super) type Labels = BTreeMap<String, String>;

/// A text at a JSON pointer; empty if it is not there.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A list at a JSON pointer; empty if it is not there.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// A map of texts at a JSON pointer.
pub(super) fn labels(object: &Value, pointer: &str) -> Labels {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// `Kind/name`, for messages.
pub(super) fn title(object: &Value) -> String {
    format!(
        "{}/{}",
        text(object, "/kind"),
        text(object, "/metadata/name")
    )
}

/// Objects of a kind.
pub(super) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects
        .iter()
        .filter(|object| text(object, "/kind") == kind)
        .collect()
}

/// Whether an object of that kind and name is there.
pub(super) fn has(objects: &[Value], kind: &str, name: &str) -> bool {
    of_kind(objects, kind)
        .iter()
        .any(|object| text(object, "/metadata/name") == name)
}

/// Whether a selector takes these labels. One without any entry takes all of them.
pub(super) fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// What makes pods, with the pods that it makes.
pub(super) struct Workload<'a> {
    /// The Deployment, Job, CronJob, StatefulSet or Pod.
    pub(super) object: &'a Value,
    /// Its name for messages.
    pub(super) title: String,
    /// Labels of its pods.
    pub(super) labels: Labels,
    /// `spec` of its pods.
    pub(super) pod: &'a Value,
}

impl<'a> Workload<'a> {
    /// Its containers, those that initialise it first.
    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> {
        list(self.pod, "/initContainers")
            .iter()
            .chain(list(self.pod, "/containers"))
    }

    /// The role that a label names.
    pub(super) fn component(&self) -> &str {
        self.labels
            .get("app.kubernetes.io/component")
            .map_or("", String::as_str)
    }

    /// Whether a container of it has a port of that name.
    pub(super) fn has_port(&self, wanted: &Value) -> bool {
        self.containers().any(|container| {
            list(container, "/ports").iter().any(|port| {
                port.get("name") == Some(wanted) || port.get("containerPort") == Some(wanted)
            })
        })
    }
}

/// Everything that makes pods.
pub(super) fn workloads(objects: &[Value]) -> Vec<Workload<'_>> {
    objects
        .iter()
        .filter_map(|object| {
            let (labels_at, spec_at) = match text(object, "/kind") {
                "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => {
                    ("/spec/template/metadata/labels", "/spec/template/spec")
                }
                "CronJob" => (
                    "/spec/jobTemplate/spec/template/metadata/labels",
                    "/spec/jobTemplate/spec/template/spec",
                ),
                "Pod" => ("/metadata/labels", "/spec"),
                _ => return None,
            };
            Some(Workload {
                object,
                title: title(object),
                labels: labels(object, labels_at),
                pod: object.pointer(spec_at)?,
            })
        })
        .collect()
}
