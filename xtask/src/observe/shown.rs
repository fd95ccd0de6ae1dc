//! Every metric is shown: on a dashboard or in an alert. One that nobody sees is work for nothing, and one that was added
//! last week is the one that is looked for at night.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Catalogue;

/// Where metrics are shown.
const PLACES: [&str; 2] = [
    "deploy/observability/dashboards",
    "deploy/observability/rules",
];

pub(super) fn check(root: &Path, catalogue: &Catalogue) -> Result<Vec<String>> {
    let mut shown = String::new();
    for place in PLACES {
        for entry in std::fs::read_dir(root.join(place)).with_context(|| format!("no {place}"))? {
            shown += &std::fs::read_to_string(entry?.path())?;
        }
    }
    Ok(unseen(&shown, catalogue))
}

fn unseen(shown: &str, catalogue: &Catalogue) -> Vec<String> {
    catalogue
        .keys()
        .filter(|name| !is_in(shown, name))
        .map(|name| {
            format!(
                "'{name}' is on no dashboard and in no alert: add a panel in {}",
                PLACES[0]
            )
        })
        .collect()
}

/// As a whole word, or with the suffix of a part of a histogram.
fn is_in(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let rest = &text[at + name.len()..];
        let part = ["_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| rest.starts_with(suffix));
        let next = rest.chars().next().unwrap_or(' ');
        part || !(next.is_alphanumeric() || next == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Metric;

    #[test]
    fn what_nobody_sees_is_named() {
        let metric = Metric {
            kind: "counter".to_owned(),
            unit: "1".to_owned(),
            labels: Vec::new(),
            meaning: "x".to_owned(),
            source: "solmu-bus".to_owned(),
        };
        let catalogue: Catalogue = ["solmu_a", "solmu_a_total", "solmu_b_seconds"]
            .map(|name| (name.to_owned(), metric.clone()))
            .into();
        let shown = "sum(rate(solmu_b_seconds_bucket[5m])) > solmu_a_total{x=\"y\"}";
        assert_eq!(
            unseen(shown, &catalogue).len(),
            1,
            "solmu_a alone is not there"
        );
        assert!(unseen(shown, &catalogue)[0].contains("'solmu_a'"));
    }
}
