//! Code, dashboards, alerts, runbooks and docs against the catalogue of metrics.

use anyhow::Result;

use super::Project;
use crate::observe;

pub(super) fn check(project: &Project<'_>) -> Result<Vec<String>> {
    observe::check(project.root, &project.sources, project.fix)
}
