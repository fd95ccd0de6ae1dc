//! What a PromQL expression asks for: names of metrics, and the labels that it selects and groups by.

use super::{Catalogue, Metric, TARGET_LABELS};

/// First words of names that are ours or that our registry tells.
const PREFIXES: [&str; 6] = [
    "solmu_",
    "process_",
    "tokio_",
    "rpc_server_",
    "http_server_",
    "db_client_",
];

/// Everything in the expression that the catalogue does not know.
pub(super) fn unknown(expression: &str, catalogue: &Catalogue) -> Vec<String> {
    let mut problems = Vec::new();
    let mut asked: Vec<&Metric> = Vec::new();
    for (name, selector) in names(expression) {
        let Some(metric) = find(&name, catalogue) else {
            problems.push(format!("no metric '{name}'"));
            continue;
        };
        asked.push(metric);
        for label in selected(selector) {
            if !knows(metric, label) {
                problems.push(format!("'{name}' has no label '{label}'"));
            }
        }
    }
    for label in grouped(expression) {
        if !asked.is_empty() && !asked.iter().any(|metric| knows(metric, label)) {
            problems.push(format!("nothing in the query has a label '{label}'"));
        }
    }
    problems
}

fn knows(metric: &Metric, label: &str) -> bool {
    TARGET_LABELS.contains(&label) || metric.labels.iter().any(|it| it == label)
}

/// The metric of a name as it is scraped: a histogram has three.
fn find<'a>(name: &str, catalogue: &'a Catalogue) -> Option<&'a Metric> {
    let of_histogram = || {
        let base = ["_bucket", "_count", "_sum"]
            .into_iter()
            .find_map(|suffix| name.strip_suffix(suffix))?;
        catalogue
            .get(base)
            .filter(|metric| metric.kind == "histogram")
    };
    catalogue
        .get(name)
        .filter(|metric| metric.kind != "histogram")
        .or_else(of_histogram)
}

/// Names of metrics with what stands in the braces after each.
fn names(expression: &str) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_lowercase() || letter == '"') {
        rest = &rest[start..];
        if let Some(text) = rest.strip_prefix('"') {
            rest = text.find('"').map_or("", |end| &text[end + 1..]);
            continue;
        }
        let end = rest
            .find(|letter: char| {
                !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':')
            })
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if PREFIXES.iter().any(|prefix| word.starts_with(prefix)) && !word.contains(':') {
            let selector = after
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
                .map_or("", |(inner, _)| inner);
            found.push((word.to_owned(), selector));
        }
        rest = after;
    }
    found
}

/// Labels of `a="b", c=~"d"`.
fn selected(selector: &str) -> impl Iterator<Item = &str> {
    selector.split(',').filter_map(|part| {
        let end = part.find(['=', '!'])?;
        Some(part[..end].trim())
    })
}

/// Labels of `by (a, b)`.
fn grouped(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split("by (")
        .skip(1)
        .filter_map(|after| after.split_once(')'))
        .flat_map(|(inner, _)| inner.split(','))
        .map(str::trim)
        .filter(|label| !label.is_empty() && !label.starts_with('$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let metric = |kind: &str| Metric {
            kind: kind.to_owned(),
            unit: "1".to_owned(),
            labels: vec!["channel".to_owned()],
            meaning: "x".to_owned(),
            source: "x".to_owned(),
        };
        Catalogue::from([
            ("solmu_a_total".to_owned(), metric("counter")),
            ("solmu_b_seconds".to_owned(), metric("histogram")),
        ])
    }

    #[test]
    fn what_is_known_passes() {
        for good in [
            "sum by (channel) (rate(solmu_a_total{channel=\"email\", job=~\"x.*\"}[5m]))",
            "histogram_quantile(0.99, sum by (le) (rate(solmu_b_seconds_bucket[5m])))",
            "solmu:recorded:ratio_rate5m > 0.1",
            "up{job=\"solmu_something\"}",
        ] {
            assert_eq!(unknown(good, &catalogue()), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn what_is_not_known_is_told() {
        for bad in [
            "rate(solmu_c_total[5m])",
            "solmu_b_seconds",
            "solmu_a_total{canal=\"email\"}",
            "sum by (team) (solmu_a_total)",
            "solmu_a_total_bucket",
        ] {
            assert_eq!(unknown(bad, &catalogue()).len(), 1, "{bad}");
        }
    }
}
